// The recorder is a sink that runs in a pod and remembers what it is sent, for
// the end-to-end tests; package record says how it is asked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

const (
	headerTimeout = 10 * time.Second
	maxHeader     = 256 << 10
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends; then it goes at once.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	var limits record.Limits
	fs := flag.NewFlagSet("recorder", flag.ContinueOnError)
	fs.SetOutput(stderr)
	listen := fs.String("listen", ":8080", "`address` to serve at")
	fs.IntVar(&limits.Events, "max-events", 300_000, "`number` of events that are kept; above it events are answered 507")
	fs.Int64Var(&limits.Bytes, "max-bytes", 256<<20, "`bytes` of bodies that are kept; the same")
	fs.Int64Var(&limits.Body, "max-body", 8<<20, "`bytes` that one body may have; a larger one is answered 413")
	if err := fs.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	s := &http.Server{Handler: record.New(limits, time.Now).Handler(), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader}
	closed := context.AfterFunc(ctx, func() { s.Close() })
	defer closed()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
