package embedded

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Bounds of a chunk.
const (
	chunkEvents = 1024
	chunkBytes  = 4 << 20
	chunkShares = 32 // of the capacity
	chunkAges   = 16 // of the retention
	minTrimWait = time.Second
	// chunksRead is how many chunks one turn reads to find out what is finished:
	// nothing is synced meanwhile.
	chunksRead = 4
)

// extendChunk enters a group into the newest chunk, or into a new one.
func (q *Queue) extendChunk(g *group) {
	now := q.now()
	c := q.newestChunk(now)
	if c == nil {
		c = &chunk{first: g.first, from: now, to: now, oldest: g.oldest, newest: g.newest}
		q.chunks = append(q.chunks, c)
	}
	c.last, c.to = g.last, max(c.to, now)
	c.oldest, c.newest = min(c.oldest, g.oldest), max(c.newest, g.newest)
	c.size.plus(g.size)
	q.writeChunk(g.batch, c)
}

// newestChunk returns the chunk that a group may be added to, or nil.
func (q *Queue) newestChunk(now int64) *chunk {
	if len(q.chunks) == q.trimmed {
		return nil
	}
	l := q.limits.Load()
	c := q.chunks[len(q.chunks)-1]
	if c.size.n >= chunkEvents || c.size.bytes >= min(chunkBytes, l.Capacity/chunkShares) ||
		now-c.from > int64(max(l.Retention/chunkAges, time.Second)) {
		return nil
	}
	return c
}

func (q *Queue) writeChunk(b *pebble.Batch, c *chunk) {
	q.set(b, appendChunkKey(q.keyBuf[:0], c.first), c.appendTo(q.valBuf[:0]))
}

// trim deletes finished events, oldest first: those that are too old, and as many
// as it takes to come back below the capacity. What is not finished stays.
func (q *Queue) trim(b *pebble.Batch) {
	defer q.reclaimDue()
	if !q.trimDue() {
		return
	}
	floor := q.floor()
	for read := 0; q.trimDue(); {
		c := q.chunks[q.trimmed]
		passed := c.last < floor
		if c.last > q.synced.Load() || !q.overCapacity() && !passed {
			return // some sink has not come so far; there will be another turn
		}
		if read++; !passed && read > chunksRead {
			q.flushLater() // the next turn goes on; meanwhile others get theirs
			return
		}
		if err := q.trimChunk(b, c, passed); err != nil {
			q.opts.Logger.Error("Finished events could not be evicted yet", "first", c.first, "last", c.last, "error", err)
			return
		}
	}
}

// overCapacity reports whether finished events are to go: while the disk is short
// of space, earlier than otherwise.
func (q *Queue) overCapacity() bool {
	return q.bytes.Load() > min(q.limits.Load().Capacity, q.space.keep.Load())
}

// trimDue reports whether the oldest chunk that was not trimmed is to be.
func (q *Queue) trimDue() bool {
	return q.trimmed < len(q.chunks) && (q.overCapacity() || q.trimWait() <= 0)
}

// trimWait is how long the oldest chunk that was not trimmed may still be kept.
func (q *Queue) trimWait() time.Duration {
	return time.Duration(q.chunks[q.trimmed].to-q.now()) + q.limits.Load().Retention
}

// floor is the first sequence that some sink has not looked at.
func (q *Queue) floor() uint64 {
	floor := uint64(math.MaxUint64)
	for _, s := range *q.sinks.Load() {
		floor = min(floor, s.floor())
	}
	return floor
}

// floor is the first sequence that the sink has not looked at and might have to.
func (s *sink) floor() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active || s.fresh.n == 0 {
		return math.MaxUint64
	}
	return s.read
}

// trimChunk deletes what has finished of a chunk. passed means that all sinks
// have looked at all of it, so that what is left need not be searched in the log.
// From when the watermark is set, a sink reports what it finishes in the chunk.
func (q *Queue) trimChunk(b *pebble.Batch, c *chunk, passed bool) error {
	q.watermark.Store(c.last)
	if passed {
		for _, s := range *q.sinks.Load() {
			s.collect(c)
		}
	} else if err := q.collectFromLog(c); err != nil {
		c.left = nil
		return err
	}
	c.trimmed = true
	q.deleteAround(b, c)
	was := c.size
	c.size = tally{}
	for _, size := range c.left {
		c.size.add(size)
	}
	q.events.Add(c.size.n - was.n)
	q.bytes.Add(c.size.bytes - was.bytes)
	q.reclaim(c, was.bytes-c.size.bytes)
	if len(c.left) > 0 {
		q.trimmed++
		q.writeChunk(b, c)
		return nil
	}
	q.chunks = slices.Delete(q.chunks, q.trimmed, q.trimmed+1)
	q.remove(b, appendChunkKey(q.keyBuf[:0], c.first))
	return nil
}

