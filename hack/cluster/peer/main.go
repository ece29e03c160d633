// Peer is one end of a connection in tests of a cluster: it answers HTTP requests
// with the address that they come from, or it asks another peer.
//
//	peer                     listen on port 8080
//	peer URL...              ask each, and print what it said a line
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	patience   = 2 * time.Second // with one answer
	longAnswer = 100             // bytes; a longer one is no peer's
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if urls := os.Args[1:]; len(urls) > 0 {
		err = ask(ctx, os.Stdout, urls)
	} else {
		err = answer(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// answer serves until ctx ends.
func answer(ctx context.Context) error {
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: patience, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr) // which net/http made
			fmt.Fprintln(w, host)                         //nolint:gosec // an address, for no browser
		})}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listening: %w", err)
	}
	return nil
}

// ask prints a line for each URL: what was said, or "none" if nothing was.
func ask(ctx context.Context, out io.Writer, urls []string) error {
	lines := make([]chan string, len(urls))
	for i, u := range urls {
		lines[i] = make(chan string, 1)
		go func() { lines[i] <- get(ctx, u) }()
	}
	for _, l := range lines {
		if _, err := io.WriteString(out, <-l); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	return nil
}

func get(ctx context.Context, url string) string {
	const none = "none\n"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // asking whom it is told to is its task
	if err != nil {
		return none
	}
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // as above
	if err != nil {
		return none
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, longAnswer))
	if err != nil {
		return none
	}
	return string(said)
}
