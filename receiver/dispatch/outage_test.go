package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// What another event is answered shows that the sink works: one that always fails
// opens nothing, and neither does one that is refused for good.
func TestPoison(t *testing.T) {
	for _, tt := range []struct {
		name   string
		others int // that come at each of its attempts
		answer error
	}{
		{"alone", 0, nil},
		{"among others", 3, nil},
		{"among others that are refused for good", 3, sink.Permanent(errRefused)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := start(t, longest)
				others := 0
				s := newOutage(t, func(_ context.Context, e *event.Event) error {
					if e.ID != "poison" {
						return tt.answer
					}
					for range tt.others {
						others++
						g.queue.add(fmt.Sprint("other ", others))
					}
					return errRefused
				})
				d := slow()
				d.Concurrency = 1
				g.Update(s, d)
				g.queue.add("poison")
				after(4 * time.Hour)
				if got := len(s.attempts()); got != 20+others || others != 20*tt.others {
					t.Errorf("%d attempts, %d of them at others", got, others)
				}
				if got := g.queue.ledger(); got.dead == 0 || got.dead+got.delivered != 1+others {
					t.Errorf("ledger %+v", got)
				}
				if diff := cmp.Diff([]dispatch.Breaker{dispatch.Closed}, g.seen.states()); diff != "" {
					t.Errorf("the breaker's states (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An event that gets an answer that asks to leave the sink alone, each time, makes
// the others wait once.
func TestBusyPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, longest)
		s := newOutage(t, func(_ context.Context, e *event.Event) error {
			if e.ID == "poison" {
				return &sink.Error{Err: errRefused, Busy: true, RetryAfter: time.Hour}
			}
			return nil
		})
		g.Update(s, slow())
		g.queue.add("poison")
		for i := range 60 {
			after(time.Hour)
			g.queue.add(fmt.Sprint("other ", i))
			synctest.Wait()
			if got := g.queue.ledger(); got.delivered != i+1 {
				t.Fatalf("%d hours: %+v, want all but the poison delivered", i+1, got)
			}
		}
		if got := g.queue.ledger(); got.dead != 1 {
			t.Errorf("%+v, want the poison dead", got)
		}
		want := []dispatch.Breaker{dispatch.Closed, dispatch.Open, dispatch.HalfOpen, dispatch.Closed}
		if diff := cmp.Diff(want, g.seen.states()); diff != "" {
			t.Errorf("the breaker's states (-want +got):\n%s", diff)
		}
	})
}

func TestNothingButPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, nil)
		d := slow()
		d.MaxAttempts = 5
		s := newOutage(t, failing)
		g.Update(s, d)
		g.queue.add(ids(30)...)
		after(3 * time.Hour)
		if got := g.queue.ledger(); got != (ledger{dead: 30}) || s.calls.Load() != 150 {
			t.Errorf("%+v after %d attempts, want 30 dead after 150", got, s.calls.Load())
		}
		s.now(accepting)
		g.queue.add("good")
		after(31 * time.Second)
		if got := g.queue.ledger(); got != (ledger{dead: 30, delivered: 1}) {
			t.Errorf("%+v, want the good one delivered", got)
		}
	})
}

// While a sink cannot be reached at all, hours cost no delivery its attempts.
func TestUnreachableForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, nil)
		s := newOutage(t, answering(&sink.Error{Err: errRefused, Unsent: true}))
		g.Update(s, slow())
		g.queue.add(ids(3)...) // fewer than open the breaker otherwise
		after(time.Hour)
		g.queue.add("late")
		after(11 * time.Hour)
		g.queue.mu.Lock()
		nacks := 0
		for id, n := range g.queue.nacks {
			nacks += len(n)
			if len(n) > 10 {
				t.Errorf("%q used up %d attempts", id, len(n))
			}
		}
		g.queue.mu.Unlock()
		if nacks > 10+slow().Concurrency {
			t.Errorf("%d attempts were used up, want about 10", nacks)
		}
		s.now(accepting)
		after(15 * time.Minute)
		if got := g.queue.ledger(); got != (ledger{delivered: 4}) {
			t.Errorf("after recovery: %+v", got)
		}
	})
}

// What has become too old while the breaker was open waits for no probe of its
// own.
func TestTooOldWhileOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, longest)
		d := slow()
		d.MaxAge.Duration = 30 * time.Minute
		s := newOutage(t, answering(&sink.Error{Err: errRefused, Busy: true, RetryAfter: time.Hour}))
		g.Update(s, d)
		g.queue.add("first")
		synctest.Wait()
		g.queue.add(ids(500)...)
		after(40 * time.Minute)
		g.queue.add("young", "younger")
		s.now(answering(errRefused))
		after(20 * time.Minute)
		if got := g.queue.ledger(); got != (ledger{dead: 501, queued: 2}) {
			t.Errorf("at the first probe: %+v, want the old ones dead", got)
		}
		if n := len(s.attempts()); n != 1 || s.most.Load() != 1 {
			t.Errorf("%d attempts, %d at once, want one probe", n, s.most.Load())
		}
		s.now(accepting)
		after(time.Minute)
		if got := g.queue.ledger(); got != (ledger{dead: 501, delivered: 2}) {
			t.Errorf("after recovery: %+v", got)
		}
	})
}
