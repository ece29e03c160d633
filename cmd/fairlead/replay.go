package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const replayHelp = `Replay delivers events once more that a receiver has stored, delivered ones
included, as long as spec.queue.retention and its capacity keep them. Sinks get
the same id and bytes, with the replay's name in the CloudEvent extension
fairleadreplay; to the receiver they are no duplicates.

Choose the events by flags. --since and --until compare when events were received;
write a time like 2027-01-31T12:00:00Z, or a duration like 2h for so long ago. Each
event goes to the sinks that it was stored for, or with --sink only to that one.
Events that a replay has stored are not replayed again: their first copy is.

Where more than one event is chosen, --yes must say that this is meant (--dry-run
lists them). They are queued at --rate, and while the queue is full this waits.
Ctrl-C finishes what is under way and says how to go on.

For deliveries that have failed, see fairlead deadletters replay.

In a cluster, name the endpoint: -n NAMESPACE NAME. Each of its receivers is asked,
through the API server and by a port that is forwarded to its pod, and --pod means one
of them. ClusterRole fairlead-receiver-admin has the rights that it takes.

Exit codes: 0 all were replayed, 1 some could not be, 2 wrong usage, 130 stopped
by Ctrl-C.`

const replayExample = `  # The sink lost what it got this morning.
  fairlead replay --since 2027-01-31T06:00:00Z --until 2027-01-31T09:30:00Z --sink app --dry-run
  fairlead replay --since 2027-01-31T06:00:00Z --until 2027-01-31T09:30:00Z --sink app --yes

  # All new messages of the last two hours, slowly.
  fairlead replay --since 2h --type message.new --rate 20 --yes

  # What an endpoint in a cluster got since then, from all of its receivers.
  fairlead replay -n community chat --since 30m --sink app --yes`

// replayFlags are the flags of replay.
type replayFlags struct {
	receivers
	since, until     string
	filter           admin.EventFilter
	rate, limit      int
	name             string
	all, yes, dryRun bool
}

func newReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:     "replay [NAME] --since TIME|DURATION",
		Short:   "Deliver stored events once more",
		Long:    replayHelp,
		Example: replayExample,
		Args:    arguments(0, 1, "at most the name of an endpoint in the cluster; choose events by flags"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := f.take(cmd, args, len(args) > 0); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	f.receivers.register(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.since, "since", "", "only events received at this time or later: RFC 3339, or a duration for so long ago")
	fl.StringVar(&f.until, "until", "", "only events received before this time; else now")
	fl.StringVar(&f.filter.Type, "type", "", `only events of this type, in the provider's words; * stands for anything, as in "message.*"`)
	fl.StringVar(&f.filter.Sink, "sink", "", "only events that were stored for this sink, and only to it")
	fl.StringVar(&f.filter.Hook, "hook", "", "only events of this hook of the provider")
	fl.Uint64Var(&f.filter.After, "after", 0, "only events behind this sequence: where a replay was stopped")
	fl.IntVar(&f.limit, "limit", 0, "at most so many events; 0 for all")
	fl.IntVar(&f.rate, "rate", defaultRate, "at most so many events a second; 0 for as fast as it goes")
	fl.StringVar(&f.name, "name", "", "name of the replay; else one is made up")
	fl.BoolVar(&f.all, "all", false, "all events that are stored, without --since")
	fl.BoolVar(&f.yes, "yes", false, "all that are chosen are meant")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only list which they are")
	return cmd
}

func (f *replayFlags) check(now time.Time) (err error) {
	if err := checkReplay(f.rate, f.name); err != nil {
		return err
	}
	switch {
	case f.since == "" && !f.all:
		return usagef("--since is missing; say from when on, or --all for all that is stored")
	case f.limit < 0:
		return usagef("--limit is %d; it must not be negative", f.limit)
	case f.filter.After > 0 && f.inCluster != "" && len(f.pods) != 1:
		return usagef("--after is a sequence of one receiver; name that one with --pod")
	case f.filter.After > 0 && len(f.addresses) > 1:
		return usagef("--after is a sequence of one receiver; name that one with --admin")
	}
	if f.filter.Since, err = moment("--since", f.since, time.Time{}, now); err != nil {
		return err
	}
	if f.filter.Until, err = moment("--until", f.until, now, now); err != nil {
		return err
	}
	if !f.filter.Since.Before(f.filter.Until) {
		return usagef("--since is not before --until; no event can match")
	}
	return nil
}

// moment reads a time, or a duration before now.
func moment(flag, text string, missing, now time.Time) (time.Time, error) {
	if text == "" {
		return missing, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usagef("%s is %q; write a time like 2027-01-31T12:00:00Z, or a duration like 90m for so long ago", flag, text)
	}
	return t, nil
}

func (f *replayFlags) run(cmd *cobra.Command) error {
	if err := f.check(time.Now()); err != nil {
		return err
	}
	all, err := f.clients(cmd.Context())
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.list(cmd, all)
	}
	chosen, n, err := f.choose(cmd.Context(), all)
	if err != nil {
		return f.without(all, err)
	}
	b, done := &bulk{done: "replayed", noun: "event", rate: f.rate, name: f.name}, map[*admin.Client]int{}
	if err := b.confirm(n, f.yes); err != nil {
		return err
	}
	err = f.each(cmd.Context(), all, func(to *admin.Client) (err error) {
		done[to], err = runBulk(cmd, b, chosen[to], f.replay(to, b))
		return err
	})
	return b.report(cmd, f.output, err, f.goOn(all, b, chosen, done))
}

