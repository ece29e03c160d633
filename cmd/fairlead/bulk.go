package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

// The rates of a replay, a second.
const (
	defaultRate = 100
	maxRate     = 1_000_000
)

// bulk is what is done with many things of one or several receivers, and what came
// of it.
type bulk struct {
	done, noun string // such as "replayed" and "dead letter"
	rate       int
	// name is the replay's; empty for what is none.
	name string

	// items are what all receivers together are to deal with.
	items, dealt, missing int
}

// runBulk does something with all items of one receiver. Do does a batch, all of
// it or nothing, and returns how many items were not there.
func runBulk[T any](cmd *cobra.Command, b *bulk, items []T, do func(context.Context, []T) (missing int, err error)) (dealt int, err error) {
	p := admin.NewProgress(cmd.ErrOrStderr(), b.done, time.Now)
	run := admin.Bulk[T]{Items: items, Rate: b.rate, Most: batch, Do: do, Progress: p, Now: time.Now}
	err = run.Run(cmd.Context())
	p.End()
	b.dealt, b.missing = b.dealt+run.Done, b.missing+run.Missing
	return run.Done, err
}

// batch is how many items one call names: few enough for Ctrl-C to work at once.
const batch = 100

// report says what came of it; goOn is how to go on if not all of it was done.
func (b *bulk) report(cmd *cobra.Command, output string, err error, goOn string) error {
	if output != "" {
		out := map[string]any{b.done: b.dealt - b.missing, "missing": b.missing, "left": b.items - b.dealt}
		if b.name != "" {
			out["replay"] = b.name
		}
		if printErr := printData(cmd.OutOrStdout(), output, out); printErr != nil {
			return printErr
		}
	} else {
		b.print(cmd.OutOrStdout())
	}
	if err != nil && b.dealt < b.items {
		return fmt.Errorf("%w; %s", err, goOn)
	}
	return err
}

func (b *bulk) print(w io.Writer) {
	fmt.Fprintf(w, "%s of %d %s", plural(b.dealt-b.missing, b.noun), b.items, b.done)
	if b.name != "" {
		fmt.Fprintf(w, " as %s", oneLine(b.name, maxValue))
	}
	if b.missing > 0 {
		fmt.Fprintf(w, "; %s not there (any more)", were(b.missing, b.noun))
	}
	fmt.Fprintln(w)
}

// replayed notes the name of the replay that a batch was, so that the next batches
// belong to it too.
func (b *bulk) replayed(done *v1.Replayed, err error) (missing int, _ error) {
	if err != nil {
		return 0, err
	}
	b.name = done.Replay
	return done.Missing, nil
}

// confirm notes how many items there are, and refuses to do it with several that
// flags chose, unless that is meant.
func (b *bulk) confirm(n int, yes bool) error {
	b.items = n
	if n > 1 && !yes {
		return usagef("%s match; add --yes if all of them are to be %s, or --dry-run to list them", plural(n, b.noun), b.done)
	}
	return nil
}

func checkReplay(rate int, name string) error {
	switch {
	case rate < 0 || rate > maxRate:
		return usagef("--rate is %d; it must be from 1 to %d, or 0 for as fast as it goes", rate, maxRate)
	case name != "" && !v1.IsReplayName(name):
		return usagef("--name is %q; use at most 64 letters, digits, dots, dashes and underscores", name)
	}
	return nil
}
