package intake_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/intake"
)

// v4 is the n-th IPv4 address from 1.0.0.0 on.
func v4(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(1<<24+n))
	return netip.AddrFrom4(b)
}

// v6 is an address of the n-th network of 64 bits.
func v6(n, host int) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], 0x20010db8<<32+uint64(n))
	binary.BigEndian.PutUint64(b[8:], uint64(host))
	return netip.AddrFrom16(b)
}

func TestBucket(t *testing.T) {
	now := time.Now()
	after := func(d time.Duration) time.Time { return now.Add(d) }
	type try struct {
		addr netip.Addr
		at   time.Duration
		want bool
	}
	for name, tt := range map[string]struct {
		perSecond int
		tries     []try
	}{
		"two at once, then one a second": {1, []try{{v4(1), 0, true}, {v4(1), 0, true}, {v4(1), 0, false}, {v4(1), 999 * time.Millisecond, false},
			{v4(1), time.Second, true}, {v4(1), time.Second, false}, {v4(1), time.Hour, true}, {v4(1), time.Hour, true}, {v4(1), time.Hour, false}}},
		"each has its own":         {1, []try{{v4(1), 0, true}, {v4(1), 0, true}, {v4(2), 0, true}, {v4(1), 0, false}, {v4(2), 0, true}, {v4(2), 0, false}}},
		"a network of IPv6 is one": {1, []try{{v6(1, 1), 0, true}, {v6(1, 2), 0, true}, {v6(1, 3), 0, false}, {v6(2, 1), 0, true}}},
		"a clock that goes back":   {1, []try{{v4(1), time.Hour, true}, {v4(1), time.Hour, true}, {v4(1), 0, true}, {v4(1), 0, true}, {v4(1), 0, false}}},
		"after the ticks wrapped":  {1, []try{{v4(1), 0, true}, {v4(1), 0, true}, {v4(1), 200 * time.Hour, true}, {v4(1), 306 * time.Hour, true}}},
		"more than a tick":         {5_000_000, []try{{v4(1), 0, true}, {v4(1), 0, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := intake.NewSourceLimits(tt.perSecond)
			for i, s := range tt.tries {
				if got := l.Allow(s.addr, after(s.at)); got != s.want {
					t.Errorf("try %d: Allow(%v) = %v, want %v", i, s.addr, got, s.want)
				}
			}
		})
	}
}

// A million sources at once have a bucket each, in 16 MiB and little more for two seconds
// more; a few take 64 KiB.
func TestMillionSources(t *testing.T) {
	t.Parallel()
	l, now := intake.NewSourceLimits(1), time.Now()
	for n := range 1000 {
		l.Allow(v4(n), now)
	}
	if got := l.Bytes(); got != 64<<10 {
		t.Errorf("a thousand sources take %d bytes, want 64 KiB", got)
	}
	million := 1_000_000
	if raceDetector {
		million /= 4 // enough for the largest table
	}
	refused := 0
	for n := range million {
		for range 2 {
			if !l.Allow(v4(n+2000), now) {
				refused++
			}
		}
	}
	if refused > 10 { // those that share a tag with another of their set: one in two million
		t.Errorf("%d of %d sources are refused within their limit", refused, million)
	}
	if got := l.Bytes(); got > 17<<20|64<<10 {
		t.Errorf("%d sources take %d bytes, want at most 17 MiB and 64 KiB", million, got)
	}
	passed, asked := 0, 0
	for n := 0; n < million; n += 50 {
		asked++
		if l.Allow(v4(n+2000), now) {
			passed++
		}
	}
	if passed > asked/20 { // those whose set was too small for all
		t.Errorf("%d of %d sources have an empty bucket and may send", passed, asked)
	}
	l.Allow(v4(1), now.Add(3*time.Second))
	if got := l.Bytes(); got != 16<<20 {
		t.Errorf("afterwards %d bytes are taken, want 16 MiB", got)
	}
}

// A flood from ever new addresses gives nobody a new bucket who has emptied theirs.
func TestFloodResetsNobody(t *testing.T) {
	t.Parallel()
	l, now := intake.NewSourceLimits(10), time.Now()
	const heavy = 200
	for n := range heavy {
		for range 20 {
			l.Allow(v4(n), now)
		}
	}
	for n := range 200_000 {
		l.Allow(v6(n, 0), now)
	}
	for n := range heavy {
		if l.Allow(v4(n), now) {
			t.Errorf("source %d has a full bucket again", n)
		}
	}
}

// Many at once spend no more than there is.
func TestBucketIsShared(t *testing.T) {
	l, now := intake.NewSourceLimits(100), time.Now()
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 2000 {
				if l.Allow(v4(1), now) {
					passed.Add(1)
				}
				l.Allow(v4(n), now)
			}
		})
	}
	all.Wait()
	if got := passed.Load(); got > 210 { // a table that grows meanwhile may count a few twice
		t.Errorf("%d requests passed, of 200", got)
	}
}

func TestAllowAllocatesNothing(t *testing.T) {
	l, now, a := intake.NewSourceLimits(100), time.Now(), v6(1, 1)
	if n := testing.AllocsPerRun(100, func() { l.Allow(a, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestProven(t *testing.T) {
	p, now := intake.NewProven(), time.Now()
	if p.Holds(v4(1), now) || p.Holds(netip.Addr{}, now) {
		t.Error("a stranger is proven")
	}
	p.Add(v4(1), now)
	p.Add(v6(1, 1), now)
	for at, want := range map[time.Duration]bool{0: true, 9 * time.Minute: true, 11 * time.Minute: false, 200 * time.Hour: false} {
		if got := p.Holds(v4(1), now.Add(at)); got != want {
			t.Errorf("after %v: Holds() = %v, want %v", at, got, want)
		}
	}
	if !p.Holds(v6(1, 2), now) || p.Holds(v6(2, 1), now) || p.Holds(v4(2), now) {
		t.Error("the network of an IPv6 address, and only it, is proven with it")
	}
	p.Add(v4(1), now.Add(9*time.Minute))
	if !p.Holds(v4(1), now.Add(11*time.Minute)) {
		t.Error("a source that has proved itself again is forgotten")
	}
	for n := range 20_000 { // whoever has a secret may do so, and forgets the oldest
		p.Add(v4(n+10), now.Add(10*time.Minute))
	}
	if !p.Holds(v4(20_009), now.Add(10*time.Minute)) {
		t.Error("the newest is forgotten")
	}
}

// BenchmarkAllow asks for a bucket of each of a million sources, in no order.
func BenchmarkAllow(b *testing.B) {
	for _, sources := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprintf("sources=%d", sources), func(b *testing.B) {
			l, now := intake.NewSourceLimits(1), time.Now()
			for n := range sources {
				l.Allow(v4(n), now)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for n := rand.IntN(sources); pb.Next(); n = (n*1_664_525 + 1_013_904_223) % sources {
					l.Allow(v4(n), now)
				}
			})
			b.ReportMetric(float64(l.Bytes())/float64(sources), "B/source")
		})
	}
}
