package queuetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// roomy is limits that nothing here reaches.
var roomy = queue.Limits{Capacity: 1 << 30, Retention: time.Hour, DeadLetterCapacity: 1 << 30}

func checkIndependent(_ *testing.T, b *bench) {
	b.setSinks(app, audit, "third")
	ids := numbered("e", 200)
	for i, id := range ids {
		b.append(id, []string{app, audit, "third"}[:i%4]...)
	}
	for range 40 { // the leases of one sink hold up no other
		b.lease(app)
	}
	var forAudit, forThird []string
	for i, id := range ids {
		if i%4 >= 2 {
			forAudit = append(forAudit, id)
		}
		if i%4 >= 3 {
			forThird = append(forThird, id)
		}
	}
	b.wantRest("third", forThird...)
	b.wantRest(audit, forAudit...)
	b.wantLedger(app, ledger{accepted: 150, queued: 150})
}

func checkNewSink(_ *testing.T, b *bench) {
	b.append("a", app)
	b.setSinks(app, audit)
	b.append("b", app, audit)
	b.wantRest(audit, "b")
	b.wantRest(app, "a", "b")
	b.restart() // what was listed still is
	b.append("c", app, audit)
	b.wantRest(audit, "c")
	b.wantRest(app, "c")
}

func checkRemovedSink(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	for _, id := range numbered("e", 4) {
		b.append(id, app, audit)
	}
	c := b.consumer(audit)
	c.Ack(b.lease(audit))
	c.Nack(b.lease(audit), time.Time{}, "")
	leased := b.lease(audit)
	b.setSinks(app)
	c.Ack(leased) // it was dropped
	b.wantLedger(audit, ledger{accepted: 4, delivered: 1, dropped: 3})
	if _, err := c.Lease(t.Context()); !errors.Is(err, queue.ErrUnknownSink) {
		t.Errorf("Lease of a removed sink: %v", err)
	}
	if _, err := b.q.Append(t.Context(), newEvent("x"), byID, []string{audit}); !errors.Is(err, queue.ErrUnknownSink) {
		t.Errorf("Append for a removed sink: %v", err)
	}
	b.restart()
	b.wantLedger(audit, ledger{accepted: 4, delivered: 1, dropped: 3})
	b.setSinks(audit, app)
	b.append("new", audit)
	b.wantRest(audit, "new")
	b.wantRest(app, numbered("e", 4)...)
}

// sized returns an event of at least size bytes.
func sized(id string, size int) *event.Event {
	e := newEvent(id)
	e.Body = make([]byte, size)
	copy(e.Body, id)
	return e
}

// fill appends until the queue is full, and returns how many fitted.
func (b *bench) fill(size int, sinks ...string) int {
	b.t.Helper()
	for n := 0; ; n++ {
		_, err := b.q.Append(b.t.Context(), sized(fmt.Sprintf("f-%06d", n), size), queue.Dedup{}, sinks)
		if errors.Is(err, queue.ErrFull) {
			return n
		}
		if err != nil || n > 10000 {
			b.t.Fatalf("Append number %d: %v", n, err)
		}
	}
}

func checkFull(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	l := roomy
	l.Capacity = 64 << 10
	b.q.SetLimits(l)
	if n := b.fill(4000, app, audit); n < 6 || n > 8 {
		t.Errorf("%d deliveries to two sinks fitted, want about 7", n)
	}
	if st := b.q.Stats(); st.QueuedBytes > st.Capacity || st.Capacity != l.Capacity {
		t.Errorf("QueuedBytes %d, Capacity %d", st.QueuedBytes, st.Capacity)
	}
	b.restart()
	b.q.SetLimits(l)
	if n := b.fill(8000, app); n != 0 {
		t.Errorf("%d fitted after a restart", n)
	}
	b.consumer(audit).Ack(b.lease(audit))
	b.consumer(audit).Ack(b.lease(audit))
	b.appendEvent(sized("room", 4000), byID, queue.Stored, app)
}

func checkFullOfDead(t *testing.T, b *bench) {
	l := roomy
	l.DeadLetterCapacity = 8 << 10
	b.q.SetLimits(l)
	for _, id := range []string{"a", "b"} {
		b.appendEvent(sized(id, 5000), byID, queue.Stored, app)
		b.consumer(app).DeadLetter(b.lease(app), "no", nil)
	}
	if _, err := b.q.Append(t.Context(), newEvent("c"), byID, []string{app}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Append with dead letters full: %v", err)
	}
	b.appendEvent(sized("a", 5000), byID, queue.Duplicate, app) // needs no room
	b.restart()
	b.q.SetLimits(l)
	if _, err := b.q.Append(t.Context(), newEvent("c"), byID, []string{app}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Append after a restart: %v", err)
	}
	b.q.SetLimits(roomy)
	b.appendEvent(newEvent("c"), byID, queue.Stored, app)
}

