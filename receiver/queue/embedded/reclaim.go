package embedded

import (
	"context"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// reclaimer gives the space of trimmed windows back to the disk. Tables of events
// lie side by side, so nothing makes Pebble compact them; and that is well,
// because an event that is never rewritten costs least. When a window was trimmed
// its tables are compacted, which drops them whole or keeps the few events that
// are left.
type reclaimer struct {
	wake chan struct{}

	mu      sync.Mutex
	flushes int // memtables written so far
	windows []trimmedWindow
}

// trimmedWindow is one whose tombstones are on disk, not only in memory, when so
// many memtables have been written.
type trimmedWindow struct {
	number uint64
	ready  int
}

// add has a window's space given back.
func (r *reclaimer) add(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.windows = append(r.windows, trimmedWindow{number: number, ready: r.flushes + 2})
}

// flushed counts a memtable that was written.
func (r *reclaimer) flushed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flushes++; len(r.windows) == 0 || r.windows[0].ready > r.flushes {
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// next takes the run of windows that are ready.
func (r *reclaimer) next() (first, last uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.windows) && r.windows[n].ready <= r.flushes {
		n++
	}
	if n == 0 {
		return 0, 0, false
	}
	first, last = r.windows[0].number, r.windows[n-1].number
	r.windows = r.windows[n:]
	return first, last, true
}

// run gives space back until ctx ends.
func (r *reclaimer) run(ctx context.Context, q *Queue) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		first, last, ok := r.next()
		if !ok {
			continue
		}
		err := q.db.Compact(ctx, appendEventKey(nil, first*eventWindow), appendEventKey(nil, (last+1)*eventWindow), false)
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, pebble.ErrClosed) {
			q.opts.Logger.Error("Space of old events could not be given back yet", "error", err)
		}
	}
}

// reclaimUpTo notes the windows that a trimmed chunk completes.
func (q *Queue) reclaimUpTo(c *chunk) {
	for ; (q.window+1)*eventWindow <= c.last+1; q.window++ {
		q.reclaimer.add(q.window)
	}
}
