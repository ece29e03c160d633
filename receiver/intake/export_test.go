package intake

import (
	"net/netip"
	"time"
)

// SourceLimits are the buckets of sources, for tests of what a million of them
// takes.
type SourceLimits struct{ l *sourceLimits }

// NewSourceLimits returns empty buckets.
func NewSourceLimits(perSecond int) SourceLimits { return SourceLimits{newSourceLimits(perSecond)} }

// Allow spends one request.
func (s SourceLimits) Allow(a netip.Addr, now time.Time) bool { return s.l.allow(a, now) }

// Bytes is what the tables take.
func (s SourceLimits) Bytes() int {
	n := 0
	for g := s.l.current.Load(); g != nil; g = g.before {
		n += len(g.table) * ways * 8
	}
	return n
}

// Proven are the sources that are known by a signature.
type Proven struct{ p *proven }

// NewProven returns none.
func NewProven() Proven { return Proven{newProven()} }

// Add remembers a source.
func (p Proven) Add(a netip.Addr, now time.Time) { p.p.add(a, now) }

// Holds reports whether a source is remembered.
func (p Proven) Holds(a netip.Addr, now time.Time) bool { return p.p.holds(a, now) }
