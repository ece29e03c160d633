package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// The fault tests hold the queue to one rule, whatever is done to its disk: per
// sink, and as sets of ids, accepted = delivered + dead + queued, and what is
// missing is said to be. This file has what they share.

// seeded returns random numbers that can be repeated: FAIRLEAD_SEED sets the seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("FAIRLEAD_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("FAIRLEAD_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// thorough reports whether tests that look at samples are to look at all.
func thorough() bool { return os.Getenv("FAIRLEAD_FAULTS") == "all" }

// sparse is n, or more of it if the race detector makes everything slow.
func sparse(n int) int {
	if raced {
		return 8 * n
	}
	return n
}

type idSet map[string]bool

func (s idSet) clone() idSet { return maps.Clone(s) }

func (s idSet) plus(o idSet) idSet {
	all := maps.Clone(s)
	maps.Copy(all, o)
	return all
}

func (s idSet) minus(o idSet) idSet {
	rest := idSet{}
	for id := range s {
		if !o[id] {
			rest[id] = true
		}
	}
	return rest
}

func (s idSet) String() string { return fmt.Sprint(slices.Sorted(maps.Keys(s))) }

// book is what a test did with a queue, in ids.
type book struct {
	mu     sync.Mutex
	sent   idSet            // Append was called
	stored idSet            // Append said so
	acked  map[string]idSet // by sink: Ack was called
	died   map[string]idSet // DeadLetter was called
}

func newBook() *book {
	return &book{sent: idSet{}, stored: idSet{}, acked: map[string]idSet{}, died: map[string]idSet{}}
}

func (b *book) note(set *idSet, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if *set == nil {
		*set = idSet{}
	}
	(*set)[id] = true
}

func (b *book) noteFor(set map[string]idSet, sink, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if set[sink] == nil {
		set[sink] = idSet{}
	}
	set[sink][id] = true
}

// copy returns the book as it is.
func (b *book) copy() *book {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := newBook()
	c.sent, c.stored = b.sent.clone(), b.stored.clone()
	for sink := range b.acked {
		c.acked[sink] = b.acked[sink].clone()
	}
	for sink := range b.died {
		c.died[sink] = b.died[sink].clone()
	}
	return c
}

// append brings an event and enters it.
func (b *book) append(t *testing.T, q *embedded.Queue, e *event.Event, sinks ...string) error {
	t.Helper()
	b.note(&b.sent, e.ID)
	out, err := q.Append(t.Context(), e, byID, sinks)
	if err == nil && out != queue.Stored {
		t.Errorf("Append(%q) = %v", e.ID, out)
	}
	if err == nil {
		b.note(&b.stored, e.ID)
	}
	return err
}

// queuedIDs leases all that is queued for a sink, and gives it back. It must be as
// much as the ledger says, and each event as it was stored.
func queuedIDs(t *testing.T, q *embedded.Queue, sink string) idSet {
	t.Helper()
	c, err := q.Consumer(sink)
	if err != nil {
		t.Fatal(err)
	}
	ids := idSet{}
	var held []*queue.Delivery
	for q.Stats().Sinks[sink].Queued > int64(len(held)) {
		d := leaseOrSettle(t, q, c, sink, len(held))
		if d == nil {
			break
		}
		if ids[d.Event.ID] {
			t.Errorf("%q: %q is queued twice", sink, d.Event.ID)
		}
		checkEvent(t, sink, d.Event)
		ids[d.Event.ID] = true
		held = append(held, d)
	}
	for _, d := range held {
		c.Release(d)
	}
	return ids
}

// checkEvent compares an event with what newEvent makes; the body may be padded
// with zeros.
func checkEvent(t *testing.T, sink string, e *event.Event) {
	t.Helper()
	want, got := newEvent(e.ID), *e
	if rest, ok := bytes.CutPrefix(got.Body, want.Body); ok && bytes.Count(rest, []byte{0}) == len(rest) {
		got.Body = want.Body
	}
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Errorf("%q: event (-want +got):\n%.1000s", sink, diff)
	}
}

// leaseOrSettle leases, or returns nil when it turns out that nothing more than
// what is held is queued.
func leaseOrSettle(t *testing.T, q *embedded.Queue, c queue.Consumer, sink string, held int) *queue.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan *queue.Delivery, 1)
	go func() {
		d, err := c.Lease(ctx)
		if err != nil {
			d = nil
		}
		done <- d
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case d := <-done:
			if d == nil && ctx.Err() != nil && q.Stats().Sinks[sink].Queued > int64(held) {
				t.Fatalf("%q: %d are queued and cannot be leased", sink, q.Stats().Sinks[sink].Queued-int64(held))
			}
			return d
		case <-tick.C:
			if q.Stats().Sinks[sink].Queued <= int64(held) {
				cancel()
			}
		}
	}
}

