package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const deadLettersHelp = `Deadletters shows the deliveries that get no more attempts, and decides about
them: replay has them made again, drop forgets them, export and import take them
from one receiver to another.

A dead letter is named SINK/SEQUENCE, as list shows it. Where several are meant,
--sink, --type, --reason, --older-than and --newer-than choose among all.

In a cluster, name the endpoint: -n NAMESPACE NAME. Each of its receivers is asked,
through the API server and by a port that is forwarded to its pod, and --pod means one
of them. ClusterRole fairlead-receiver-admin has the rights that it takes.

Exit codes: 0 all is well, 1 what was asked for failed, 2 wrong usage, 130 stopped
by Ctrl-C.`

const deadLettersExample = `  # What could not be delivered, and why: by a receiver that runs here, and by all
  # receivers of an endpoint in a cluster.
  fairlead deadletters list
  fairlead deadletters show app/12
  fairlead deadletters list -n community chat
  fairlead deadletters show -n community chat app/12 --pod chat-receiver-6f9c48dcd7-kzgql

  # The sink works again: make all of its deliveries again.
  fairlead deadletters replay --sink app --yes
  fairlead deadletters replay -n community chat --sink app --yes`

func newDeadLetters() *cobra.Command {
	var r receivers
	cmd := &cobra.Command{
		Use:     "deadletters",
		Short:   "Decide about deliveries that get no more attempts",
		Long:    deadLettersHelp,
		Example: deadLettersExample,

		SuggestionsMinimumDistance: 2,
	}
	r.register(cmd)
	r.showOr(cmd, func(cmd *cobra.Command, args []string) error {
		return listLetters(cmd, &r, args, &choice{limit: listLimit})
	})
	cmd.AddCommand(newLettersList(&r), newLettersShow(&r), newLettersReplay(&r), newLettersDrop(&r), newLettersExport(&r), newLettersImport(&r))
	return cmd
}

// choice is how dead letters are chosen: by name, or by what they are like.
type choice struct {
	filter admin.LetterFilter
	limit  int
	all    bool
}

func (c *choice) register(cmd *cobra.Command, limit int) {
	fl := cmd.Flags()
	fl.StringVar(&c.filter.Sink, "sink", "", "only those of this sink")
	fl.StringVar(&c.filter.Type, "type", "", `only events of this type, in the provider's words; * stands for anything, as in "message.*"`)
	fl.StringVar(&c.filter.Reason, "reason", "", "only those whose reason holds this text")
	fl.DurationVar(&c.filter.OlderThan, "older-than", 0, "only those that died longer ago than this, such as 2h")
	fl.DurationVar(&c.filter.NewerThan, "newer-than", 0, "only those that died within this time, such as 15m")
	fl.IntVar(&c.limit, "limit", limit, "at most so many; 0 for all")
}

func (c *choice) check() error {
	switch {
	case c.limit < 0:
		return usagef("--limit is %d; it must not be negative", c.limit)
	case c.filter.OlderThan < 0 || c.filter.NewerThan < 0:
		return usagef("--older-than and --newer-than are durations like 15m or 2h")
	}
	return nil
}

// checkNames checks what chooses dead letters to do something with.
func (c *choice) checkNames(names []string) error {
	for _, n := range names {
		if !v1.IsDeadLetterName(n) {
			return usagef("%q names no dead letter; write SINK/SEQUENCE, as fairlead deadletters list shows them", n)
		}
	}
	chosen := c.all || !c.filter.Empty()
	switch {
	case len(names) > 0 && chosen:
		return usagef("name dead letters, or choose them by flags, not both")
	case len(names) == 0 && !chosen:
		return usagef("no dead letter is named; fairlead deadletters list shows them. Or choose by flags such as --sink, or --all")
	}
	return c.check()
}

// visit calls f with the dead letters of a receiver that are chosen.
func (c *choice) visit(ctx context.Context, from *admin.Client, full bool, f func(*v1.DeadLetter) error) (more bool, err error) {
	n := 0
	var failed error
	err = from.DeadLetters(ctx, c.filter, full, func(d *v1.DeadLetter) bool {
		if c.limit > 0 && n == c.limit {
			more = true
			return false
		}
		n++
		failed = f(d)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return more, err
}

// locatedLetter is a dead letter with where it is.
type locatedLetter struct {
	Receiver string `json:"receiver,omitempty"`
	v1.DeadLetter
}

func diedAgo(d *v1.DeadLetter, now time.Time) string { return age(&d.DeadAt, now) }
