package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const queueHelp = `Queue shows what a receiver's queue holds.

In a cluster, name the endpoint: -n NAMESPACE NAME. Each of its receivers is asked,
through the API server and by a port that is forwarded to its pod, and --pod means one
of them. ClusterRole fairlead-receiver-admin has the rights that it takes.

Exit codes: 0 all is well, 1 what was asked for failed, 2 wrong usage.`

const queueStatusHelp = `Status shows what is queued for each sink, how far each is, what fills up, and the
ledger: accepted = delivered + dead + dropped + handed over + queued.

Exit codes: 0 all is well, 1 a receiver does not answer, 2 wrong usage.`

const queueExample = `  fairlead queue status
  fairlead queue status -n community chat
  fairlead queue status -o json | jq .[0].sinks`

func newQueue() *cobra.Command {
	var r receivers
	cmd := &cobra.Command{
		Use:     "queue",
		Short:   "Show what a receiver's queue holds",
		Long:    queueHelp,
		Example: queueExample,

		SuggestionsMinimumDistance: 2,
	}
	r.register(cmd)
	r.showOr(cmd, func(cmd *cobra.Command, args []string) error { return queueStatus(cmd, &r, args) })
	cmd.AddCommand(&cobra.Command{
		Use:     "status [NAME]",
		Short:   "Show the backlog and the ledger of each sink",
		Long:    queueStatusHelp,
		Example: queueExample,
		Args:    arguments(0, 1, "at most the name of an endpoint in the cluster"),
		RunE:    func(cmd *cobra.Command, args []string) error { return queueStatus(cmd, &r, args) },
	})
	return cmd
}

// locatedQueue is a queue with where it is.
type locatedQueue struct {
	Receiver string `json:"receiver,omitempty"`
	*v1.Queue
}

func queueStatus(cmd *cobra.Command, r *receivers, args []string) error {
	if _, err := r.take(cmd, args, len(args) > 0); err != nil {
		return err
	}
	all, err := r.clients(cmd.Context())
	if err != nil {
		return err
	}
	found, err := collect(cmd.Context(), r, all, func(from *admin.Client) ([]locatedQueue, error) {
		q, err := from.Queue(cmd.Context())
		if err != nil {
			return nil, err
		}
		return []locatedQueue{{r.name(from), q}}, nil
	})
	if r.output != "" {
		if printErr := printData(cmd.OutOrStdout(), r.output, listed(found)); printErr != nil {
			return printErr
		}
		return err
	}
	for i, q := range found {
		if i > 0 {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if printErr := printQueue(cmd.OutOrStdout(), q, time.Now()); printErr != nil {
			return printErr
		}
	}
	return err
}

// alerts says what to do about what fills up.
var alerts = map[string]string{
	"queue":       "The queue is at least half full: look at the sinks below; at its capacity, events are refused",
	"deadLetters": "Dead letters are at least half full: replay, export or drop some",
	"disk":        "The disk has little space left: make the volume larger, or spec.queue.capacity smaller",
}

func printQueue(w io.Writer, q locatedQueue, now time.Time) error {
	free := "unknown"
	if q.FreeBytes >= 0 {
		free = size(q.FreeBytes)
	}
	lines := []line{
		{"Receiver", q.Receiver}, {"Endpoint", q.Namespace + "/" + q.Name}, {"Queue", q.Type},
		{"Queued", size(q.QueuedBytes) + " of " + size(q.CapacityBytes)},
		{"Dead letters", size(q.DeadLetterBytes) + " of " + size(q.DeadLetterCapacityBytes)},
		{"Stored", fmt.Sprintf("%s, %s", plural(int(q.StoredEvents), "event"), size(q.StoredBytes))},
		{"Disk", "room for " + free + " more"},
	}
	if q.Quarantined > 0 {
		lines = append(lines, line{"Quarantine", fmt.Sprintf("%s, %s", plural(int(q.Quarantined), "request"), size(q.QuarantinedBytes))})
	}
	if q.Unreadable > 0 {
		lines = append(lines, line{"Damage", fmt.Sprintf("%d records could not be read; the receiver's log names them", q.Unreadable)})
	}
	for _, a := range q.Alerts {
		lines = append(lines, line{"Alert", alerts[a]})
	}
	if err := printLines(w, lines); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printSinks(w, q.Sinks, now)
}

func printSinks(w io.Writer, sinks []v1.Sink, now time.Time) error {
	t := new(receivers).table(w, "SINK", "STATE", "QUEUED", "RETRYING", "OLDEST", "DEAD LETTERS", "ACCEPTED", "DELIVERED", "DEAD", "DROPPED", "HANDED OVER", "REPLAYED", "RECEIVED")
	var reasons []string
	for i := range sinks {
		s := &sinks[i]
		state := s.State
		if s.Breaker != "" && s.Breaker != "closed" {
			state += ", breaker " + s.Breaker
		}
		n := func(v int64) string { return fmt.Sprint(v) }
		t.row("", s.Name, state, n(s.Queued), n(s.Retrying), age(s.OldestQueued, now), n(s.DeadLetters),
			n(s.Accepted), n(s.Delivered), n(s.Dead), n(s.Dropped), n(s.HandedOver), n(s.Replayed), n(s.Received))
		if s.Reason != "" {
			reasons = append(reasons, oneLine(fmt.Sprintf("%s is %s: %s", s.Name, s.State, cell(s.Reason, 200)), maxValue))
		}
	}
	if err := t.end(); err != nil {
		return err
	}
	if len(reasons) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(reasons, "\n"))
	}
	return nil
}
