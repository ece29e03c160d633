package embedded

import (
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// unlist takes the sinks that are not among names off the list, so that no event
// can be appended for them. The caller holds mu.
func (q *Queue) unlist(names []string) {
	for name := range q.byName {
		if !slices.Contains(names, name) {
			delete(q.byName, name)
		}
	}
}

// list puts the named sinks on the list, when they are on disk.
func (q *Queue) list(names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range *q.sinks.Load() {
		if slices.Contains(names, s.name) {
			q.byName[s.name] = s
		}
	}
}

// applySinks ends the sinks that are no longer named, and begins the new ones
// behind the last event.
func (q *Queue) applySinks(b *pebble.Batch, names []string) {
	all := *q.sinks.Load()
	retired := false
	for _, s := range all {
		if s.isActive() && !slices.Contains(names, s.name) {
			q.retire(b, s)
			retired = true
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(s *sink) bool { return s.name == name })
		if i < 0 {
			q.addSink(b, name)
			i, all = len(all), *q.sinks.Load()
		}
		all[i].begin(q.covered.Load() + 1)
	}
	if retired {
		q.reviewLeft(b)
	}
}

// addSink gives a sink an ordinal. It is not active.
func (q *Queue) addSink(b *pebble.Batch, name string) *sink {
	all := *q.sinks.Load()
	s := newSink(q, name, nextOrdinal(all))
	q.set(b, append(append(q.keyBuf[:0], kindSinkName), name...), binary.BigEndian.AppendUint32(q.valBuf[:0], s.ordinal))
	all = append(slices.Clip(all), s)
	q.sinks.Store(&all)
	return s
}

// nextOrdinal returns one that was never used. all is in order of ordinals.
func nextOrdinal(all []*sink) uint32 {
	if len(all) == 0 {
		return 1
	}
	return all[len(all)-1].ordinal + 1
}

// retire drops what is queued for a sink.
func (q *Queue) retire(b *pebble.Batch, s *sink) {
	q.drain(b, s) // what was written for it must come before what deletes it
	dropped := s.retire()
	q.queued.Add(-dropped.bytes)
	from := appendSinkKey(nil, kindRetry, s.ordinal)
	q.removeRange(b, from, after(from))
	if dropped.n > 0 {
		q.opts.Logger.Warn("A sink was removed; what was queued for it is dropped", "sink", s.name, "deliveries", dropped.n)
	}
}
