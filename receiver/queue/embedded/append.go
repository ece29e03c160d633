package embedded

import (
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// Append stores an event for the named sinks, and returns after the sync.
func (q *Queue) Append(ctx context.Context, e *event.Event, d queue.Dedup, sinks []string) (queue.Outcome, error) {
	if d.Key == queue.NoDedup || d.Window <= 0 {
		g, err := q.admit(&record{e: e, id: e.ID}, nil, sinks)
		if err != nil {
			return 0, err
		}
		if err := g.await(ctx); err != nil {
			return 0, err
		}
		return queue.Stored, nil
	}
	return q.appendOnce(ctx, e, identify(e, d), sinks)
}

// appendOnce stores an event unless it is known. No other Append of the same key
// runs meanwhile: one that comes waits until this one's event is synced, because
// Pebble shows what is written before it is.
func (q *Queue) appendOnce(ctx context.Context, e *event.Event, id identity, sinks []string) (queue.Outcome, error) {
	held := id.hash
	if err := q.inflight.enter(ctx, held); err != nil {
		return 0, err
	}
	r := record{e: e, id: e.ID}
	outcome, err := q.recognise(&r, &id)
	if err != nil {
		q.inflight.leave(held)
		return 0, err
	}
	if outcome == queue.Duplicate {
		q.inflight.leave(held)
		return outcome, nil
	}
	g, err := q.admit(&r, &id, sinks)
	if err != nil {
		q.inflight.leave(held)
		return 0, err
	}
	if err := g.await(ctx); err != nil {
		go func() { // others must go on to wait for the sync; this ends with the group
			<-g.done
			q.inflight.leave(held)
		}()
		return 0, err
	}
	q.inflight.leave(held)
	return outcome, nil
}

// group is what is written by one commit and synced together: the events that
// gather for it, or what a control adds to it.
type group struct {
	batch *pebble.Batch
	done  chan struct{} // closed after the sync
	err   error         // why not; may be read when done is closed
	first uint64
	last  uint64 // less than first as long as no sequence was given away
	size  tally
	// oldest and newest bound when the events were received.
	oldest, newest int64
	adds           []addition
}

// addition is what a group changes for one sink.
type addition struct {
	sink *sink
	// queued is the new deliveries, replayed and received those of them that are
	// not of an event that came in.
	queued, replayed, received tally
	// dead is what another queue's dead letters add: they are accepted too.
	dead tally
	// letters is what is added to the counts of dead letters, or taken from them.
	letters letters
}

// grown reports whether the group gave a sequence away.
func (g *group) grown() bool { return g.last >= g.first }

// wake wakes those who wait for the group's deliveries.
func (g *group) wake() {
	for i := range g.adds {
		if a := &g.adds[i]; a.queued.n > 0 {
			a.sink.wakeFor(a.queued.n)
		}
	}
}

// await waits for the sync, or for ctx.
func (g *group) await(ctx context.Context) error {
	if ctx.Done() == nil { // the accept path: no need to choose between two
		<-g.done
		return g.err
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the sync: %w", context.Cause(ctx))
	}
}

// maxTargets is how many sinks an event may be for without an allocation.
const maxTargets = 16

// add puts an event, and what it is recognised by, into the group that the next
// commit writes. The record is laid out in the batch itself, by the goroutine
// that brings it, so that the committer has little left to do.
func (q *Queue) add(r *record, id *identity, names []string) (*group, error) {
	var targetBuf [maxTargets]*sink
	var ordinalBuf [maxTargets]uint32
	targets := targetBuf[:0]
	r.ordinals = ordinalBuf[:0]

	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, queue.ErrClosed
	}
	if err := q.failed(); err != nil {
		return nil, err
	}
	for _, name := range names {
		s, ok := q.byName[name]
		if !ok {
			return nil, fmt.Errorf("storing for %q: %w", name, queue.ErrUnknownSink)
		}
		if !slices.Contains(targets, s) {
			targets, r.ordinals = append(targets, s), append(r.ordinals, s.ordinal)
		}
	}
	size := r.size()
	if err := q.space.take(int64(size)); err != nil {
		return nil, err
	}
	if err := q.reserve(int64(size) * int64(len(targets))); err != nil {
		q.space.giveBack(int64(size))
		return nil, err
	}
	g := q.pendingGroup()
	q.last = q.nextSequence(int64(size))
	if id != nil {
		q.memory.remember(g.batch, id)
	}
	g.put(q.last, r, size)
	for _, s := range targets {
		g.of(s).queued.add(int64(size))
	}
	return g, nil
}

// reserve takes room for a queued delivery of an event for some sinks.
func (q *Queue) reserve(cost int64) error {
	l := q.limits.Load()
	if !l.DropOldestDeadLetter && q.deadBytes.Load() >= l.DeadLetterCapacity {
		return queue.ErrFull
	}
	return q.reserveQueued(cost)
}

// reserveQueued is reserve without regard to the dead letters.
func (q *Queue) reserveQueued(cost int64) error {
	if q.queued.Add(cost) > q.limits.Load().Capacity && cost > 0 {
		q.queued.Add(-cost)
		return errNoRoom
	}
	return nil
}

// nextSequence is the next event's. A window of sequences that holds much ends
// early: its tables also hold the deletions of its events, and space is given back
// by writing again what is left of them. The caller holds mu.
func (q *Queue) nextSequence(size int64) uint64 {
	next := q.last + 1
	if next/eventWindow != q.last/eventWindow {
		q.windowBytes = 0
	}
	if q.windowBytes += size; q.windowBytes > windowBytes && q.windowBytes > size {
		q.windowBytes = size
		next = (q.last/eventWindow + 1) * eventWindow
	}
	return next
}

// pendingGroup returns the group to add to. The caller holds mu.
func (q *Queue) pendingGroup() *group {
	if q.pending == nil {
		q.pending = &group{batch: q.takeBatch(), done: make(chan struct{}), first: q.last + 1}
		q.signal()
	}
	return q.pending
}

// takeBatch returns an empty batch. The caller holds mu.
func (q *Queue) takeBatch() *pebble.Batch {
	if b := q.spare; b != nil {
		q.spare = nil
		return b
	}
	return q.db.NewBatch(pebble.WithInitialSizeBytes(batchInitial), pebble.WithMaxRetainedSizeBytes(batchRetained))
}

// put lays out an event's record in the batch itself.
func (g *group) put(seq uint64, r *record, size int) {
	op := g.batch.SetDeferred(eventKeyLen, size)
	appendEventKey(op.Key[:0], seq)
	r.appendTo(op.Value[:0])
	_ = op.Finish() // fails only for indexed batches
	received := nanos(r.e.ReceivedAt)
	if g.size.n == 0 {
		g.oldest, g.newest = received, received
	}
	g.oldest, g.newest = min(g.oldest, received), max(g.newest, received)
	g.last = seq
	g.size.add(int64(size))
}

// of returns what the group changes for a sink, to be added to.
func (g *group) of(s *sink) *addition {
	i := slices.IndexFunc(g.adds, func(a addition) bool { return a.sink == s })
	if i < 0 {
		i = len(g.adds)
		g.adds = append(g.adds, addition{sink: s})
	}
	return &g.adds[i]
}
