package embedded

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// bucketKeys is how many keys a bucket holds at least before the next one
	// begins, unless it is too old.
	bucketKeys = 1 << 18
	// bucketShare bounds the number of buckets: one holds at least that part of all
	// keys.
	bucketShare = 8
	// bucketAges is how many buckets begin within a window at least.
	bucketAges = 2
	// filterBudget bounds the bytes of all filters.
	filterBudget = 16 << 20
	// receivedBudget is the same for the filters of transfers.
	receivedBudget = 2 << 20
)

// bucket is a run of dedup keys that are written under one prefix and deleted as
// a whole. Because a bucket ends when it holds enough keys, compactions never have
// to merge new keys, whose order is random, into all the old ones.
type bucket struct {
	number  uint32
	started int64
	keys    int
	filter  filter
}

// memory is the buckets that events are looked up in, oldest first; new keys go
// to the last one. Buckets are numbered, not dated, so that a clock that is set
// back forgets nothing.
type memory struct {
	own, entries byte // the kinds of the record of the buckets, and of the keys in them

	buckets []bucket
	window  time.Duration // the longest that was asked for
	budget  int           // how many bytes the filters may still grow by
}

// turn drops the buckets that are too old, begins one if it is time, and reports
// whether anything changed.
func (m *memory) turn(now int64, window time.Duration) bool {
	m.window = max(m.window, window)
	for i := range m.buckets { // the clock was set back: all live on for a window from now
		m.buckets[i].started = min(m.buckets[i].started, now)
	}
	changed := false
	for len(m.buckets) > 1 && now-m.buckets[1].started >= int64(m.window) {
		m.budget += m.buckets[0].filter.size()
		m.buckets[0].filter = filter{}
		m.buckets = m.buckets[1:]
		changed = true
	}
	if m.current() == nil || m.isFull() || now-m.current().started >= int64(m.window/bucketAges) {
		number := uint32(1)
		if c := m.current(); c != nil {
			number = c.number + 1
		}
		m.buckets = append(m.buckets, bucket{number: number, started: now})
		changed = true
	}
	return changed
}

// current is the bucket that new keys go to; nil at the beginning.
func (m *memory) current() *bucket {
	if len(m.buckets) == 0 {
		return nil
	}
	return &m.buckets[len(m.buckets)-1]
}

func (m *memory) isFull() bool {
	c := m.current()
	if c.keys < bucketKeys {
		return false
	}
	all := 0
	for i := range m.buckets {
		all += m.buckets[i].keys
	}
	return c.keys >= all/bucketShare
}

// add enters a key into the current bucket.
func (m *memory) add(h dedupHash) {
	c := m.current()
	c.keys++
	c.filter.add(h, &m.budget)
}

// candidates appends the numbers of the buckets that may hold a key, newest first.
func (m *memory) candidates(list []uint32, h dedupHash) []uint32 {
	for i := len(m.buckets) - 1; i >= 0; i-- {
		if m.buckets[i].filter.has(h) {
			list = append(list, m.buckets[i].number)
		}
	}
	return list
}

func (m *memory) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(append(b, stateVersion), uint64(m.window))
	b = binary.AppendUvarint(b, uint64(len(m.buckets)))
	for _, k := range m.buckets {
		b = binary.AppendUvarint(b, uint64(k.number))
		b = binary.BigEndian.AppendUint64(b, uint64(k.started))
	}
	return b
}

// parse reads what was written when the last bucket began. What the buckets hold is
// not known yet.
func (m *memory) parse(raw []byte) error {
	p := parser{b: raw}
	p.version()
	m.window = time.Duration(p.uvarint(1<<63 - 1))
	for n := p.uvarint(uint64(len(p.b))); n > 0 && p.err == nil; n-- {
		k := bucket{number: uint32(p.uvarint(1<<32 - 1)), started: p.int64()}
		k.filter.unknown = true
		m.buckets = append(m.buckets, k)
	}
	return p.end()
}

// remember writes a key. The caller holds the queue's mu.
func (m *memory) remember(b *pebble.Batch, id *identity) {
	oldest := uint32(0)
	if len(m.buckets) > 0 {
		oldest = m.buckets[0].number
	}
	if m.turn(id.at, id.window) {
		_ = b.Set([]byte{m.own}, m.appendTo(nil), nil) // fails only for indexed batches
		if first := m.buckets[0].number; oldest != 0 && first != oldest {
			_ = b.DeleteRange(appendBucketKey(nil, m.entries, oldest), appendBucketKey(nil, m.entries, first), nil)
		}
	}
	m.add(id.hash)
	op := b.SetDeferred(dedupKeyLen, dedupValueLen)
	appendDedupKey(op.Key[:0], m.entries, m.current().number, id.hash)
	v := binary.BigEndian.AppendUint64(op.Value[:0], uint64(id.at))
	copy(v[8:dedupValueLen], id.digest[:])
	_ = op.Finish()
}

// maxLearn is how many keys are read again after a restart. If there are more,
// events are looked up on disk until those buckets are old.
const maxLearn = 4 << 20

// learnStep is how many keys are read before it is asked whether to go on.
const learnStep = 1024

// learn fills the filters of the buckets that were there when the queue was
// opened, newest first. Until a filter is filled, events are looked up on disk.
func (q *Queue) learn(ctx context.Context, numbers []uint32) {
	left := maxLearn
	for i := len(numbers) - 1; i >= 0; i-- {
		budget := filterBudget / 2
		f, keys, ok := q.learnBucket(ctx, numbers[i], left, &budget)
		if !ok {
			return
		}
		left -= keys
		q.mu.Lock()
		q.memory.learnt(numbers[i], f, keys)
		q.mu.Unlock()
	}
}

// learnt replaces a bucket's unknown filter by what was read, with what came
// meanwhile, if the bucket is still there.
func (m *memory) learnt(number uint32, f filter, keys int) {
	for i := range m.buckets {
		if b := &m.buckets[i]; b.number == number {
			m.budget -= f.size()
			f.layers = append(f.layers, b.filter.layers...)
			f.keys += b.filter.keys
			b.filter, b.keys = f, b.keys+keys
		}
	}
}

// learnBucket reads a bucket's keys, if there are at most most of them.
func (q *Queue) learnBucket(ctx context.Context, number uint32, most int, budget *int) (f filter, keys int, ok bool) {
	prefix := appendBucketKey(nil, kindDedup, number)
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return f, 0, false
	}
	more := it.First()
	for ; more && keys < most; more = it.Next() {
		if keys++; keys%learnStep == 0 && ctx.Err() != nil {
			break
		}
		if key := it.Key(); len(key) == dedupKeyLen {
			f.add(dedupHash(key[1+4:]), budget)
		}
	}
	return f, keys, it.Close() == nil && !more
}
