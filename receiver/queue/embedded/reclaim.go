package embedded

import (
	"context"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// reclaimBytes is how many bytes are trimmed before their space is given back,
	// or a share of the capacity if that is less.
	reclaimBytes  = 32 << 20
	reclaimShares = 8
)

// reclaimer gives the space of trimmed events back to the disk. Tables of events
// lie side by side, so nothing makes Pebble compact them; and that is well,
// because an event that is never rewritten costs least. When enough was trimmed
// its tables are compacted, which drops them whole or keeps the few events that
// are left.
type reclaimer struct {
	wake chan struct{}

	mu           sync.Mutex
	begun, ended int // memtables written to disk
	compacting   bool
	spans        []trimmedSpan
}

// trimmedSpan is a run of sequences that was trimmed. Its deletions are in a table,
// not only in memory, when as many memtables as ready says have been written.
type trimmedSpan struct {
	from, to uint64
	ready    int
}

// add has the space of sequences given back, without to.
func (r *reclaimer) add(from, to uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, trimmedSpan{from: from, to: to, ready: r.begun + 1})
}

// busy reports whether space is about to be given back, and whether that waits for
// a memtable to be written.
func (r *reclaimer) busy() (busy, waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.compacting || len(r.spans) > 0, len(r.spans) > 0 && r.spans[0].ready > r.begun
}

func (r *reclaimer) flushBegun() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
}

func (r *reclaimer) flushEnded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = r.begun // one at a time; one that failed has begun twice
	if len(r.spans) > 0 && r.spans[0].ready <= r.ended {
		r.hurry()
	}
}

// hurry has the reclaimer look at what it has to do.
func (r *reclaimer) hurry() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// next takes the spans that are ready, as one.
func (r *reclaimer) next() (span trimmedSpan, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.spans) > 0 && r.spans[0].ready <= r.ended {
		if !ok {
			span, ok = r.spans[0], true
		}
		span.to = r.spans[0].to
		r.spans = r.spans[1:]
	}
	r.compacting = ok
	return span, ok
}

// run gives space back until ctx ends.
func (r *reclaimer) run(ctx context.Context, q *Queue) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		span, ok := r.next()
		if !ok {
			q.hurry()
			continue
		}
		err := q.db.Compact(ctx, appendEventKey(nil, span.from), appendEventKey(nil, span.to), false)
		r.done()
		q.space.lookSoon()
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, pebble.ErrClosed) {
			q.opts.Logger.Error("Space of old events could not be given back yet", "error", err)
		}
	}
}

func (r *reclaimer) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.compacting = false
}

// hurry has the memtable written that holds the deletions, if the disk is short of
// space and takes what is written.
func (q *Queue) hurry() {
	if _, waits := q.reclaimer.busy(); waits && q.space.short.Load() && q.space.wait() <= 0 {
		if _, err := q.db.AsyncFlush(); err != nil {
			q.opts.Logger.Error("Space of old events could not be given back yet", "error", err)
		}
	}
}

// reclaim counts what was freed by trimming a chunk.
func (q *Queue) reclaim(c *chunk, freed int64) {
	q.freed += freed
	q.freedTo = c.last + 1
}

// reclaimDue has the space given back when it is worth it, or short.
func (q *Queue) reclaimDue() {
	least := min(reclaimBytes, q.limits.Load().Capacity/reclaimShares)
	if q.space.short.Load() {
		least = 1
	}
	if q.freed < least {
		return
	}
	q.reclaimer.add(q.freedFrom, q.freedTo)
	q.freed, q.freedFrom = 0, q.freedTo
}
