package dispatch_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

func TestPending(t *testing.T) {
	g := start(t, nil)
	g.queue.add(ids(5)...)
	if state := g.State(); state.Phase != dispatch.Pending {
		t.Errorf("state %+v", state)
	}
	s := &fake{t: t, deliver: accepting}
	g.Update(s, settings())
	eventually(t, "deliveries", func() bool { return g.queue.ledger() == ledger{delivered: 5} })
	g.Update(nil, settings())
	if n := s.closed.Load(); n != 1 {
		t.Errorf("the sink was closed %d times, want once", n)
	}
	g.queue.add("late")
	if state := g.State(); state.Phase != dispatch.Pending || g.queue.ledger().delivered != 5 {
		t.Errorf("state %+v", state)
	}
}

func TestSuspend(t *testing.T) {
	g := start(t, nil)
	inside, leave := make(chan struct{}), make(chan struct{})
	s := &fake{t: t, deliver: func(context.Context, *event.Event) error { inside <- struct{}{}; <-leave; return nil }}
	d := settings()
	d.Concurrency = 1
	g.Update(s, d)
	g.queue.add("first", "second")
	<-inside
	g.Suspend(true)
	if state := g.State(); state.Phase != dispatch.Suspended || state.Attempts != 1 {
		t.Errorf("state %+v", state)
	}
	leave <- struct{}{} // what is under way goes on to its end
	eventually(t, "the first", func() bool { return g.State().Attempts == 0 })
	if got := g.queue.ledger(); got.delivered != 1 || s.calls.Load() != 1 {
		t.Errorf("suspended: %+v after %d attempts", got, s.calls.Load())
	}
	g.Suspend(false)
	<-inside
	leave <- struct{}{}
	eventually(t, "the second", func() bool { return g.queue.ledger() == ledger{delivered: 2} })
}

func TestConcurrencyFollows(t *testing.T) {
	g := start(t, nil)
	leave := make(chan struct{})
	s := &fake{t: t, deliver: func(context.Context, *event.Event) error { <-leave; return nil }}
	d := settings()
	d.Concurrency = 2
	g.Update(s, d)
	g.queue.add(ids(60)...)
	eventually(t, "2 attempts", func() bool { return s.active.Load() == 2 })

	d.Concurrency = 8
	wide := &fake{t: t, deliver: s.deliver}
	g.Update(wide, d)
	eventually(t, "6 more", func() bool { return s.active.Load()+wide.active.Load() == 8 })
	if s.closed.Load() != 0 {
		t.Error("the old sink was closed during attempts")
	}

	d.Concurrency = 3
	narrow := &fake{t: t, deliver: s.deliver}
	g.Update(narrow, d)
	for range 60 {
		leave <- struct{}{}
	}
	eventually(t, "all", func() bool { return g.queue.ledger() == ledger{delivered: 60} })
	eventually(t, "the old sinks' end", func() bool { return s.closed.Load() == 1 && wide.closed.Load() == 1 })
	if narrow.most.Load() > 3 || s.most.Load() > 2 {
		t.Errorf("%d and %d attempts at once, want at most 2 and 3", s.most.Load(), narrow.most.Load())
	}
}

// Sinks come and go while deliveries go on: nothing is lost, no sink is used
// after its end, and each is closed once.
func TestUpdateUnderLoad(t *testing.T) {
	g := start(t, nil)
	const events, updates = 2000, 200
	var sinks []*fake
	next := func() *fake {
		s := &fake{t: t, deliver: func(_ context.Context, e *event.Event) error {
			if e.ID[len(e.ID)-1] == '7' {
				return sink.Permanent(errRefused)
			}
			return nil
		}}
		sinks = append(sinks, s)
		return s
	}
	fed := make(chan struct{})
	go func() { g.queue.add(ids(events)...); close(fed) }()
	for i := range updates {
		d := settings()
		d.Concurrency = 1 + i%7
		g.Suspend(i%5 == 4)
		if i%11 == 10 {
			g.Update(nil, d)
		} else {
			g.Update(next(), d)
		}
	}
	<-fed
	g.Suspend(false)
	last := next()
	g.Update(last, settings())
	eventually(t, "all", func() bool { return g.queue.ledger() == ledger{delivered: events * 9 / 10, dead: events / 10} })
	eventually(t, "the old sinks' end", func() bool {
		for _, s := range sinks {
			if s != last && s.closed.Load() != 1 {
				return false
			}
		}
		return last.closed.Load() == 0
	})
}

