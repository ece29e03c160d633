package intake

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// sourceLimits holds one token bucket for each client address, in bounded
// memory: a shard that is full forgets the addresses whose bucket has had time
// to fill up, and if there are none starts over. An address that is forgotten
// has a full bucket again, so a flood from many addresses loosens the bound on
// each but never stops anyone else.
type sourceLimits struct {
	limit  rate.Limit
	burst  int
	seed   maphash.Seed
	shards [sourceShards]sourceShard
}

const (
	sourceShards    = 64
	sourcesPerShard = 1024
)

type sourceShard struct {
	mu      sync.Mutex
	buckets map[netip.Addr]*rate.Limiter
}

func newSourceLimits(perSecond int) *sourceLimits {
	return &sourceLimits{limit: rate.Limit(perSecond), burst: 2 * perSecond, seed: maphash.MakeSeed()}
}

func (l *sourceLimits) allow(addr netip.Addr, now time.Time) bool {
	s := &l.shards[maphash.Comparable(l.seed, addr)%sourceShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[addr]
	if b == nil {
		if len(s.buckets) >= sourcesPerShard {
			s.forget(now, float64(l.burst))
		}
		if s.buckets == nil {
			s.buckets = map[netip.Addr]*rate.Limiter{}
		}
		b = rate.NewLimiter(l.limit, l.burst)
		s.buckets[addr] = b
	}
	return b.AllowN(now, 1)
}

func (s *sourceShard) forget(now time.Time, burst float64) {
	for a, b := range s.buckets {
		if b.TokensAt(now) >= burst {
			delete(s.buckets, a)
		}
	}
	if len(s.buckets) >= sourcesPerShard {
		clear(s.buckets)
	}
}
