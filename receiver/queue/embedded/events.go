package embedded

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

var _ queue.Events = (*Queue)(nil)

// Events calls f with the stored events that were received within a time.
func (q *Queue) Events(after uint64, since, until time.Time, f func(*queue.StoredEvent) bool) error {
	p := eventPage{q: q, next: after + 1, since: math.MinInt64, until: math.MaxInt64}
	if !since.IsZero() {
		p.since = nanos(since)
	}
	if !until.IsZero() {
		p.until = nanos(until)
	}
	for !p.done {
		if err := q.read(p.fill); err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		if !p.give(f) {
			return nil
		}
	}
	return nil
}

// eventPage is some of the events that somebody asked for.
type eventPage struct {
	page[*queue.StoredEvent]
	q            *Queue
	next         uint64 // the first sequence that was not looked at
	since, until int64
	done         bool // there are no more
	names        map[uint32]string
}

// fill reads the next page. It goes by the stored chunks, so that it neither reads
// those that hold nothing of that time, nor walks over what was deleted.
func (p *eventPage) fill() error {
	p.names = p.q.sinkNames()
	it, err := p.q.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindChunk}, UpperBound: []byte{kindChunk + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	ok := it.SeekLT(appendChunkKey(nil, p.next+1)) // the one that next may be in
	if !ok {
		ok = it.First()
	}
	for ; ok && !p.full(); ok = it.Next() {
		raw, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		c, err := parseChunk(lastSequence(it.Key()), raw)
		if err != nil {
			return err
		}
		if err := p.chunk(c); err != nil {
			return err
		}
	}
	p.done = !ok && !p.full()
	return it.Error()
}

// chunk reads a chunk's events from next on.
func (p *eventPage) chunk(c *chunk) error {
	last := min(c.last, p.q.synced.Load())
	if c.newest < p.since || c.oldest >= p.until || last < p.next {
		return nil
	}
	if c.trimmed {
		return p.left(c, last)
	}
	return p.q.records(max(p.next, c.first), last, func(seq uint64, raw []byte, err error) bool {
		if p.full() {
			return false
		}
		if err == nil {
			p.consider(seq, raw)
		}
		p.next = seq + 1
		return true
	})
}

// left reads what is left of a trimmed chunk.
func (p *eventPage) left(c *chunk, last uint64) error {
	var seqs []uint64
	for seq := range c.left {
		if seq >= p.next && seq <= last {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		if p.full() {
			return nil
		}
		raw, err := p.q.intact(seq)
		if err != nil {
			return err
		}
		if raw != nil {
			p.consider(seq, raw)
		}
		p.next = seq + 1
	}
	return nil
}

// consider keeps an event if it can be read and was received within the time.
func (p *eventPage) consider(seq uint64, raw []byte) {
	h, err := parseHeader(raw)
	if err != nil || h.received < p.since || h.received >= p.until {
		return
	}
	raw = slices.Clone(raw)
	e, err := decodeRecord(raw)
	if err != nil {
		return
	}
	stored := &queue.StoredEvent{Sequence: seq, Event: e}
	h.targets.each(func(ordinal uint32, _ int) {
		if name, ok := p.names[ordinal]; ok {
			stored.Sinks = append(stored.Sinks, name)
		}
	})
	p.add(stored, len(raw))
}

// sinkNames maps ordinals to names.
func (q *Queue) sinkNames() map[uint32]string {
	names := make(map[uint32]string)
	for _, s := range *q.sinks.Load() {
		names[s.ordinal] = s.name
	}
	return names
}
