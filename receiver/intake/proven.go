package intake

import (
	"net/netip"
	"time"
)

// provenFor is how long a source is known by a valid signature of its. Providers
// that send seldom begin anew, which costs them nothing while there is no flood.
const provenFor = 10 * time.Minute

// provenSets make room for 4096 sources, in 32 KiB. Only a signature puts one in.
const provenSets = 512

// proven remembers the sources that have lately shown a valid signature. It may be
// used from many goroutines, and takes no lock.
type proven struct {
	clock  clock
	hasher hasher
	table  table
}

func newProven() *proven {
	return &proven{clock: clock{time.Now()}, hasher: newHasher(), table: make(table, provenSets)}
}

// add remembers a source; that which was proven least lately may be forgotten.
func (p *proven) add(a netip.Addr, now time.Time) {
	hash, at := p.hasher.hash(a), p.clock.tick(now)
	s := p.table.set(hash)
	word, old := s.find(hash)
	if word != nil && -ahead(old, at) < int64(time.Second/time.Microsecond) && ahead(old, at) <= 0 {
		return
	}
	if word == nil {
		word = &s[0]
		old = word.Load()
		for i := range s {
			if w := s[i].Load(); w == 0 || old != 0 && ahead(w, at) < ahead(old, at) {
				word, old = &s[i], w
			}
		}
	}
	word.CompareAndSwap(old, wordOf(hash, at)) // whoever was quicker is proven too
}

// holds reports whether a source is proven.
func (p *proven) holds(a netip.Addr, now time.Time) bool {
	if !a.IsValid() {
		return false
	}
	hash := p.hasher.hash(a)
	_, old := p.table.set(hash).find(hash)
	if old == 0 {
		return false
	}
	d := ahead(old, p.clock.tick(now))
	return d <= int64(time.Second/time.Microsecond) && -d <= int64(provenFor/time.Microsecond)
}
