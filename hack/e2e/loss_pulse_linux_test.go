package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
)

// pulse measures for how long the machine stands still: it syncs a few bytes to the
// disk every now and then, as a receiver does for each event. Providers wait 1.5 s
// and no longer, so a request that was late on a machine that was itself late by
// that much says nothing about Fairlead.
type pulse struct {
	stop  context.CancelFunc
	ended sync.WaitGroup
	// longest is the longest time between two beats, in nanoseconds.
	longest atomic.Int64
	// began and waited are when it began, and how long somebody had waited for a
	// processor until then.
	began  time.Time
	waited time.Duration
}

const (
	beat = 50 * time.Millisecond
	// tooLong is how long a beat takes on a machine that is too busy to keep a
	// provider's time.
	tooLong = 500 * time.Millisecond
)

func newPulse(t *testing.T) *pulse {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pulse"))
	if err != nil {
		t.Fatal(err)
	}
	p := &pulse{began: time.Now(), waited: waited()}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(t.Context())
	p.ended.Go(func() {
		defer f.Close()
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for last := time.Now(); ctx.Err() == nil; {
			if _, err := f.WriteAt([]byte("beat"), 0); err != nil || f.Sync() != nil {
				return
			}
			p.longest.Store(max(p.longest.Load(), int64(time.Since(last))))
			last = time.Now()
			<-tick.C
		}
	})
	return p
}

// waited is for how long, all in all, somebody had to wait for a processor; 0 if the
// kernel does not say.
func waited() time.Duration {
	text, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	_, total, _ := strings.Cut(line, "total=")
	us, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// still is the longest time for which the machine has stood still so far. Where
// somebody has waited for a processor for most of the time, it is at least tooLong:
// the kernel gives this process more of it than it gives pods.
func (p *pulse) still() time.Duration {
	longest := time.Duration(p.longest.Load())
	if 2*(waited()-p.waited) > time.Since(p.began) {
		return max(longest, tooLong)
	}
	return longest
}

// end is still, at the end.
func (p *pulse) end() time.Duration {
	p.stop()
	p.ended.Wait()
	return p.still()
}

// late reports whether a request failed for want of time alone.
func late(r *probe.Result) bool {
	return r.Outcome == probe.Timeout || r.Outcome == probe.ConnectTimeout
}

// broken counts the requests that were not answered 200; those that were late do not
// count if the machine stood still.
func broken(results []probe.Result, longest time.Duration) (n int) {
	for _, r := range results {
		if !r.Success() && (longest < tooLong || !late(&r)) {
			n++
		}
	}
	return n
}
