package intake

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// A table remembers one time for each of many addresses, in eight bytes an
// address and without locks: sets of eight words, one cache line each, that an
// address's hash chooses. A word is a tag of tagBits of the hash, and the time in
// microseconds, of which the low timeBits are kept; 0 is an empty word.
//
// Two addresses of one set with the same tag are taken for one. With a full set
// that happens to one in two million addresses, and nobody outside can choose
// which: the hash has a secret seed.
type table []set

type set [ways]atomic.Uint64

const (
	ways     = 8
	timeBits = 40
	timeMask = 1<<timeBits - 1
)

// tick is a time in a table: microseconds, as far as timeBits go.
type tick = uint64

// clock turns times into ticks.
type clock struct{ base time.Time }

func (c clock) tick(now time.Time) tick {
	d := now.Sub(c.base)
	if d < 0 {
		d -= time.Microsecond - 1 // the division is to round down
	}
	return tick(d/time.Microsecond) & timeMask
}

// ahead is by how many microseconds a word's time lies ahead of now, or behind it
// if it is negative. Ticks wrap after twelve days; a word that is older than half
// of that looks as if it were far ahead.
func ahead(word uint64, now tick) int64 {
	const unused = 64 - timeBits
	return int64((word-now)<<unused) >> unused
}

func wordOf(hash uint64, at tick) uint64 { return tagOf(hash)<<timeBits | at&timeMask }

// tagOf is never 0, so that no word in use is.
func tagOf(hash uint64) uint64 { return max(1, hash>>timeBits) }

func (t table) set(hash uint64) *set { return &t[hash&uint64(len(t)-1)] }

// find returns the word of the address with this hash; nil if there is none.
func (s *set) find(hash uint64) (*atomic.Uint64, uint64) {
	for i := range s {
		if w := s[i].Load(); w != 0 && w>>timeBits == tagOf(hash) {
			return &s[i], w
		}
	}
	return nil, 0
}

// hasher tells addresses apart: IPv4 addresses, and IPv6 networks of 64 bits, of
// which one client has all.
type hasher struct{ seed maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed()} }

func (h hasher) hash(a netip.Addr) uint64 { return maphash.Comparable(h.seed, sourceOf(a)) }

// sourceOf is the number of an address's source. No network is in use among the
// IPv6 networks whose numbers are those of IPv4 addresses.
func sourceOf(a netip.Addr) uint64 {
	b := a.As16()
	half := b[:8]
	if a.Unmap().Is4() {
		half = b[8:]
		half[0], half[1], half[2], half[3] = 0, 0, 0, 0
	}
	var n uint64
	for _, c := range half {
		n = n<<8 | uint64(c)
	}
	return n
}
