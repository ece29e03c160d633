package queuetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

func checkLeaseWaits(t *testing.T, b *bench) {
	got := make(chan *queue.Delivery, 1)
	c := b.consumer(app)
	go func() {
		defer close(got)
		if d, err := c.Lease(t.Context()); err == nil {
			got <- d
		}
	}()
	b.append("a", app)
	select {
	case d := <-got:
		if d == nil || d.Event.ID != "a" || d.Attempts != 0 {
			t.Errorf("Lease = %+v", d)
		}
	case <-time.After(patience):
		t.Fatal("Lease was not woken")
	}
}

func checkLeaseContext(t *testing.T, b *bench) {
	b.idle(app)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.append("a", app)
	if _, err := b.consumer(app).Lease(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Lease with an ended context: %v", err)
	}
	b.leaseID(app, "a")
}

func checkOrder(_ *testing.T, b *bench) {
	ids := numbered("e", 300)
	for _, id := range ids {
		b.append(id, app)
	}
	last := uint64(0)
	for _, id := range ids {
		d := b.leaseID(app, id)
		if d.Sequence <= last {
			b.t.Fatalf("sequence %d follows %d", d.Sequence, last)
		}
		last = d.Sequence
		b.consumer(app).Ack(d)
	}
}

func checkOneLease(t *testing.T, b *bench) {
	const n = 500
	for _, id := range numbered("e", n) {
		b.append(id, app)
	}
	leased := make(chan string, 2*n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := b.consumer(app)
	together(8, func(int) {
		for {
			d, err := c.Lease(ctx)
			if err != nil {
				return
			}
			if leased <- d.Event.ID; len(leased) == n {
				cancel()
			}
		}
	})
	close(leased)
	seen := set{}
	for id := range leased {
		if seen[id] {
			t.Fatalf("%q was leased twice", id)
		}
		seen[id] = true
	}
	if len(seen) != n {
		t.Errorf("%d events leased, want %d", len(seen), n)
	}
}

func checkStale(_ *testing.T, b *bench) {
	c := b.consumer(app)
	b.append("a", app)
	old := b.leaseID(app, "a")
	c.Nack(old, time.Time{}, "")
	d := b.leaseID(app, "a")
	c.Ack(old) // it is not this one's any more
	c.Release(old)
	c.DeadLetter(old, "", nil)
	b.wantLedger(app, ledger{accepted: 1, queued: 1})
	c.Ack(d)
	c.Ack(d)
	c.Nack(d, time.Time{}, "")
	b.wantLedger(app, ledger{accepted: 1, delivered: 1})
	b.idle(app)
}

func checkNack(t *testing.T, b *bench) {
	c := b.consumer(app)
	b.append("a", app)
	until := time.Now().Add(60 * time.Millisecond)
	c.Nack(b.leaseID(app, "a"), until, "refused")
	d := b.leaseID(app, "a")
	if time.Now().Before(until) {
		t.Errorf("leased %v too early", time.Until(until))
	}
	if d.Attempts != 1 {
		t.Errorf("Attempts = %d, want 1", d.Attempts)
	}
	c.Nack(d, time.Now(), strings.Repeat("x", 5000))
	if s := b.q.Stats().Sinks[app]; s.Retrying != 1 || s.Queued != 1 {
		t.Errorf("Retrying, Queued = %d, %d, want 1, 1", s.Retrying, s.Queued)
	}
	b.restart()
	if d := b.leaseID(app, "a"); d.Attempts != 2 {
		t.Errorf("Attempts after a restart = %d, want 2", d.Attempts)
	}
	b.restart()
	d = b.leaseID(app, "a")
	b.consumer(app).Ack(d)
	b.restart()
	b.idle(app)
	b.wantLedger(app, ledger{accepted: 1, delivered: 1})
}

func checkNackPasses(_ *testing.T, b *bench) {
	c := b.consumer(app)
	b.append("poison", app)
	b.append("a", app)
	b.append("b", app)
	c.Nack(b.leaseID(app, "poison"), time.Now().Add(time.Hour), "")
	c.Ack(b.leaseID(app, "a"))
	b.restart()
	c = b.consumer(app)
	d := b.leaseID(app, "b")
	b.idle(app)
	b.append("c", app)
	b.append("d", app)
	c.Nack(d, time.Now().Add(-time.Second), "")
	c.Ack(b.leaseID(app, "b")) // a retry that is due goes before what is new
	c.Ack(b.leaseID(app, "c"))
	c.Ack(b.leaseID(app, "d"))
	b.wantLedger(app, ledger{accepted: 5, delivered: 4, queued: 1})
}

func checkRelease(t *testing.T, b *bench) {
	c := b.consumer(app)
	for _, id := range []string{"a", "b", "c"} {
		b.append(id, app)
	}
	a, bb := b.leaseID(app, "a"), b.leaseID(app, "b")
	c.Release(bb)
	c.Release(a)
	if d := b.leaseID(app, "a"); d.Attempts != 0 {
		t.Errorf("Attempts = %d after a release", d.Attempts)
	}
	c.Nack(b.leaseID(app, "b"), time.Time{}, "")
	d := b.leaseID(app, "b")
	c.Release(d)
	if d := b.leaseID(app, "b"); d.Attempts != 1 {
		t.Errorf("Attempts = %d, want 1: a release changes nothing", d.Attempts)
	}
	b.restart()
	b.wantRest(app, "a", "b", "c")
}

func checkDeadLetter(t *testing.T, b *bench) {
	c := b.consumer(app)
	b.append("a", app)
	b.append("b", app)
	c.DeadLetter(b.leaseID(app, "a"), strings.Repeat("ä", 5000), make([]byte, 5000))
	d := b.leaseID(app, "b")
	c.Nack(d, time.Time{}, "")
	c.DeadLetter(b.leaseID(app, "b"), "gone", nil)
	for range 2 {
		b.idle(app)
		b.wantLedger(app, ledger{accepted: 2, dead: 2})
		st := b.q.Stats()
		if s := st.Sinks[app]; s.DeadLetters != 2 || s.DeadLetterBytes == 0 || st.DeadLetterBytes != s.DeadLetterBytes || s.Retrying != 0 {
			t.Errorf("stats = %+v", st)
		}
		b.restart()
	}
}

func checkRestart(_ *testing.T, b *bench) {
	b.setSinks(app, audit)
	for _, id := range numbered("e", 10) {
		b.append(id, app, audit)
	}
	c := b.consumer(app)
	var ds []*queue.Delivery
	for range 8 {
		ds = append(ds, b.lease(app))
	}
	c.Ack(ds[1])
	c.Ack(ds[5])
	c.Nack(ds[2], time.Time{}, "")
	c.Nack(ds[6], time.Now().Add(-time.Second), "")
	c.Release(ds[3])
	c.DeadLetter(ds[4], "no", []byte("answer"))
	b.restart() // 0 and 7 are leased, 8 and 9 were never
	b.wantLedger(app, ledger{accepted: 10, delivered: 2, dead: 1, queued: 7})
	b.wantLedger(audit, ledger{accepted: 10, queued: 10})
	b.restart()
	ids := numbered("e", 10)
	b.wantRest(app, ids[0], ids[2], ids[3], ids[6], ids[7], ids[8], ids[9])
	b.wantRest(audit, ids...)
	b.restart()
	b.wantLedger(app, ledger{accepted: 10, delivered: 9, dead: 1})
	b.wantLedger(audit, ledger{accepted: 10, delivered: 10})
	b.append("after", app)
	b.wantRest(app, "after")
}

func checkClose(t *testing.T, b *bench) {
	c := b.consumer(app)
	errs := make(chan error, 4)
	for range 4 {
		go func() {
			_, err := c.Lease(context.WithoutCancel(t.Context()))
			errs <- err
		}()
	}
	for range 2 {
		if err := b.q.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	for range 4 {
		if err := <-errs; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Lease during Close: %v", err)
		}
	}
	if _, err := c.Lease(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Lease after Close: %v", err)
	}
	for _, d := range []queue.Dedup{{}, byID} {
		if _, err := b.q.Append(t.Context(), newEvent("a"), d, []string{app}); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Append after Close: %v", err)
		}
	}
	if err := b.q.SetSinks([]string{"x"}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("SetSinks after Close: %v", err)
	}
	b.q.Stats()
	b.q.SetLimits(queue.Limits{})
}

func checkCloseLeases(_ *testing.T, b *bench) {
	b.append("a", app)
	c, d := b.consumer(app), b.leaseID(app, "a")
	b.restart()
	c.Ack(d) // of the closed queue: too late
	c.DeadLetter(d, "", nil)
	b.wantLedger(app, ledger{accepted: 1, queued: 1})
	b.wantRest(app, "a")
}

func checkOldest(t *testing.T, b *bench) {
	oldest := func() time.Time { return b.q.Stats().Sinks[app].OldestQueued }
	if !oldest().IsZero() {
		t.Errorf("OldestQueued = %v of an empty queue", oldest())
	}
	for _, id := range []string{"a", "b", "c"} {
		e := newEvent(id)
		e.ReceivedAt = time.Unix(int64(id[0]), 0)
		b.appendEvent(e, byID, queue.Stored, app)
	}
	b.restart()
	for _, want := range []int64{'a', 'b', 'c'} {
		if got := oldest(); got.Unix() != want {
			t.Errorf("OldestQueued = %v, want %v", got.Unix(), want)
		}
		b.consumer(app).Ack(b.lease(app))
	}
	if !oldest().IsZero() {
		t.Errorf("OldestQueued = %v when all is delivered", oldest())
	}
}
