package intake

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// sourceLimits holds one token bucket for each source (an IPv4 address, or an
// IPv6 network of 64 bits), in bounded memory and without locks or allocations on
// the way.
//
// A bucket is kept as the moment at which it is full again, so one that is full
// needs no memory, and one that was emptied is full after bucketDepth. The table
// begins with 64 KiB and grows, 16 times at once, when sources that are not at
// rest would have to share: to 16 MiB, for two million of them. What is beyond
// that displaces the fullest bucket of its set: a flood from ever new addresses
// displaces its own, and whoever sends much stays bounded.
type sourceLimits struct {
	perSecond int
	interval  int64 // ticks that one request costs
	clock     clock
	hasher    hasher
	current   atomic.Pointer[generation]
	growing   sync.Mutex
}

// generation is a table, and what was before it as long as that says anything.
type generation struct {
	table  table
	before *generation // nil: nothing
	until  time.Time
}

const (
	// bucketDepth is how long an empty bucket takes to fill: a source may send twice
	// as much at once as it may in a second.
	bucketDepth = 2 * time.Second
	depth       = int64(bucketDepth / time.Microsecond)

	leastSets = 1 << 10
	mostSets  = 1 << 18
	growth    = 1 << 4
)

func newSourceLimits(perSecond int) *sourceLimits {
	l := &sourceLimits{
		perSecond: perSecond, interval: max(1, depth/2/int64(perSecond)),
		clock: clock{time.Now()}, hasher: newHasher(),
	}
	l.current.Store(&generation{table: make(table, leastSets)})
	return l
}

// allow spends one request of a source's bucket, if it has one.
func (l *sourceLimits) allow(addr netip.Addr, now time.Time) bool {
	hash, at := l.hasher.hash(addr), l.clock.tick(now)
	for {
		g := l.generation(now)
		s := g.table.set(hash)
		word, old := s.find(hash)
		debt := owed(old, at)
		crowded := false
		if word == nil {
			debt = g.owedBefore(hash, at)
			word, old, crowded = s.fullest(at)
		}
		if debt+l.interval > depth {
			return false
		}
		if crowded && l.grow(g, now) {
			continue
		}
		if word.CompareAndSwap(old, wordOf(hash, at+tick(debt+l.interval))) {
			return true
		}
	}
}

// owed is how much a bucket lacks. A time further ahead than a bucket is deep was
// not written lately: it is what a tick looks like that has wrapped.
func owed(word uint64, now tick) int64 {
	if word == 0 {
		return 0
	}
	if d := ahead(word, now); d > 0 && d <= depth {
		return d
	}
	return 0
}

// owedBefore looks a source up in the tables before.
func (g *generation) owedBefore(hash uint64, now tick) int64 {
	for b := g.before; b != nil; b = b.before {
		if _, old := b.table.set(hash).find(hash); old != 0 {
			return owed(old, now)
		}
	}
	return 0
}

// fullest returns the word that is given up for a source that has none: one of a
// bucket that is full, or else of the one that lacks least; crowded says which.
func (s *set) fullest(now tick) (word *atomic.Uint64, old uint64, crowded bool) {
	least := int64(-1)
	for i := range s {
		w := s[i].Load()
		d := owed(w, now)
		if d == 0 {
			return &s[i], w, false
		}
		if least < 0 || d < least {
			least, word, old = d, &s[i], w
		}
	}
	return word, old, true
}

// generation returns the table in use. The one before is let go when all of its
// buckets are full.
func (l *sourceLimits) generation(now time.Time) *generation {
	g := l.current.Load()
	if g.before == nil || now.Before(g.until) {
		return g
	}
	l.current.CompareAndSwap(g, &generation{table: g.table})
	return l.current.Load()
}

// grow replaces the table by a larger one, and reports whether there is one. Nobody
// waits for somebody else who does it.
func (l *sourceLimits) grow(g *generation, now time.Time) bool {
	if len(g.table) >= mostSets || !l.growing.TryLock() {
		return false
	}
	defer l.growing.Unlock()
	if l.current.Load() != g {
		return true
	}
	l.current.Store(&generation{table: make(table, len(g.table)*growth), before: g, until: now.Add(bucketDepth)})
	return true
}
