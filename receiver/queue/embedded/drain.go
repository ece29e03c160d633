package embedded

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// drain writes what a sink's consumers did since the last time.
func (q *Queue) drain(b *pebble.Batch, s *sink) {
	ops, st, ok := s.snapshot()
	if !ok {
		return
	}
	for i := range ops {
		q.apply(b, s, &ops[i], st.active)
	}
	s.recycle(ops)
	st.letters = s.letters
	q.set(b, appendSinkKey(q.keyBuf[:0], kindSinkState, s.ordinal), st.appendTo(q.valBuf[:0]))
}

func (q *Queue) apply(b *pebble.Batch, s *sink, o *op, active bool) {
	retryKey := appendPairKey(q.keyBuf[:0], kindRetry, s.ordinal, o.seq)
	switch o.kind {
	case opRetry:
		if active {
			r := retry{attempts: o.attempts, due: o.due, wait: o.wait, received: o.received, size: o.size, lane: o.lane, reason: o.reason}
			q.set(b, retryKey, r.appendTo(q.valBuf[:0]))
		}
	case opForget:
		q.remove(b, retryKey)
	case opDone:
		q.finishLeft(b, o.seq)
	case opDead:
		if o.failed {
			q.remove(b, retryKey)
		}
		q.keepLetter(b, s, o)
		q.finishLeft(b, o.seq)
	}
}

// keepLetter writes a dead letter with the event's record as it stands in the
// log; if that cannot be read, without.
func (q *Queue) keepLetter(b *pebble.Batch, s *sink, o *op) {
	raw, err := q.get(appendEventKey(nil, o.seq))
	if err != nil {
		q.opts.Logger.Error("A dead letter is kept without its event, which cannot be read", "sink", s.name, "sequence", o.seq, "error", err)
	}
	v := appendDeadLetter(q.valBuf[:0], o.attempts, o.due, o.reason, o.answer, raw)
	q.set(b, appendPairKey(q.keyBuf[:0], kindDead, s.ordinal, o.seq), v)
	s.countLetter(int64(len(v)))
	q.deadBytes.Add(int64(len(v)))
	s.firstLetter = min(s.firstLetter, o.seq)
}

func (s *sink) countLetter(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.add(size)
}

// uncountLetter is for one that was dropped.
func (s *sink) uncountLetter(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.n--
	s.kept.bytes -= size
	s.letters.dropped++
	s.dirty = true
}

// dropLetters drops the oldest dead letters while there are too many of them: of
// those that are written, so that a new one may wait for the next turn.
func (q *Queue) dropLetters(b *pebble.Batch) {
	l := q.limits.Load()
	if !l.DropOldestDeadLetter || q.deadBytes.Load() <= l.DeadLetterCapacity {
		return
	}
	dropped, err := q.dropOldest(b, l)
	if err != nil {
		q.opts.Logger.Error("Dead letters could not be dropped", "error", err)
	}
	if dropped > 0 {
		q.opts.Logger.Warn("Dead letters exceed their capacity; the oldest are dropped", "dropped", dropped)
	}
}

// dropOldest deletes dead letters in the order of their events.
func (q *Queue) dropOldest(b *pebble.Batch, l *queue.Limits) (dropped int, err error) {
	var heads []*letterHead
	defer func() {
		for _, h := range heads {
			h.it.Close()
		}
	}()
	for _, s := range *q.sinks.Load() {
		h, err := q.newLetterHead(s)
		if err != nil {
			return 0, err
		}
		heads = append(heads, h)
	}
	for q.deadBytes.Load() > l.DeadLetterCapacity {
		h := oldestHead(heads)
		if h == nil {
			break
		}
		seq := lastSequence(h.it.Key())
		if _, ended := q.ended[letterKey{h.sink.ordinal, seq}]; ended { // by this very turn
			h.ok = h.it.Next()
			continue
		}
		q.remove(b, append(q.keyBuf[:0], h.it.Key()...))
		v := h.it.LazyValue()
		size := int64(v.Len())
		h.sink.uncountLetter(size)
		q.deadBytes.Add(-size)
		h.sink.firstLetter = seq + 1
		h.ok = h.it.Next()
		dropped++
	}
	return dropped, nil
}

// letterHead is the oldest dead letter of a sink.
type letterHead struct {
	sink *sink
	it   *pebble.Iterator
	ok   bool
}

func (q *Queue) newLetterHead(s *sink) (*letterHead, error) {
	it, err := q.db.NewIter(&pebble.IterOptions{
		LowerBound: appendPairKey(nil, kindDead, s.ordinal, s.firstLetter),
		UpperBound: after(appendSinkKey(nil, kindDead, s.ordinal)),
	})
	if err != nil {
		return nil, err
	}
	return &letterHead{sink: s, it: it, ok: it.First()}, nil
}

func oldestHead(heads []*letterHead) *letterHead {
	var oldest *letterHead
	for _, h := range heads {
		if h.ok && (oldest == nil || lastSequence(h.it.Key()) < lastSequence(oldest.it.Key())) {
			oldest = h
		}
	}
	return oldest
}