// deadIDs returns the ids of a sink's dead letters, and how many have no event.
func deadIDs(t *testing.T, q *embedded.Queue, sink string) (ids idSet, unread int) {
	t.Helper()
	ids = idSet{}
	err := q.DeadLetters(queue.DeadLetterID{Sink: sink}, func(l *queue.DeadLetter) bool {
		switch {
		case l.Sink != sink:
		case l.Event == nil:
			unread++
		case ids[l.Event.ID]:
			t.Errorf("%q: two dead letters of %q", sink, l.Event.ID)
		default:
			ids[l.Event.ID] = true
		}
		return l.Sink == sink
	})
	if err != nil {
		t.Logf("listing dead letters: %v", err)
	}
	return ids, unread
}

// state is what a reopened queue holds for a sink.
type state struct {
	queued, dead idSet
	missing      idSet // stored, and neither there nor acked
	stats        queue.SinkStats
}

// audit compares a reopened queue with what was done before: before is the book
// when the disk was as the queue found it, after is a later one.
func audit(t *testing.T, q *embedded.Queue, sink string, before, after *book) state {
	t.Helper()
	s := state{queued: queuedIDs(t, q, sink)}
	var unread int
	s.dead, unread = deadIDs(t, q, sink)
	s.stats = q.Stats().Sinks[sink]
	there := s.queued.plus(s.dead)
	s.missing = before.stored.minus(there).minus(after.acked[sink])
	if made := there.minus(after.sent); len(made) > 0 {
		t.Errorf("%q: events that nobody sent: %v", sink, made)
	}
	if both := len(s.queued) + len(s.dead) - len(there); both > 0 {
		t.Errorf("%q: %d are queued and dead", sink, both)
	}
	if alive := s.dead.minus(after.died[sink]); len(alive) > unread+len(alive) {
		t.Errorf("%q: dead letters that did not die: %v", sink, alive)
	}
	if l := s.stats; l.Accepted != l.Delivered+l.Dead+l.Dropped+l.HandedOver+l.Queued || l.Queued != int64(len(s.queued)) ||
		min(l.Accepted, l.Delivered, l.Dead, l.Dropped, l.Queued) < 0 {
		t.Errorf("%q: ledger %+v with %d queued and %d dead", sink, l, len(s.queued), len(s.dead))
	}
	return s
}

// whole fails the test unless all that was answered is there, as sets.
func (s state) whole(t *testing.T, sink string, before, after *book) {
	t.Helper()
	if len(s.missing) > 0 {
		t.Errorf("%q: stored and lost: %v", sink, s.missing)
	}
	least := len(before.stored.minus(s.queued).minus(s.dead))
	most := len(after.acked[sink].minus(s.queued).minus(s.dead))
	if l := s.stats; l.Dropped != 0 || l.Dead != int64(len(s.dead)) || l.Delivered < int64(least) || l.Delivered > int64(most) {
		t.Errorf("%q: ledger %+v; by sets %d to %d were delivered and %d are dead", sink, l, least, most, len(s.dead))
	}
}

// finish acks all that is queued and shows that the queue goes on to work.
func finish(t *testing.T, q *embedded.Queue, sinks ...string) {
	t.Helper()
	if out, err := q.Append(t.Context(), newEvent("fresh"), byID, sinks); err != nil || out != queue.Stored {
		t.Errorf("Append afterwards = %v, %v", out, err)
	}
	for _, sink := range sinks {
		c, err := q.Consumer(sink)
		if err != nil {
			t.Fatal(err)
		}
		got := idSet{}
		for q.Stats().Sinks[sink].Queued > 0 {
			d := leaseOrSettle(t, q, c, sink, 0)
			if d == nil {
				break
			}
			got[d.Event.ID] = true
			c.Ack(d)
		}
		if st := q.Stats().Sinks[sink]; st.Queued != 0 || st.QueuedBytes != 0 || !got["fresh"] {
			t.Errorf("%q: after all was acked: %+v", sink, st)
		}
	}
}

// heard collects what a queue logs as a warning or worse.
type heard struct {
	mu   sync.Mutex
	said []string
}

func (h *heard) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h *heard) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *heard) WithGroup(string) slog.Handler                { return h }
func (h *heard) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	h.said = append(h.said, text)
	return nil
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.said)
}

// copyOf returns a copy of a crashable file system, unsynced data included.
func copyOf(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// refused reports whether an error says that the directory is damaged, and what
// to do.
func refused(err error) bool {
	return errors.Is(err, embedded.ErrDamaged) && bytes.Contains([]byte(err.Error()), []byte("What to do"))
}
