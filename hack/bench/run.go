package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// errMissed is returned with --strict when a figure misses what it must reach.
var errMissed = errors.New("a figure misses what it must reach")

// options are the flags of run.
type options struct {
	fairlead, receiver, against string
	againstReceiver             string // beside against
	rounds                      int
	each                        time.Duration
	dir, root                   string
	yardstickOnly, queue        bool
	strict                      bool
}

func parseOptions(args []string) (options, error) {
	var o options
	fs := flags("run")
	fs.StringVar(&o.fairlead, "fairlead", "../../bin/fairlead", "the tool, which makes the receiver's configuration")
	fs.StringVar(&o.receiver, "receiver", "../../bin/receiver", "the receiver, which is measured")
	fs.StringVar(&o.against, "against", "", "another fairlead program, with its receiver beside it, measured in the same rounds and compared")
	fs.IntVar(&o.rounds, "rounds", 3, "how many rounds; the order of the systems rotates")
	fs.DurationVar(&o.each, "duration", 3*time.Second, "how long each load is counted")
	fs.StringVar(&o.dir, "dir", "", "folder on the disk to measure (default: a new one among temporary files)")
	fs.StringVar(&o.root, "root", "../..", "folder of the project, for --queue")
	fs.BoolVar(&o.yardstickOnly, "yardstick-only", false, "measure go-verify alone")
	fs.BoolVar(&o.queue, "queue", false, "also run the queue's own benchmarks")
	fs.BoolVar(&o.strict, "strict", false, "exit 3 if a figure misses what it must reach")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.rounds < 1 || o.rounds > 100:
		return o, fmt.Errorf("--rounds %d is not from 1 to 100", o.rounds)
	case o.each < time.Second || o.each > time.Minute:
		return o, fmt.Errorf("--duration %s is not from 1s to 1m", o.each)
	}
	return o, nil
}

// limit is how long a run may take at most: as if every system took the longest
// that one can take, and a minute for what is around.
func (o *options) limit() time.Duration {
	systems := 3
	if o.against != "" {
		systems = 5
	}
	each := 4*o.each + 2*warmUp + settle + drainLimit
	return time.Minute + time.Duration(o.rounds*systems)*each
}

// A system is something that is measured in every round.
type system struct {
	name    string
	measure func(context.Context) (figures, error)
	rounds  []figures
}

func (o *options) systems(b *bench) []*system {
	all := []*system{{name: nameYardstick, measure: b.yardstick}}
	if o.yardstickOnly {
		return all
	}
	add := func(suffix string, p programs) {
		all = append(all,
			&system{name: nameAccept + suffix, measure: func(ctx context.Context) (figures, error) { return b.accept(ctx, p) }},
			&system{name: nameDeliver + suffix, measure: func(ctx context.Context) (figures, error) { return b.deliver(ctx, p) }})
	}
	add("", programs{o.fairlead, o.receiver})
	if o.against != "" {
		add(suffixB, programs{o.against, o.againstReceiver})
	}
	return all
}

func runVerb(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.limit())
	defer cancel()
	dir, err := os.MkdirTemp(o.dir, "fairlead-bench-")
	if err != nil {
		return fmt.Errorf("making folder: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, binary := range []*string{&o.fairlead, &o.receiver, &o.against} {
		if *binary != "" {
			if *binary, err = filepath.Abs(*binary); err != nil {
				return fmt.Errorf("finding program: %w", err)
			}
		}
	}
	o.againstReceiver = filepath.Join(filepath.Dir(o.against), "receiver")
	b, err := newBench(dir, o.each)
	if err != nil {
		return err
	}
	printMachine(os.Stdout, dir)
	systems := o.systems(b)
	if err := rotate(ctx, os.Stderr, systems, o.rounds); err != nil {
		return err
	}
	return report(ctx, os.Stdout, &o, systems)
}

// rotate measures every system once a round, each round beginning with another.
func rotate(ctx context.Context, progress io.Writer, systems []*system, rounds int) error {
	for round := range rounds {
		for i := range systems {
			s := systems[(round+i)%len(systems)]
			fmt.Fprintf(progress, "round %d/%d  %-18s ", round+1, rounds, s.name)
			begin := time.Now()
			f, err := s.measure(ctx)
			if err != nil {
				fmt.Fprintln(progress)
				return fmt.Errorf("measuring %q: %w", s.name, err)
			}
			s.rounds = append(s.rounds, f)
			fmt.Fprintf(progress, "%s  (%.0f s)\n", f.summary(), time.Since(begin).Seconds())
		}
	}
	return nil
}

// summary says a round's figures in a line.
func (f *figures) summary() string {
	s := fmt.Sprintf("%6.0f/s  cpu %5.1f ms/1000", f.perSecond, ms(f.cpu))
	if f.delivered > 0 || f.backlog > 0 {
		return s + fmt.Sprintf("  delivered %6.0f/s  backlog %d, gone after %.1f s", f.delivered, f.backlog, f.drained.Seconds())
	}
	return s + fmt.Sprintf("  p50 %.2f p99 %.2f ms at 1000/s", ms(f.openP50), ms(f.openP99))
}

// report prints the tables.
func report(ctx context.Context, w io.Writer, o *options, systems []*system) error {
	printAbsolute(w, systems)
	if o.yardstickOnly {
		return nil
	}
	rows := ratioRows(systems, sizeOf(o.fairlead), sizeOf(o.receiver))
	missed := printRows(w, rows)
	printLedger(w, systems)
	if o.against != "" {
		printAgainst(w, systems)
	}
	if o.queue {
		if err := benchQueue(ctx, w, o.root); err != nil {
			return err
		}
	}
	if missed && o.strict {
		return errMissed
	}
	return nil
}

// sizeOf returns the bytes of a file; 0 if there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// benchQueue runs the embedded queue's own benchmarks and shows their lines.
func benchQueue(ctx context.Context, w io.Writer, root string) error {
	fmt.Fprintln(w, "\nThe queue alone:")
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchtime", "2s", "./receiver/queue/embedded")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running the queue's benchmarks: %w:\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") {
			fmt.Fprint(w, "  ", line)
		}
	}
	return nil
}
