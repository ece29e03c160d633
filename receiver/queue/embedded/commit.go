package embedded

import (
	"context"
	"fmt"
	"runtime"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// control is something that the committer does between two groups.
type control struct {
	// sequences is how many sequences run may give away.
	sequences int
	// prepare is called with mu held when run is about to be: no event of a later
	// group has been admitted yet. nil means nothing.
	prepare func()
	// run does it, by the committer: it checks whether it can be done, and if so
	// writes into the group's batch and counts in the group. What it returns is an
	// error of the one who asked; then it must have changed nothing.
	run func(*group) error
	// finish is called when it is synced. nil means nothing.
	finish func()

	group *group
	err   error
	done  chan error // gets one value, after the sync
}

// control has the committer do c, and waits for it.
func (q *Queue) control(ctx context.Context, c *control) error {
	if err := q.submit(c); err != nil {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the sync: %w", context.Cause(ctx))
	}
}

// submit has the committer do c. It does it, whoever waits for it or not.
func (q *Queue) submit(c *control) error {
	c.done = make(chan error, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	q.controls = append(q.controls, c)
	q.signal()
	return nil
}

// work is what one turn of the committer has to do.
type work struct {
	group    *group
	controls []*control
	flush    bool
	closed   bool
	totals   totals
	batch    *pebble.Batch
}

// commitLoop is the one goroutine that writes. While it syncs, the next group
// gathers; there is no delay to make groups larger.
func (q *Queue) commitLoop() {
	defer close(q.stopped)
	for range q.wake {
		for {
			runtime.Gosched() // those who were just woken may have their next event at hand
			w, ok := q.takeWork()
			if !ok {
				break
			}
			q.turn(&w)
			if w.closed {
				return
			}
		}
	}
}

// takeWork takes what is there to do. From then on new events go to the next
// group, and sinks that are going can no longer be named.
func (q *Queue) takeWork() (work, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := work{group: q.pending, controls: q.controls, flush: q.flushDue, closed: q.closed}
	if w.group == nil && len(w.controls) == 0 && !w.flush && !w.closed {
		return w, false
	}
	q.pending, q.controls, q.flushDue = nil, nil, false
	if w.group != nil {
		w.batch = w.group.batch
	} else {
		w.batch = q.takeBatch()
	}
	for _, c := range w.controls {
		c.group = &group{batch: w.batch, first: q.last + 1, last: q.last}
		q.last += uint64(c.sequences)
		if c.prepare != nil && q.failed() == nil {
			c.prepare()
		}
	}
	w.totals = totals{last: q.last}
	return w, true
}

// turn writes one batch, and tells everybody who waits for it.
func (q *Queue) turn(w *work) {
	err := q.failed()
	if err == nil {
		err = q.write(w)
	}
	if err == nil {
		q.synced.Store(w.totals.last)
	}
	if g := w.group; g != nil {
		g.err = err
		close(g.done)
		g.wake()
	}
	for _, c := range w.controls {
		c.end(err)
	}
	q.settle(err)
	if err == nil {
		q.giveBack(w.batch)
	}
}

// end tells whoever asked for c what became of it. err is why nothing was written.
func (c *control) end(err error) {
	switch {
	case err != nil:
		c.err = err
	case c.err == nil && c.finish != nil:
		c.finish()
	}
	c.done <- c.err
	c.group.wake()
}

// write fills the batch and commits it. A failure is final: the commit may be on
// disk or not, and Pebble takes no other one.
func (q *Queue) write(w *work) error {
	b := w.batch
	q.fill(w)
	sync := pebble.NoSync
	if w.group != nil || len(w.controls) > 0 || w.closed {
		sync = pebble.Sync
	}
	if b.Empty() {
		if sync == pebble.NoSync {
			return nil
		}
		if err := b.LogData(nil, nil); err != nil { // carries the sync of what was not synced
			return err
		}
	}
	if err := b.Commit(sync); err != nil {
		err = fmt.Errorf("committing: %w", err)
		q.fail(err)
		return err
	}
	return q.failed()
}

// fill writes into the batch, behind the events that are there already, what
// follows from them and from what the sinks' consumers did.
func (q *Queue) fill(w *work) {
	if g := w.group; g != nil {
		q.account(g)
	}
	grown := w.group != nil
	for _, c := range w.controls {
		// Sequences are gone even if nothing was made of them: the sinks' positions pass
		// them, and no event may come to stand before those after a restart.
		grown = grown || c.sequences > 0
		if c.err = c.run(c.group); c.err == nil {
			q.account(c.group)
		}
	}
	if grown {
		q.set(w.batch, append(q.keyBuf[:0], kindTotals), w.totals.appendTo(q.valBuf[:0]))
	}
	q.flushSet.Store(false)
	q.dropLetters(w.batch)
	clear(q.ended)
	q.writeIsolated(w.batch)
	for _, s := range *q.sinks.Load() {
		q.drain(w.batch, s)
	}
	q.writeChanged(w.batch)
	q.trim(w.batch)
}

// account enters a group into the ledgers and the chunks.
func (q *Queue) account(g *group) {
	for i := range g.adds {
		a := &g.adds[i]
		a.sink.accept(a, g.last)
		q.deadBytes.Add(a.letters.kept.bytes)
	}
	if g.grown() {
		q.covered.Store(g.last)
	}
	if g.size.n > 0 {
		q.events.Add(g.size.n)
		q.bytes.Add(g.size.bytes)
		q.extendChunk(g)
	}
}

// set writes a key, and keeps the buffers for the next one.
func (q *Queue) set(b *pebble.Batch, key, value []byte) {
	_ = b.Set(key, value, nil) // fails only for indexed batches
	q.keyBuf, q.valBuf = key, value
}

func (q *Queue) remove(b *pebble.Batch, key []byte) {
	_ = b.Delete(key, nil)
	q.keyBuf = key
}

func (q *Queue) removeRange(b *pebble.Batch, from, to []byte) {
	_ = b.DeleteRange(from, to, nil)
}

// settle tells those who wait that the state of their sink was written.
func (q *Queue) settle(err error) {
	for _, s := range *q.sinks.Load() {
		s.settle(err != nil)
	}
	if err == nil {
		q.armTrim()
	}
}

func (q *Queue) giveBack(b *pebble.Batch) {
	b.Reset()
	q.mu.Lock()
	q.spare = b
	q.mu.Unlock()
}
