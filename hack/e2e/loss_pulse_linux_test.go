package e2e

import (
	"context"
	"os"
	"path/filepath"
	"sync"
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
	// longest is the longest time between two beats.
	longest time.Duration
}

const (
	beat = 50 * time.Millisecond
	// still is how long a beat takes on a machine that is too busy to keep a
	// provider's time.
	still = 500 * time.Millisecond
)

func newPulse(t *testing.T) *pulse {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pulse"))
	if err != nil {
		t.Fatal(err)
	}
	p := &pulse{}
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
			p.longest = max(p.longest, time.Since(last))
			last = time.Now()
			<-tick.C
		}
	})
	return p
}

// end returns the longest time for which the machine stood still.
func (p *pulse) end() time.Duration {
	p.stop()
	p.ended.Wait()
	return p.longest
}

// late reports whether a request failed for want of time alone.
func late(r *probe.Result) bool {
	return r.Outcome == probe.Timeout || r.Outcome == probe.ConnectTimeout
}

// broken counts the requests that were not answered 200; those that were late do not
// count if the machine stood still.
func broken(results []probe.Result, longest time.Duration) (n int) {
	for _, r := range results {
		if !r.Success() && (longest < still || !late(&r)) {
			n++
		}
	}
	return n
}
