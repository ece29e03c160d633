// Command moderator is a sample of a responder: a service that answers the
// synchronous hooks of Stream Chat and social.plus behind Fairlead. Copy it, and
// put your own rules into package moderation; README.md says more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-dev/fairlead/config/samples/moderator/moderation"
)

// Bounds of a connection. The provider waits 1 to 1.5 s, and Fairlead less.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	idleTimeout  = 2 * time.Minute // above the 90 s after which Fairlead lets a connection go
	endTimeout   = 10 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "moderator: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then until what is under way is answered.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("moderator", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", ":8080", "address to listen at")
	mask := flags.String("mask", "", "words to mask with asterisks, separated by commas")
	refuse := flags.String("refuse", "", "words for which a message is refused, separated by commas")
	refusal := flags.String("refusal", moderation.DefaultRefusal, "what the user is told then")
	delay := flags.Duration("drain-delay", 5*time.Second, "how long to serve on after SIGTERM, while others still learn of it")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("reading flags: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	rules := moderation.Rules{Mask: list(*mask), Refuse: list(*refuse), Refusal: *refusal}
	log.Info("serving", "address", l.Addr().String(), "masked", len(rules.Mask), "refused", len(rules.Refuse))
	return serve(ctx, l, moderation.New(rules, log), *delay)
}

// serve serves at l until ctx ends, goes on for delay, because requests still come
// while the pod is being taken out of its Service, and then answers what is under
// way. It closes l.
func serve(ctx context.Context, l net.Listener, h http.Handler, delay time.Duration) error {
	s := &http.Server{
		Handler: h, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // who breaks a connection off is no news
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-time.After(delay):
	}
	end, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := s.Shutdown(end); err != nil {
		return fmt.Errorf("answering what is under way: %w", errors.Join(err, s.Close()))
	}
	return nil
}

// list reads words that are separated by commas.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