// replay returns what replays a batch.
func (f *replayFlags) replay(to *admin.Client, b *bulk) func(context.Context, []v1.EventReplay) (int, error) {
	return func(ctx context.Context, batch []v1.EventReplay) (int, error) {
		return b.replayed(to.ReplayEvents(ctx, batch, b.name))
	}
}

// goOn says how to replay the others, of every receiver that has some left. It is
// the same command but for a time that was given as a duration: that is another one
// by now.
func (f *replayFlags) goOn(all []*admin.Client, b *bulk, chosen map[*admin.Client][]v1.EventReplay, done map[*admin.Client]int) string {
	var ways []string
	for _, to := range all {
		if done[to] < len(chosen[to]) {
			ways = append(ways, f.rest(to, b, chosen[to], done[to]))
		}
	}
	often := ""
	if len(ways) > 1 {
		often = " once for each of these,"
	}
	return "to go on, give the same command" + often + " with" + strings.Join(ways, ", and with")
}

// rest are the flags that choose what one receiver has left when the first of its
// events are done.
func (f *replayFlags) rest(to *admin.Client, b *bulk, events []v1.EventReplay, done int) string {
	flags := ""
	if done > 0 {
		flags = " --after " + strconv.FormatUint(events[done-1].Sequence, 10)
	}
	if b.name != "" {
		flags += " --name " + b.name
	}
	if f.limit > 0 {
		flags += " --limit " + strconv.Itoa(len(events)-done)
	}
	switch {
	case f.inCluster != "":
		flags += " --pod " + to.Name()
	case f.several:
		flags += " --admin " + to.Name()
	}
	if !f.filter.Since.IsZero() {
		flags += " --since " + f.filter.Since.UTC().Format(time.RFC3339Nano)
	}
	flags += " --until " + f.filter.Until.UTC().Format(time.RFC3339Nano)
	switch {
	case len(f.pods) > 1:
		flags += " and no other --pod"
	case f.inCluster == "" && f.several:
		flags += " and no other --admin"
	}
	return flags
}

// visit calls fn with the events that are chosen, and the sinks that they go to.
func (f *replayFlags) visit(ctx context.Context, from *admin.Client, fn func(*v1.Event, []string)) error {
	q, err := from.Queue(ctx)
	if err != nil {
		return err
	}
	n := 0
	return from.Events(ctx, f.filter, func(e *v1.Event) bool {
		sinks := f.sinks(e, q)
		if e.Replay != "" || len(sinks) == 0 {
			return true
		}
		n++
		fn(e, sinks)
		return n != f.limit
	})
}

// sinks returns where an event goes: not to sinks that were taken out.
func (f *replayFlags) sinks(e *v1.Event, q *v1.Queue) []string {
	var out []string
	for _, name := range e.Sinks {
		listed := slices.ContainsFunc(q.Sinks, func(s v1.Sink) bool { return s.Name == name && s.State != v1.StateRemoved })
		if listed && (f.filter.Sink == "" || f.filter.Sink == name) {
			out = append(out, name)
		}
	}
	return out
}

// choose finds what is chosen, before anything is done, and counts it.
func (f *replayFlags) choose(ctx context.Context, all []*admin.Client) (map[*admin.Client][]v1.EventReplay, int, error) {
	type found struct {
		at     *admin.Client
		events []v1.EventReplay
	}
	events, err := collect(ctx, &f.receivers, all, func(from *admin.Client) ([]found, error) {
		x := found{at: from}
		err := f.visit(ctx, from, func(e *v1.Event, sinks []string) {
			x.events = append(x.events, v1.EventReplay{Sequence: e.Sequence, Sinks: sinks})
		})
		return []found{x}, err
	})
	chosen, n := map[*admin.Client][]v1.EventReplay{}, 0
	for _, x := range events {
		chosen[x.at] = x.events
		n += len(x.events)
	}
	return chosen, n, err
}

// locatedEvent is an event with where it is.
type locatedEvent struct {
	Receiver string `json:"receiver,omitempty"`
	v1.Event
}

func (f *replayFlags) list(cmd *cobra.Command, all []*admin.Client) error {
	found, err := collect(cmd.Context(), &f.receivers, all, func(from *admin.Client) (some []locatedEvent, err error) {
		err = f.visit(cmd.Context(), from, func(e *v1.Event, sinks []string) {
			some = append(some, locatedEvent{f.receivers.name(from), *e})
			some[len(some)-1].Sinks = sinks
		})
		return some, err
	})
	if err != nil {
		return err
	}
	if f.output != "" {
		return printData(cmd.OutOrStdout(), f.output, listed(found))
	}
	now := time.Now()
	t := f.table(cmd.OutOrStdout(), "SEQUENCE", "EVENT", "TYPE", "RECEIVED", "SIZE", "SINKS")
	for i := range found {
		e := &found[i]
		t.row(e.Receiver, strconv.FormatUint(e.Sequence, 10), cell(e.ID, 40), cell(e.Type, 40), age(&e.ReceivedAt, now), size(int64(e.Size)), fmt.Sprint(e.Sinks))
	}
	return t.end()
}
