// Command bench-operator measures what many endpoints cost: the time until all are
// applied, the requests that write, and the memory and CPU of the operator, which
// runs as a process of its own beside a real API server. README.md says how it
// counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// options is what the command line says.
type options struct {
	operator   string
	endpoints  int
	namespaces int
	profile    string
}

// errMissed says that a figure is not what it aims at.
var errMissed = errors.New("an aim was missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench-operator: interrupted; all is stopped")
		os.Exit(130)
	case errors.Is(err, errMissed):
		os.Exit(3)
	default:
		fmt.Fprintln(os.Stderr, "bench-operator:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	fs := flag.NewFlagSet("bench-operator", flag.ContinueOnError)
	fs.StringVar(&o.operator, "operator", "bin/operator", "the operator's `program`")
	fs.IntVar(&o.endpoints, "endpoints", 1000, "how many endpoints there are")
	fs.IntVar(&o.namespaces, "namespaces", 20, "over how many namespaces they are spread")
	fs.StringVar(&o.profile, "profile", "", "`prefix` of files for profiles of the operator, for go tool pprof: CPU and allocations of the first 20 seconds, and what is in memory at the end")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if o.endpoints < 1 || o.namespaces < 1 {
		return errors.New("--endpoints and --namespaces must be at least 1")
	}
	ctrl.SetLogger(logr.Discard()) // of the libraries that the bench itself uses
	f, err := measure(ctx, o)
	if err != nil {
		return err
	}
	rows := f.rows()
	printTable(os.Stdout, f, rows)
	for _, r := range rows {
		if r.missed() {
			return errMissed
		}
	}
	return nil
}

// say prints a line of progress.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
