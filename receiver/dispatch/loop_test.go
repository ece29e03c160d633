package dispatch_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loop is what many appends took.
type loop struct {
	rate     float64
	p50, p99 time.Duration
}

func (l loop) String() string { return fmt.Sprintf("%.0f/s p50 %v p99 %v", l.rate, l.p50, l.p99) }

func newLoop(took []time.Duration, all time.Duration) loop {
	slices.Sort(took)
	return loop{float64(len(took)) / all.Seconds(), took[len(took)/2], took[len(took)*99/100]}
}

// closedLoop appends n events; each of the producers appends the next one when it
// has its answer.
func closedLoop(t testing.TB, b *backlog, n int, body []byte) loop {
	return produce(n, func(int) time.Duration {
		start := time.Now()
		b.append(t, body)
		return time.Since(start)
	})
}

// openLoop appends n events, openRate each second, and measures from when each was
// due.
func openLoop(t testing.TB, b *backlog, n int, body []byte) loop {
	start := time.Now()
	return produce(n, func(i int) time.Duration {
		due := start.Add(time.Duration(i) * time.Second / openRate)
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
		}
		b.append(t, body)
		return time.Since(due)
	})
}

func produce(n int, one func(i int) time.Duration) loop {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range producers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				took[i] = one(i)
			}
		})
	}
	all.Wait()
	return newLoop(took, time.Since(start))
}

// resident is how many bytes of memory the process has, or 0 where that cannot be
// read.
func resident(t testing.TB) int64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Log(err)
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				t.Error(err)
			}
			return kib << 10
		}
	}
	return 0
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
