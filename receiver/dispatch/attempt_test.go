package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

func TestDelivered(t *testing.T) {
	g := start(t, nil)
	s := &fake{t: t, deliver: accepting}
	g.Update(s, settings())
	g.queue.add(ids(100)...)
	eventually(t, "100 deliveries", func() bool { return g.queue.ledger() == ledger{delivered: 100} })
	eventually(t, "observations", func() bool {
		return cmp.Equal(map[string]int{"app delivered": 100, "app arrived": 100}, g.seen.all())
	})
	if state := g.State(); state.Phase != dispatch.OK || state.LastSuccess.IsZero() || state.LastError != "" {
		t.Errorf("state %+v", state)
	}
	if g.log.String() != "" {
		t.Errorf("log: %s", g.log)
	}
}

func TestRetried(t *testing.T) {
	g := start(t, nil)
	var n atomic.Int64
	g.Update(&fake{t: t, deliver: func(context.Context, *event.Event) error {
		if n.Add(1) < 3 {
			return errRefused
		}
		return nil
	}}, settings())
	g.queue.add("evt")
	eventually(t, "a delivery", func() bool { return g.queue.ledger() == ledger{delivered: 1} })
	eventually(t, "observations", func() bool {
		return cmp.Equal(map[string]int{"app delivered": 1, "app arrived": 1, "app retried": 2}, g.seen.all())
	})
	if state := g.State(); state.Phase != dispatch.OK || state.ConsecutiveFailures != 0 || state.LastError != errRefused.Error() {
		t.Errorf("state %+v", state)
	}
	if got := strings.Count(g.log.String(), "\n"); got != 2 {
		t.Errorf("%d log lines, want one for the failure and one for the recovery: %s", got, g.log)
	}
}

func TestDead(t *testing.T) {
	answer := &sink.Error{Err: errors.New("sink answered 422"), Permanent: true, Answer: []byte("because")}
	later := &sink.Error{Err: errors.New("sink answered 503"), RetryAfter: 2 * time.Hour}
	for _, tt := range []struct {
		name     string
		age      time.Duration
		err      error
		class    string
		attempts int64
		answer   string
	}{
		{"permanent", 0, fmt.Errorf("posting event: %w", answer), dispatch.ReasonPermanent, 1, "because"},
		{"attempts", 0, errRefused, dispatch.ReasonAttempts, 3, ""},
		{"too old already", time.Hour + time.Second, errRefused, dispatch.ReasonAge, 0, ""},
		{"too old by the next attempt", 0, later, dispatch.ReasonAge, 1, ""},
		{"panic", 0, nil, dispatch.ReasonAttempts, 3, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, nil)
			s := &fake{t: t, deliver: func(context.Context, *event.Event) error {
				if tt.err == nil {
					panic("body-41d8e0")
				}
				return tt.err
			}}
			g.Update(s, settings())
			g.queue.addEvent(&event.Event{ID: "evt", ReceivedAt: time.Now().Add(-tt.age)})
			eventually(t, "a dead letter", func() bool { return g.queue.ledger() == ledger{dead: 1} })
			if n := s.calls.Load(); n != tt.attempts {
				t.Errorf("%d attempts, want %d", n, tt.attempts)
			}
			eventually(t, "the class", func() bool { return g.seen.all()["app dead of "+tt.class] == 1 })
			if d := g.queue.dead["evt"]; d.reason == "" || d.answer != tt.answer {
				t.Errorf("dead letter %+v, want a reason and the answer %q", d, tt.answer)
			}
			eventually(t, "the event's id in the log", func() bool { return strings.Contains(g.log.String(), "event=evt") })
			if log := g.log.String(); strings.Contains(log, "body-41d8e0") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	g := start(t, nil)
	g.Update(&fake{t: t, deliver: func(context.Context, *event.Event) error {
		return &sink.Error{Err: errRefused, RetryAfter: 30 * time.Minute}
	}}, settings())
	g.queue.add("evt")
	eventually(t, "a failed attempt", func() bool { return g.queue.ledger() == ledger{queued: 1} && g.seen.all()["app retried"] == 1 })
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	if wait := g.queue.nacks["evt"][0]; wait < 29*time.Minute || wait > 30*time.Minute+time.Second {
		t.Errorf("the next attempt is %v away, want 30m", wait)
	}
}

// With the smallest random number each wait is at its bound, which doubles.
func TestBackoff(t *testing.T) {
	g := start(t, func(o *dispatch.Options) {
		o.Rand = func() float64 { return 0 }
	})
	d := settings()
	d.MaxAttempts, d.MinBackoff.Duration, d.MaxBackoff.Duration = 7, 10*time.Millisecond, 50*time.Millisecond
	g.Update(&fake{t: t, deliver: failing}, d)
	g.queue.add("evt")
	eventually(t, "a dead letter", func() bool { return g.queue.ledger() == ledger{dead: 1} })
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	waits := g.queue.nacks["evt"]
	if len(waits) != 6 {
		t.Fatalf("%d waits, want 6", len(waits))
	}
	for i, most := range []time.Duration{10, 20, 40, 50, 50, 50} {
		if most *= time.Millisecond; waits[i] > most || waits[i] < most-9*time.Millisecond {
			t.Errorf("wait %d is %v, want %v", i, waits[i], most)
		}
	}
}

func TestJitter(t *testing.T) {
	var n atomic.Int64
	g := start(t, func(o *dispatch.Options) {
		o.Rand = func() float64 { return float64(n.Add(1)%1000) / 1000 }
	})
	d := settings()
	d.MinBackoff.Duration, d.MaxBackoff.Duration, d.Concurrency = time.Minute, time.Minute, 1
	var even atomic.Bool // every other event is taken, so that the breaker stays closed
	g.Update(&fake{t: t, deliver: func(context.Context, *event.Event) error {
		if even.Swap(!even.Load()) {
			return nil
		}
		return errRefused
	}}, d)
	g.queue.add(ids(2000)...)
	eventually(t, "failed attempts", func() bool { return g.seen.all()["app retried"] == 1000 })
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	early := 0
	for id, waits := range g.queue.nacks {
		if waits[0] > time.Minute {
			t.Errorf("%s waits %v, want at most a minute", id, waits[0])
		}
		if waits[0] < 30*time.Second {
			early++
		}
	}
	if early < 400 || early > 600 {
		t.Errorf("%d of 1000 wait less than half of the bound, want about 500", early)
	}
}

func TestTimeout(t *testing.T) {
	g := start(t, nil)
	d := settings()
	d.Timeout.Duration, d.MaxAttempts = 5*time.Millisecond, 2
	g.Update(&fake{t: t, deliver: hanging}, d)
	g.queue.add("evt")
	eventually(t, "a dead letter", func() bool { return g.queue.ledger() == ledger{dead: 1} })
	if state := g.State(); state.Phase != dispatch.Failing || state.ConsecutiveFailures != 2 {
		t.Errorf("state %+v", state)
	}
}

// A replay of an event that came long ago is as young as the replay.
func TestReplayOfOldEvent(t *testing.T) {
	g := start(t, nil)
	s := &fake{t: t, deliver: func(context.Context, *event.Event) error { return nil }}
	g.Update(s, settings())
	g.queue.addEvent(&event.Event{ID: "evt", ReceivedAt: time.Now().Add(-2 * time.Hour), Replay: "again", ReplayedAt: time.Now()})
	eventually(t, "the delivery", func() bool { return g.queue.ledger() == ledger{delivered: 1} })
}