func TestStopWaits(t *testing.T) {
	g := start(t, nil)
	inside, leave := make(chan struct{}), make(chan struct{})
	s := &fake{t: t, deliver: func(context.Context, *event.Event) error { inside <- struct{}{}; <-leave; return nil }}
	d := settings()
	d.Concurrency = 2
	g.Update(s, d)
	g.queue.add(ids(5)...)
	<-inside
	<-inside
	stopped := make(chan struct{})
	go func() { g.Stop(context.Background()); close(stopped) }()
	eventually(t, "no new attempts", func() bool { return g.State().Phase == dispatch.Stopped })
	leave <- struct{}{}
	select {
	case <-stopped:
		t.Fatal("Stop returned during an attempt")
	case leave <- struct{}{}:
	}
	<-stopped
	if got := g.queue.ledger(); got != (ledger{delivered: 2, queued: 3}) || s.closed.Load() != 1 {
		t.Errorf("after Stop: %+v, closed %d times", got, s.closed.Load())
	}
	late := &fake{t: t, deliver: accepting}
	g.Update(late, d) // too late: it is only closed
	if late.closed.Load() != 1 {
		t.Error("a sink that came after the end was not closed")
	}
}

func TestStopCallsOff(t *testing.T) {
	g := start(t, nil)
	s := &fake{t: t, deliver: hanging}
	g.Update(s, settings())
	g.queue.add(ids(5)...)
	eventually(t, "attempts", func() bool { return s.active.Load() == 4 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	g.Stop(ctx)
	if got := g.queue.ledger(); got != (ledger{queued: 5}) || g.queue.releases != 4 {
		t.Errorf("after Stop: %+v, %d released", got, g.queue.releases)
	}
	for _, e := range g.queue.waiting {
		if e.attempts != 0 {
			t.Errorf("%q has %d attempts; one that was called off does not count", e.event.ID, e.attempts)
		}
	}
	if got := g.seen.all(); got["app released"] != 4 || g.State().ConsecutiveFailures != 0 {
		t.Errorf("observed %v, state %+v", got, g.State())
	}
}

func TestRunEnds(t *testing.T) {
	for _, name := range []string{"context", "queue closed", "stopped before", "pending"} {
		t.Run(name, func(t *testing.T) {
			c := newConsumer(t)
			r := dispatch.New(dispatch.Options{Sink: "app", Consumer: c})
			s := &fake{t: t, deliver: accepting}
			if name != "pending" {
				r.Update(s, settings())
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "stopped before" {
				r.Stop(ctx)
			}
			done := make(chan struct{})
			go func() { r.Run(ctx); close(done) }()
			switch name {
			case "queue closed":
				c.close()
			case "context", "pending":
				cancel()
			}
			<-done
			r.Stop(ctx)
			if want := map[bool]int64{true: 0, false: 1}[name == "pending"]; s.closed.Load() != want {
				t.Errorf("the sink was closed %d times, want %d", s.closed.Load(), want)
			}
		})
	}
}

func TestLogIsBounded(t *testing.T) {
	g := start(t, nil)
	g.Update(&fake{t: t, deliver: func(context.Context, *event.Event) error { return sink.Permanent(errRefused) }}, settings())
	g.queue.add(ids(500)...)
	eventually(t, "dead letters", func() bool { return g.queue.ledger() == ledger{dead: 500} })
	eventually(t, "observations", func() bool { return g.seen.all()["app dead"] == 500 })
	if n := strings.Count(g.log.String(), "\n"); n < 2 || n > 12 {
		t.Errorf("%d log lines for 500 dead letters", n)
	}
}
