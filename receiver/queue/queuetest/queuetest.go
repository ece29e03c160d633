// Package queuetest checks that an engine keeps the promises of queue.Queue.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// Open opens the queue in a directory, or opens it again. It fails the test if
// that does not work. It does not close the queue.
type Open func(t *testing.T, dir string) queue.Queue

// Run runs all checks.
func Run(t *testing.T, open func(t *testing.T, dir string) queue.Queue) {
	for _, tt := range []struct {
		name  string
		check func(*testing.T, *bench)
	}{
		{"events arrive as they were", checkExact},
		{"caller keeps its memory", checkNoReference},
		{"no sinks", checkNoSinks},
		{"unknown sink", checkUnknownSink},
		{"ended context", checkEndedContext},
		{"dedup by id", checkByID},
		{"dedup by body", checkByBody},
		{"no dedup", checkNoDedup},
		{"dedup of concurrent events", checkConcurrentDuplicates},
		{"dedup of concurrent conflicts", checkConcurrentConflicts},
		{"dedup after restart", checkDedupRestart},
		{"dedup window", checkWindow},
		{"lease waits", checkLeaseWaits},
		{"lease ends with its context", checkLeaseContext},
		{"order", checkOrder},
		{"one lease at a time", checkOneLease},
		{"stale delivery", checkStale},
		{"nack", checkNack},
		{"nack holds up nothing", checkNackPasses},
		{"release", checkRelease},
		{"retries and new ones share", checkShare},
		{"order by subject", checkBySubject},
		{"order comes and goes", checkOrderGoes},
		{"order under load", checkOrderUnderLoad},
		{"dead letter", checkDeadLetter},
		{"restart at every stage", checkRestart},
		{"sinks are independent", checkIndependent},
		{"new sink", checkNewSink},
		{"removed sink", checkRemovedSink},
		{"full", checkFull},
		{"refused means not kept", checkRefused},
		{"full of dead letters", checkFullOfDead},
		{"oldest dead letter dropped", checkDropOldest},
		{"retention", checkRetention},
		{"oldest queued dropped", checkDropOldestQueued},
		{"finished events go first", checkEviction},
		{"close", checkClose},
		{"close gives leases back", checkCloseLeases},
		{"oldest queued", checkOldest},
		{"ledger under load", checkLedger},
		{"dead letters are listed", checkLetters},
		{"dead letters are dropped", checkDropLetters},
		{"replay of dead letters", checkReplayLetters},
		{"replay of dead letters refused", checkReplayLettersRefused},
		{"replay of dead letters makes room for others", checkReplayFullOfDead},
		{"one replay of a dead letter", checkReplayOnce},
		{"events are listed", checkEvents},
		{"replay of events", checkReplay},
		{"replay of events refused", checkReplayRefused},
		{"hand-over", checkHandOver},
		{"hand-over of a part", checkForgetSome},
		{"received once", checkReceiveOnce},
		{"received at once", checkReceiveTogether},
		{"received or refused", checkReceiveRefused},
		{"received dead letters", checkReceiveDead},
		{"quarantine", checkQuarantine},
		{"quarantine is bounded", checkQuarantineBounds},
		{"quarantine off", checkQuarantineOff},
		{"closed to people", checkClosedToPeople},
		{"random walk", checkRandom},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			b := &bench{t: t, open: open, dir: t.TempDir()}
			b.start()
			t.Cleanup(func() { b.q.Close() })
			tt.check(t, b)
		})
	}
}

// patience is how long a check waits for what must happen.
const patience = 20 * time.Second

// sinks that most checks use.
const (
	app   = "app"
	audit = "audit"
)

var byID = queue.Dedup{Key: queue.ByID, Window: time.Hour}

// bench is one check's queue.
type bench struct {
	t    *testing.T
	open Open
	dir  string
	q    queue.Queue
}

func (b *bench) start() {
	b.t.Helper()
	b.q = b.open(b.t, b.dir)
	b.setSinks(app)
}

// restart closes the queue and opens it again.
func (b *bench) restart() {
	b.t.Helper()
	if err := b.q.Close(); err != nil {
		b.t.Fatalf("Close: %v", err)
	}
	b.q = b.open(b.t, b.dir)
}

func (b *bench) setSinks(names ...string) {
	b.t.Helper()
	if err := b.q.SetSinks(names); err != nil {
		b.t.Fatalf("SetSinks(%q): %v", names, err)
	}
}

