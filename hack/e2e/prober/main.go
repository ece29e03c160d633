// The prober plays a provider for the end-to-end tests: one signed event every so
// often, and one line of JSON about each, as package probe says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "prober:", err)
		os.Exit(1)
	}
}

type flags struct {
	probe.Options
	secret, out string
	duration    time.Duration
}

func parse(args []string, stderr io.Writer) (flags, error) {
	var f flags
	fs := flag.NewFlagSet("prober", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&f.Provider, "provider", "stream-chat", "`name` of the provider: stream-chat or social-plus")
	fs.StringVar(&f.URL, "url", "", "`URL` of the endpoint")
	fs.StringVar(&f.secret, "secret-file", "", "`file` with the signing secret, or with `ENTRY SECRET`; read anew at each event")
	fs.StringVar(&f.Prefix, "prefix", "", "`text` that ids are made of, with a number; unique among the probers of a test")
	fs.DurationVar(&f.Interval, "interval", 10*time.Millisecond, "`time` between events")
	fs.DurationVar(&f.duration, "duration", 0, "`time` after which no more are sent; 0 until SIGTERM")
	fs.DurationVar(&f.Timeout, "timeout", 0, "`time` that an attempt may take; 0 for the provider's")
	fs.Float64Var(&f.Fresh, "fresh", 0.25, "`share` of events that get a connection of their own; the rest share kept ones")
	fs.Float64Var(&f.Gzip, "gzip", 0, "`share` of events that are compressed, as Stream does if it is told to")
	fs.BoolVar(&f.Retries, "retries", false, "send again as the provider does")
	fs.IntVar(&f.Waiting, "waiting", 2000, "`number` of requests that may wait for their answers; what is due above it is not sent")
	fs.StringVar(&f.out, "out", "", "`file` that gets a line of JSON for each event; empty for none")
	if err := fs.Parse(args); err != nil {
		return f, err
	}
	if f.URL == "" || f.secret == "" || f.Interval <= 0 || fs.NArg() > 0 {
		return f, errors.New("--url, --secret-file and a positive --interval are needed, and nothing but flags; see --help")
	}
	f.Secret = probe.SecretOf(f.secret)
	return f, nil
}

// run sends until the duration is over or ctx ends, and prints the summary.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if f.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.duration)
		defer cancel()
	}
	f.Told = func(*probe.Result) error { return nil }
	if f.out != "" {
		file, err := os.Create(f.out)
		if err != nil {
			return fmt.Errorf("opening --out: %w", err)
		}
		defer file.Close()
		lines := json.NewEncoder(file) // a line is there as soon as its event is done
		f.Told = func(r *probe.Result) error { return lines.Encode(r) }
	}
	s, err := probe.Run(ctx, f.Options)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(s)
}
