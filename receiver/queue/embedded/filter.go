package embedded

import "encoding/binary"

// A filter's layers have from minLayer to maxLayer words. Beyond the share of the
// largest, or of the budget, the filter errs more often, which costs time only.
const (
	minLayer   = 64 << 10 / 8
	maxLayer   = 4 << 20 / 8
	layerSteps = 8
	bitsPerKey = 14
	blockWords = 8 // a key's bits are in one cache line
	keyBits    = 7
)

// filter knows of most new keys that they are new, without reading anything. It
// is a Bloom filter that grows by layers. An unknown filter says of every key
// that it may be there.
type filter struct {
	layers  [][]uint64
	keys    int // in the last layer
	unknown bool
}

func (f *filter) add(h dedupHash, budget *int) {
	if len(f.layers) == 0 {
		f.grow(minLayer, budget)
	}
	last := f.layers[len(f.layers)-1]
	if f.keys*bitsPerKey >= len(last)*64 && len(last) < maxLayer {
		if next := min(len(last)*layerSteps, maxLayer); next*8 <= *budget {
			f.grow(next, budget)
			last = f.layers[len(f.layers)-1]
		}
	}
	f.keys++
	block, bits := locate(last, h)
	for range keyBits {
		block[bits>>6&(blockWords-1)] |= 1 << (bits & 63)
		bits >>= 9
	}
}

func (f *filter) grow(words int, budget *int) {
	f.layers, f.keys = append(f.layers, make([]uint64, words)), 0
	*budget -= words * 8
}

// size is how many bytes the filter takes.
func (f *filter) size() (n int) {
	for _, layer := range f.layers {
		n += len(layer) * 8
	}
	return n
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