func (b *bench) consumer(sink string) queue.Consumer {
	b.t.Helper()
	c, err := b.q.Consumer(sink)
	if err != nil {
		b.t.Fatalf("Consumer(%q): %v", sink, err)
	}
	return c
}

// newEvent returns an event whose body is made of its id.
func newEvent(id string) *event.Event {
	return &event.Event{
		ID: id, Hook: "push", Type: "message.new", Subject: "messaging:fun", Time: "2020-03-30T07:54:46.295138Z", Attempt: 1,
		ContentType: "application/json", Headers: []event.Header{{Name: "X-Webhook-Id", Value: id}},
		ReceivedAt: time.Now().UTC().Round(0), Body: []byte(`{"id":"` + id + `"}`),
	}
}

// append stores an event for the sinks, and wants it to be new.
func (b *bench) append(id string, sinks ...string) *event.Event {
	b.t.Helper()
	e := newEvent(id)
	b.appendEvent(e, queue.Dedup{}, queue.Stored, sinks...)
	return e
}

func (b *bench) appendEvent(e *event.Event, d queue.Dedup, want queue.Outcome, sinks ...string) {
	b.t.Helper()
	got, err := b.q.Append(b.t.Context(), e, d, sinks)
	if err != nil || got != want {
		b.t.Fatalf("Append(%q) = %v, %v; want %v", e.ID, got, err, want)
	}
}

// lease takes the next delivery, which must come.
func (b *bench) lease(sink string) *queue.Delivery {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	d, err := b.consumer(sink).Lease(ctx)
	if err != nil {
		b.t.Fatalf("Lease(%q): %v", sink, err)
	}
	return d
}

// leaseID takes the next delivery, which must be of a certain event.
func (b *bench) leaseID(sink, id string) *queue.Delivery {
	b.t.Helper()
	d := b.lease(sink)
	if d.Event.ID != id {
		b.t.Fatalf("Lease(%q) gives %q, want %q", sink, d.Event.ID, id)
	}
	return d
}

// idle wants that nothing can be leased.
func (b *bench) idle(sink string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Millisecond)
	defer cancel()
	d, err := b.consumer(sink).Lease(ctx)
	if err == nil {
		b.t.Fatalf("Lease(%q) gives %q, want nothing", sink, d.Event.ID)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		b.t.Fatalf("Lease(%q): %v, want the context's error", sink, err)
	}
}

// rest takes all that can be leased now, acks it, and returns the ids, sorted.
func (b *bench) rest(sink string) []string {
	b.t.Helper()
	ids := []string{}
	for n := b.q.Stats().Sinks[sink].Queued; n > 0; n-- {
		d := b.lease(sink)
		ids = append(ids, d.Event.ID)
		b.consumer(sink).Ack(d)
	}
	slices.Sort(ids)
	return ids
}

func (b *bench) wantRest(sink string, want ...string) {
	b.t.Helper()
	if want == nil {
		want = []string{}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, b.rest(sink)); diff != "" {
		b.t.Fatalf("queued for %q (-want +got):\n%s", sink, diff)
	}
	b.idle(sink)
}

// ledger is the counts of a sink.
type ledger struct{ accepted, delivered, dead, dropped, queued, handedOver int64 }

func (b *bench) wantLedger(sink string, want ledger) {
	b.t.Helper()
	s := b.q.Stats().Sinks[sink]
	got := ledger{s.Accepted, s.Delivered, s.Dead, s.Dropped, s.Queued, s.HandedOver}
	if got != want {
		b.t.Fatalf("ledger of %q = %+v, want %+v", sink, got, want)
	}
	if s.Queued == 0 && s.QueuedBytes != 0 {
		b.t.Fatalf("QueuedBytes of %q = %d with nothing queued", sink, s.QueuedBytes)
	}
}

// eventually waits until something is true.
func (b *bench) eventually(what string, f func() bool) {
	b.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !f(); <-tick.C {
		if time.Now().After(end) {
			b.t.Fatalf("still not true after %v: %s", patience, what)
		}
	}
}

// set is a set of ids.
type set map[string]bool

func (s set) sorted() []string { return slices.Sorted(maps.Keys(s)) }

func numbered(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%06d", prefix, i)
	}
	return ids
}
