package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// formatVersion is the version of the key space. A program refuses a directory
// of a newer one. It reads every older one and goes on in its own format, which
// an older program then refuses.
//
//	1  the first
//	2  records know their lane, attempts made elsewhere and replays; ledgers know
//	   what was handed over, replayed and received; transfers; quarantine
const formatVersion = 2

// load reads everything but events, dedup entries and dead letters. The directory
// goes over to this format only when all was read.
func (q *Queue) load() error {
	old, err := q.checkVersion()
	if err != nil {
		return err
	}
	if err := q.loadTotals(); err != nil {
		return err
	}
	for _, m := range []*memory{&q.memory, &q.received} {
		if err := q.loadMemory(m); err != nil {
			return err
		}
	}
	if err := q.loadIsolated(); err != nil {
		return err
	}
	if err := q.loadSinks(); err != nil {
		return err
	}
	if err := q.loadChunks(); err != nil {
		return err
	}
	q.passPositions()
	if err := q.recount(); err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	if !old {
		return nil
	}
	if err := q.db.Set([]byte{kindVersion}, binary.AppendUvarint(nil, formatVersion), pebble.Sync); err != nil {
		return fmt.Errorf("writing the format version: %w", err)
	}
	return q.failed()
}

// checkVersion refuses a newer format, and reports whether it is an older one.
func (q *Queue) checkVersion() (old bool, err error) {
	raw, err := q.get([]byte{kindVersion})
	if err != nil {
		return false, fmt.Errorf("reading the format version: %w", err)
	}
	v, n := binary.Uvarint(raw)
	switch {
	case raw != nil && n <= 0:
		return false, fmt.Errorf("reading the format version: %w", errRecord)
	case v > formatVersion:
		return false, fmt.Errorf("it was written by a newer version of Fairlead (format %d, this one reads up to %d): use that version, or another directory", v, formatVersion)
	}
	return v < formatVersion, nil
}

// passPositions makes sure that no event comes to stand where a sink has looked
// already.
func (q *Queue) passPositions() {
	for _, s := range q.byName {
		q.last = max(q.last, max(s.read, 1)-1)
	}
	q.synced.Store(q.last)
	q.covered.Store(q.last)
	for _, s := range *q.sinks.Load() {
		s.upto = q.last
	}
}

func (q *Queue) loadTotals() error {
	raw, err := q.get([]byte{kindTotals})
	if err != nil || raw == nil {
		return err
	}
	t, err := parseTotals(raw)
	if err != nil {
		return fmt.Errorf("reading the totals: %w", err)
	}
	q.last = t.last
	q.synced.Store(t.last)
	q.covered.Store(t.last)
	return nil
}

func (q *Queue) loadMemory(m *memory) error {
	raw, err := q.get([]byte{m.own})
	if err != nil || raw == nil {
		return err
	}
	if err := m.parse(raw); err != nil {
		return fmt.Errorf("reading the buckets of keys: %w", err)
	}
	return nil
}

func (q *Queue) loadSinks() error {
	var all []*sink
	err := q.scan([]byte{kindSinkName}, func(key, value []byte) error {
		if len(value) != 4 {
			return errRecord
		}
		s := newSink(q, string(key[1:]), binary.BigEndian.Uint32(value))
		all = append(all, s)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the sinks: %w", err)
	}
	slices.SortFunc(all, func(a, b *sink) int { return int(a.ordinal) - int(b.ordinal) })
	q.sinks.Store(&all)
	for _, s := range all {
		if err := q.loadSink(s); err != nil {
			return fmt.Errorf("reading sink %q: %w", s.name, err)
		}
	}
	return nil
}

func (q *Queue) loadSink(s *sink) error {
	raw, err := q.get(appendSinkKey(nil, kindSinkState, s.ordinal))
	if err != nil {
		return err
	}
	st, err := parseSinkState(raw)
	if err != nil {
		return err
	}
	s.restore(st)
	if err := q.mendLetters(s); err != nil {
		return err
	}
	q.deadBytes.Add(s.kept.bytes)
	if !st.active {
		return nil
	}
	q.byName[s.name] = s
	err = q.scan(appendSinkKey(nil, kindRetry, s.ordinal), func(key, value []byte) error {
		r, err := parseRetry(value)
		if err != nil {
			return err
		}
		s.restoreRetry(lastSequence(key), r)
		return nil
	})
	if err != nil {
		return err
	}
	q.restoreHoles(s, st.holes)
	s.countFresh()
	q.queued.Add(s.ledger.queued().bytes)
	return nil
}

// restoreHoles gives back what was leased when the process ended.
func (q *Queue) restoreHoles(s *sink, holes []uint64) {
	for _, seq := range holes {
		it := &item{seq: seq, received: noTime}
		if raw, err := q.get(appendEventKey(nil, seq)); err == nil {
			it.size = int64(len(raw))
			if h, err := parseHeader(raw); err == nil {
				it.received, it.lane = h.since(), h.lane
				it.attempts, _ = h.targets.find(s.ordinal)
			}
		}
		s.holes[seq] = it
		s.returned = append(s.returned, it)
	}
}

func (q *Queue) loadChunks() error {
	err := q.scan([]byte{kindChunk}, func(key, value []byte) error {
		c, err := parseChunk(lastSequence(key), value)
		if err != nil {
			return err
		}
		q.chunks = append(q.chunks, c)
		q.events.Add(c.size.n)
		q.bytes.Add(c.size.bytes)
		if c.trimmed {
			q.trimmed = len(q.chunks)
			q.watermark.Store(c.last)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the chunks: %w", err)
	}
	return nil
}

// get returns a copy of a value, or nil if the key is not there.
func (q *Queue) get(key []byte) ([]byte, error) {
	v, closer, err := q.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append(make([]byte, 0, len(v)), v...), nil
}

// intact returns a copy of the record of an event; nil if it is not there, or if its
// place on the disk is damaged.
func (q *Queue) intact(seq uint64) ([]byte, error) {
	raw, err := q.get(appendEventKey(nil, seq))
	if pebble.IsCorruptionError(err) {
		return nil, nil
	}
	return raw, err
}

// scan calls f with every key that begins with prefix, in order. f must not keep
// what it is given.
func (q *Queue) scan(prefix []byte, f func(key, value []byte) error) error {
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = f(it.Key(), v)
		}
	}
	return errors.Join(err, it.Close())
}

// after returns the first key behind all those that begin with prefix, whose last
// byte is not 255 or is followed by none.
func after(prefix []byte) []byte {
	b := slices.Clone(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}
