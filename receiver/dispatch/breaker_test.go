package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// outage is a sink whose answers can be changed. It knows when attempts began.
type outage struct {
	fake

	mu     sync.Mutex
	answer func(ctx context.Context, e *event.Event) error
	began  []time.Time
	order  []string
}

func newOutage(t testing.TB, answer func(context.Context, *event.Event) error) *outage {
	o := &outage{answer: answer}
	o.t = t
	o.deliver = func(ctx context.Context, e *event.Event) error {
		o.mu.Lock()
		o.began, o.order = append(o.began, time.Now()), append(o.order, e.ID)
		answer := o.answer
		o.mu.Unlock()
		return answer(ctx, e)
	}
	return o
}

// now changes the answers, and forgets the attempts so far.
func (o *outage) now(answer func(context.Context, *event.Event) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer, o.began, o.order = answer, nil, nil
}

func (o *outage) attempts() []time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.began)
}

func answering(err error) func(context.Context, *event.Event) error {
	return func(context.Context, *event.Event) error { return err }
}

// after lets time go by, and what is to happen in it happen.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// slow are settings with the usual backoff.
func slow() config.Delivery {
	d := settings()
	d.MaxAttempts, d.MinBackoff.Duration, d.MaxBackoff.Duration = 20, time.Second, 10*time.Minute
	d.MaxAge.Duration = 72 * time.Hour
	return d
}

// longest makes each wait as long as it may be.
func longest(o *dispatch.Options) { o.Rand = func() float64 { return 0 } }

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, longest)
		s := newOutage(t, failing)
		g.Update(s, slow())
		g.queue.add(ids(1000)...)
		synctest.Wait()
		tried := len(s.attempts())
		if tried < 10 || tried > 10+slow().Concurrency {
			t.Errorf("%d attempts before the breaker opened, want about 10", tried)
		}
		want := dispatch.State{Phase: dispatch.Failing, ConsecutiveFailures: int64(tried), LastError: errRefused.Error(),
			LastErrorAt: time.Now(), Breaker: dispatch.Open, Until: time.Now().Add(time.Second)}
		if diff := cmp.Diff(want, g.State()); diff != "" || !g.Stalled() {
			t.Errorf("stalled %v, state (-want +got):\n%s", g.Stalled(), diff)
		}
		s.now(failing)
		began := time.Now()
		after(3 * time.Minute)
		var at []time.Duration
		for _, a := range s.attempts() {
			at = append(at, a.Sub(began)/time.Second)
		}
		if diff := cmp.Diff([]time.Duration{1, 3, 7, 15, 31, 61, 91, 121, 151}, at); diff != "" {
			t.Errorf("seconds of the probes (-want +got):\n%s", diff)
		}
		if s.most.Load() > 4 {
			t.Errorf("%d attempts at once", s.most.Load())
		}
		s.now(accepting)
		after(31 * time.Second)
		after(time.Hour) // those that failed wait for their backoff
		if got := g.queue.ledger(); got != (ledger{delivered: 1000}) {
			t.Errorf("after recovery: %+v", got)
		}
		states := g.seen.states()
		if first, last := states[0], states[len(states)-1]; first != dispatch.Closed || last != dispatch.Closed || len(states) != 2+2*10 {
			t.Errorf("the observer was told of %v", states)
		}
		if state := g.State(); state.Phase != dispatch.OK || state.Breaker != dispatch.Closed || !state.Until.IsZero() || g.Stalled() {
			t.Errorf("state %+v", state)
		}
		if n := strings.Count(g.log.String(), "\n"); n != 3 {
			t.Errorf("%d log lines, want the first failure, the opening and the recovery: %s", n, g.log)
		}
	})
}

// One attempt goes on while the breaker is half open, however long it takes and
// however much is queued, and nothing else is leased.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, longest)
		s := newOutage(t, failing)
		g.Update(s, slow())
		g.queue.add(ids(100)...)
		synctest.Wait()
		leave := make(chan error)
		s.now(func(context.Context, *event.Event) error { return <-leave })
		for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			after(wait)
			after(5 * time.Second)
			if state := g.State(); state.Breaker != dispatch.HalfOpen || state.Attempts != 1 || g.queue.ledger().leased != 1 || g.Stalled() {
				t.Errorf("half open: %+v, %+v", state, g.queue.ledger())
			}
			g.queue.add(fmt.Sprint("new after ", wait))
			leave <- errRefused
			synctest.Wait()
			if state := g.State(); state.Breaker != dispatch.Open || g.queue.ledger().leased != 0 {
				t.Errorf("after the probe failed: %+v, %+v", state, g.queue.ledger())
			}
		}
		s.now(accepting)
	})
}

// After a probe the number of attempts at once grows up to the full one within a
// few rounds.
func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, longest)
		d := slow()
		d.Concurrency = 16
		s := newOutage(t, failing)
		g.Update(s, d)
		g.queue.add(ids(2000)...)
		synctest.Wait()
		second := func(context.Context, *event.Event) error { <-time.After(time.Second); return nil }
		s.now(second)
		after(2500 * time.Millisecond) // the breaker's wait, and the probe
		var most []int64
		for range 6 {
			most = append(most, s.active.Load())
			after(time.Second)
		}
		if diff := cmp.Diff([]int64{2, 4, 8, 16, 16, 16}, most); diff != "" {
			t.Errorf("attempts at once, by second (-want +got):\n%s", diff)
		}
		after(time.Hour)
		if got := g.queue.ledger(); got != (ledger{delivered: 2000}) {
			t.Errorf("after recovery: %+v", got)
		}
	})
}

