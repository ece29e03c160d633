package embedded

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// A filter's layers have from minLayer to maxLayer words. Beyond the share of the
// largest the filter errs more often, which costs time only.
const (
	minLayer   = 64 << 10 / 8
	maxLayer   = 4 << 20 / 8
	layerSteps = 8
	bitsPerKey = 10
	blockWords = 8 // a key's bits are in one cache line
	keyBits    = 6
)

// filter knows of most new keys that they are new, without reading anything. It
// is a Bloom filter that grows by layers. An unknown filter says of every key
// that it may be there.
type filter struct {
	layers  [][]uint64
	keys    int // in the last layer
	unknown bool
}

func (f *filter) add(h dedupHash) {
	if len(f.layers) == 0 {
		f.layers = append(f.layers, make([]uint64, minLayer))
	}
	last := f.layers[len(f.layers)-1]
	if f.keys*bitsPerKey >= len(last)*64 && len(last) < maxLayer {
		last = make([]uint64, min(len(last)*layerSteps, maxLayer))
		f.layers, f.keys = append(f.layers, last), 0
	}
	f.keys++
	block, bits := locate(last, h)
	for range keyBits {
		block[bits>>6&(blockWords-1)] |= 1 << (bits & 63)
		bits >>= 9
	}
}

// has reports whether the key may have been added.
func (f *filter) has(h dedupHash) bool {
	if f.unknown {
		return true
	}
	for _, layer := range f.layers {
		if layerHas(layer, h) {
			return true
		}
	}
	return false
}

func layerHas(layer []uint64, h dedupHash) bool {
	block, bits := locate(layer, h)
	for range keyBits {
		if block[bits>>6&(blockWords-1)]&(1<<(bits&63)) == 0 {
			return false
		}
		bits >>= 9
	}
	return true
}

// locate returns a key's block in a layer, and what says which bits are its own.
func locate(layer []uint64, h dedupHash) (block []uint64, bits uint64) {
	i := binary.LittleEndian.Uint64(h[1:]) % uint64(len(layer)/blockWords) * blockWords
	return layer[i : i+blockWords], binary.LittleEndian.Uint64(h[9:])
}

// filters are those of the current bucket and of the one before.
type filters struct{ current, previous filter }

func (f *filters) turn() { f.current, f.previous = filter{}, f.current }

// maxLearn is how many keys of a bucket are read again after a restart. If there
// are more, each event is looked up on disk until the bucket is old.
const maxLearn = 4 << 20

// learnStep is how many keys are learnt at once, because Append waits meanwhile.
const learnStep = 512

// learn fills the filters with what was remembered before the queue was opened.
// Until it has ended, every event is looked up on disk.
func (q *Queue) learn(ctx context.Context, of bucket) {
	for back, f := range []*filter{&q.filters.current, &q.filters.previous} {
		number := of.number - uint32(back)
		var learnt filter
		complete := number == 0 || number > of.number || q.learnBucket(ctx, number, &learnt)
		q.mu.Lock()
		if complete && q.bucket.number == of.number { // else the filters have moved on
			learnt.join(f)
		}
		q.mu.Unlock()
	}
}

// join replaces an unknown filter by what was learnt and what came meanwhile.
func (f *filter) join(old *filter) {
	if len(old.layers) > 0 {
		f.layers, f.keys = append(f.layers, old.layers...), old.keys
	}
	*old = *f
}

// learnBucket reports whether it could read all of a bucket.
func (q *Queue) learnBucket(ctx context.Context, number uint32, f *filter) bool {
	it, err := q.db.NewIter(&pebble.IterOptions{
		LowerBound: appendBucketKey(nil, number),
		UpperBound: after(appendBucketKey(nil, number)),
	})
	if err != nil {
		return false
	}
	n, ok := 0, it.First()
	for ; ok && n < maxLearn; ok = it.Next() {
		if n++; n%learnStep == 0 && ctx.Err() != nil {
			break
		}
		if key := it.Key(); len(key) == dedupKeyLen {
			f.add(dedupHash(key[1+4:]))
		}
	}
	return it.Close() == nil && !ok
}