func checkDropOldest(t *testing.T, b *bench) {
	l := roomy
	l.DeadLetterCapacity, l.DropOldestDeadLetter = 20<<10, true
	b.q.SetLimits(l)
	for _, id := range numbered("e", 10) {
		b.appendEvent(sized(id, 5000), byID, queue.Stored, app)
		b.consumer(app).DeadLetter(b.lease(app), "no", nil)
	}
	b.eventually("dead letters are within their capacity", func() bool { return b.q.Stats().DeadLetterBytes <= l.DeadLetterCapacity })
	b.restart()
	s := b.q.Stats().Sinks[app]
	if s.DeadLetters < 2 || s.DeadLetters > 4 || s.DeadLetters+s.DeadLettersDropped != 10 {
		t.Errorf("%d kept, %d dropped", s.DeadLetters, s.DeadLettersDropped)
	}
	b.wantLedger(app, ledger{accepted: 10, dead: 10})
}

func checkRetention(t *testing.T, b *bench) {
	ids := numbered("e", 50)
	for _, id := range ids {
		b.append(id, app)
	}
	c := b.consumer(app)
	keep := map[int]*queue.Delivery{}
	for i := range 40 {
		d := b.lease(app)
		if i == 10 || i == 20 {
			keep[i] = d
			continue
		}
		c.Ack(d)
	}
	c.Nack(keep[20], time.Time{}, "")
	l := roomy
	l.Retention = time.Millisecond
	b.q.SetLimits(l)
	b.eventually("what has finished is gone", func() bool { return b.q.Stats().Events == 12 })
	c.Ack(b.leaseID(app, ids[20]))
	for _, id := range ids[40:] {
		c.Ack(b.leaseID(app, id))
	}
	c.Ack(keep[10])
	b.eventually("finished events are gone", func() bool { st := b.q.Stats(); return st.Events == 0 && st.Bytes == 0 })
	b.wantLedger(app, ledger{accepted: 50, delivered: 50})
	b.append("after", app)
	b.restart()
	b.wantRest(app, "after")
}

func checkEviction(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	l := roomy
	l.Capacity = 256 << 10
	b.q.SetLimits(l)
	b.appendEvent(sized("first", 1000), byID, queue.Stored, app, audit)
	b.append("far", audit) // a sink that nobody works for holds up no space but its own
	leased := b.leaseID(app, "first")
	for i := range 400 {
		b.appendEvent(sized(fmt.Sprint(i), 4000), byID, queue.Stored, app)
		b.consumer(app).Ack(b.lease(app))
		if i == 200 {
			b.append("middle", audit)
		}
	}
	b.eventually("finished events are evicted", func() bool { return b.q.Stats().Bytes <= l.Capacity })
	b.restart()
	b.q.SetLimits(l)
	b.wantRest(app, "first")
	b.wantRest(audit, "first", "far", "middle")
	if leased.Event.ID != "first" {
		t.Errorf("leased event changed")
	}
	b.wantLedger(app, ledger{accepted: 401, delivered: 401})
	b.wantLedger(audit, ledger{accepted: 3, delivered: 3})
}

// checkLedger has producers and consumers at work, and compares sets of ids.
func checkLedger(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	const producers, each = 8, 150
	ctx, cancel := context.WithCancel(t.Context())
	ends := map[string]*ends{app: {}, audit: {}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(8, func(i int) {
			sink := []string{app, audit}[i%2]
			work(ctx, b.consumer(sink), ends[sink])
		})
	}()
	together(producers, func(p int) {
		for _, id := range numbered(fmt.Sprint("p", p), each) {
			if _, err := b.q.Append(t.Context(), newEvent(id), byID, []string{app, audit}); err != nil {
				t.Errorf("Append: %v", err)
			}
		}
	})
	b.eventually("half is finished", func() bool { return b.q.Stats().Sinks[app].Queued < producers*each/2 })
	cancel()
	<-done
	b.restart()
	for sink, e := range ends {
		s := b.q.Stats().Sinks[sink]
		if s.Accepted != producers*each || s.Delivered != int64(len(e.delivered)) || s.Dead != int64(len(e.dead)) ||
			s.Accepted != s.Delivered+s.Dead+s.Dropped+s.Queued {
			t.Errorf("stats of %q = %+v; %d delivered, %d dead", sink, s, len(e.delivered), len(e.dead))
		}
		all := set{}
		for _, ids := range [][]string{e.delivered, e.dead, b.rest(sink)} {
			for _, id := range ids {
				if all[id] {
					t.Errorf("%q ended twice for %q", id, sink)
				}
				all[id] = true
			}
		}
		if len(all) != producers*each {
			t.Errorf("%d of %d events of %q are accounted for", len(all), producers*each, sink)
		}
	}
}
