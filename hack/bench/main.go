// Command bench measures the receiver against a yardstick in the same run, and
// prints how it stands to its targets. README.md says what the figures mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: bench [run] [flags]      measure and print the ratio table
       bench yardstick [flags]  serve go-verify: read, check the signature, answer {}
       bench sink [flags]       serve a sink that counts what it gets
       bench load [flags]       drive a system and print what it answered
Each takes -h. The systems are started on loopback addresses and ended again.
`

// secretVar is the environment variable that holds the signing secret, so that
// it is in no argument list.
const secretVar = "BENCH_SECRET"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, os.Args[1:])
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errMissed):
		os.Exit(3)
	default:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	verb := "run"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	}
	switch verb {
	case "run":
		return runVerb(ctx, args)
	case "yardstick":
		return yardstickVerb(ctx, args)
	case "sink":
		return sinkVerb(ctx, args)
	case "load":
		return loadVerb(ctx, args)
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("there is no verb %q", verb)
	}
}

// flags makes a flag set whose help begins with how the program is used.
func flags(verb string) *flag.FlagSet {
	fs := flag.NewFlagSet(verb, flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "%s\nFlags of %s:\n", usage, verb)
		fs.PrintDefaults()
	}
	return fs
}