// A sink that fails again while it recovers is left alone again, for longer.
func TestRelapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, longest)
		s := newOutage(t, failing)
		g.Update(s, slow())
		g.queue.add(ids(100)...)
		synctest.Wait()
		var n atomic.Int64
		s.now(func(context.Context, *event.Event) error { // only the probe succeeds
			if n.Add(1) == 1 {
				return nil
			}
			return errRefused
		})
		after(time.Second)
		if state := g.State(); state.Breaker != dispatch.Open || time.Until(state.Until) != 2*time.Second {
			t.Errorf("state %+v, want open for 2s", state)
		}
		if n.Load() > 4 {
			t.Errorf("%d attempts at a sink that only seemed to recover, want at most 4", n.Load())
		}
	})
}

func TestRetryAfterOfSink(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  sink.Error
		want time.Duration
	}{
		{"busy", sink.Error{Busy: true, RetryAfter: 10 * time.Minute}, 10 * time.Minute},
		{"busy for long", sink.Error{Busy: true, RetryAfter: 24 * time.Hour}, time.Hour},
		{"busy for a moment", sink.Error{Busy: true, RetryAfter: time.Millisecond}, time.Second},
		{"busy, no time", sink.Error{Busy: true}, 0},
		{"this event only", sink.Error{RetryAfter: 10 * time.Minute}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := start(t, longest)
				tt.err.Err = errRefused
				s := newOutage(t, answering(fmt.Errorf("posting event: %w", &tt.err)))
				g.Update(s, slow())
				g.queue.add("first")
				synctest.Wait()
				s.now(accepting)
				g.queue.add("second")
				if tt.want > 0 {
					after(tt.want - time.Microsecond)
					if n := len(s.attempts()); n != 0 {
						t.Errorf("%d attempts within the time that the sink asked for", n)
					}
					after(time.Microsecond)
				}
				synctest.Wait()
				if got := g.queue.ledger(); got.delivered == 0 {
					t.Errorf("%+v, want the second delivered after %v", got, tt.want)
				}
			})
		})
	}
}

func TestChangesWhileOpen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(g *rig)
		want   ledger
		phase  dispatch.Phase
	}{
		{"another sink", func(g *rig) { g.Update(&fake{t: g.queue.t, deliver: accepting}, settings()) }, ledger{delivered: 50}, dispatch.OK},
		{"no sink", func(g *rig) { g.Update(nil, settings()) }, ledger{queued: 50}, dispatch.Pending},
		{"suspended", func(g *rig) { g.Suspend(true) }, ledger{queued: 50}, dispatch.Suspended},
		{"suspended and back", func(g *rig) { g.Suspend(true); g.Suspend(false) }, ledger{queued: 50}, dispatch.Failing},
		{"stopped", func(g *rig) { g.Stop(context.Background()) }, ledger{queued: 50}, dispatch.Stopped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := start(t, longest)
				s := newOutage(t, answering(&sink.Error{Err: errRefused, Busy: true, RetryAfter: time.Minute}))
				d := slow()
				d.Concurrency, d.MinBackoff.Duration = 1, time.Millisecond
				g.Update(s, d)
				g.queue.add(ids(50)...)
				synctest.Wait()
				s.now(failing)
				tt.change(g)
				after(59 * time.Second)
				if len(s.attempts()) != 0 {
					t.Error("an attempt was made at a sink that wants to be left alone")
				}
				after(2 * time.Minute)
				if got := g.queue.ledger(); got != tt.want || g.State().Phase != tt.phase {
					t.Errorf("%+v, %+v; want %+v, %v", got, g.State(), tt.want, tt.phase)
				}
			})
		})
	}
}

// An attempt that began before the breaker opened says nothing about the sink as
// it is since.
func TestStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, longest)
		d := slow()
		d.Concurrency, d.Timeout.Duration = 16, time.Minute
		s := newOutage(t, nil)
		refusing := make(chan struct{})
		s.now(func(ctx context.Context, e *event.Event) error {
			if e.ID < "evt-005" {
				return hanging(ctx, e)
			}
			<-refusing
			return errRefused
		})
		g.Update(s, d)
		g.queue.add(ids(100)...)
		synctest.Wait()
		close(refusing)
		synctest.Wait()
		if state := g.State(); state.Breaker != dispatch.Open || state.Attempts != 5 {
			t.Fatalf("state %+v, want an open breaker and 5 attempts", state)
		}
		s.now(accepting)
		after(time.Hour)
		if got := g.queue.ledger(); got != (ledger{delivered: 100}) {
			t.Errorf("after recovery: %+v", got)
		}
		want := []dispatch.Breaker{dispatch.Closed, dispatch.Open, dispatch.HalfOpen, dispatch.Closed}
		if diff := cmp.Diff(want, g.seen.states()); diff != "" {
			t.Errorf("the breaker's states (-want +got):\n%s", diff)
		}
	})
}