// collect has a chunk keep what the sink has not finished.
func (s *sink) collect(c *chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for it := range s.allBegun {
		if it.seq >= c.first && it.seq <= c.last {
			c.keep(it.seq, it.size)
		}
	}
	i, _ := slices.BinarySearchFunc(s.ready, c.first, bySequence)
	for _, it := range s.ready[i:] {
		if it.seq > c.last {
			break
		}
		c.keep(it.seq, it.size)
	}
}

// collectFromLog does the same for all sinks by reading the chunk. It is needed
// only when space is short and a sink is behind.
func (q *Queue) collectFromLog(c *chunk) error {
	return q.records(c.first, c.last, func(seq uint64, raw []byte, err error) bool {
		if err == nil && q.unfinished(seq, raw) {
			c.keep(seq, int64(len(raw)))
		}
		return true
	})
}

// unfinished reports whether a sink still has to do with an event. A record that
// cannot be read is of no use to any.
func (q *Queue) unfinished(seq uint64, raw []byte) bool {
	h, err := parseHeader(raw)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(*q.sinks.Load(), func(s *sink) bool {
		return h.targets.has(s.ordinal) && s.unfinished(seq)
	})
}

// deleteAround deletes the chunk's events but those that are left.
func (q *Queue) deleteAround(b *pebble.Batch, c *chunk) {
	from := c.first
	for _, seq := range append(slices.Sorted(maps.Keys(c.left)), c.last+1) {
		if seq > from {
			q.removeRange(b, appendEventKey(nil, from), appendEventKey(nil, seq))
		}
		from = seq + 1
	}
}

// finishLeft deletes an event that one of its sinks has finished, if it is left
// of a trimmed chunk and no other sink needs it.
func (q *Queue) finishLeft(b *pebble.Batch, seq uint64) {
	i, found := slices.BinarySearchFunc(q.chunks[:q.trimmed], seq, func(c *chunk, seq uint64) int {
		return cmp.Compare(c.last, seq)
	})
	if !found && i == q.trimmed {
		return
	}
	c := q.chunks[i]
	size, left := c.left[seq]
	if !left {
		return
	}
	raw, err := q.get(appendEventKey(nil, seq))
	if err == nil && q.unfinished(seq, raw) {
		return
	}
	delete(c.left, seq)
	q.remove(b, appendEventKey(q.keyBuf[:0], seq))
	c.size.n--
	c.size.bytes -= size
	q.events.Add(-1)
	q.bytes.Add(-size)
	q.changed[c] = struct{}{}
}

// writeChanged writes the trimmed chunks of which something was deleted.
func (q *Queue) writeChanged(b *pebble.Batch) {
	for c := range q.changed {
		if len(c.left) > 0 {
			q.writeChunk(b, c)
			continue
		}
		q.remove(b, appendChunkKey(q.keyBuf[:0], c.first))
		i := slices.Index(q.chunks, c)
		q.chunks = slices.Delete(q.chunks, i, i+1)
		q.trimmed--
	}
	clear(q.changed)
}

// reviewLeft looks at all that is left of trimmed chunks, when a sink is gone.
func (q *Queue) reviewLeft(b *pebble.Batch) {
	for _, c := range q.chunks[:q.trimmed] {
		for seq := range maps.Clone(c.left) {
			q.finishLeft(b, seq)
		}
	}
}

// armTrim has the committer look again when the oldest chunk is due.
func (q *Queue) armTrim() {
	if q.trimmed < len(q.chunks) && !q.trimArmed.Swap(true) {
		q.trimTimer.Reset(max(q.trimWait(), minTrimWait))
	}
}

func (q *Queue) trimNow() {
	q.trimArmed.Store(false)
	q.flushNow()
}

// records calls f with the records from one sequence to another, both included,
// until it returns false. Where the log is damaged it is read one by one, to get
// past that; f gets the error of what is damaged. f must not keep raw. Any other
// trouble with reading is returned: the same may work later.
func (q *Queue) records(from, to uint64, f func(seq uint64, raw []byte, err error) bool) error {
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: appendEventKey(nil, from), UpperBound: appendEventKey(nil, to+1)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		var raw []byte
		if raw, err = it.ValueAndErr(); err != nil {
			break
		}
		from = lastSequence(it.Key()) + 1
		if !f(from-1, raw, nil) {
			return it.Close()
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err == nil || !pebble.IsCorruptionError(err) {
		return err
	}
	for more := true; more && from <= to; from++ {
		raw, err := q.get(appendEventKey(nil, from))
		if err != nil && !pebble.IsCorruptionError(err) {
			return err
		}
		if raw != nil || err != nil {
			more = f(from, raw, err)
		}
	}
	return nil
}
