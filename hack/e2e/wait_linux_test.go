package e2e

import (
	"context"
	"testing"
	"time"
)

// How long things may take. A machine may be busy, so these say what is broken, and
// not what is slow; what it took is in the table.
const (
	soon   = 30 * time.Second
	awhile = 2 * time.Minute
	// takenUp is for what the kubelet brings to running pods.
	takenUp = 3 * time.Minute
)

// eventually tries until there is no error, and returns how long that took. It fails
// the test with the last error when limit is over.
func eventually(t testing.TB, limit time.Duration, what string, try func(context.Context) error) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error // of a try that was not cut short by the end
	for {
		err := try(ctx)
		if err == nil {
			return time.Since(began)
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, limit, last)
		case <-tick.C:
		}
	}
}

// seconds is a duration as the table has it.
func seconds(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// took is how long something takes.
func took(what func()) time.Duration {
	began := time.Now()
	what()
	return time.Since(began)
}
