package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// sister returns another queue with the same sinks.
func (b *bench) sister(sinks ...string) *bench {
	b.t.Helper()
	other := &bench{t: b.t, open: b.open, dir: b.t.TempDir()}
	other.start()
	b.t.Cleanup(func() { other.q.Close() })
	other.setSinks(sinks...)
	return other
}

// unfinished lists what is left.
func (b *bench) unfinished() (all []queue.Transfer) {
	b.t.Helper()
	err := b.q.Unfinished(func(t *queue.Transfer) bool {
		all = append(all, *t)
		return true
	})
	if err != nil {
		b.t.Fatalf("Unfinished: %v", err)
	}
	return all
}

func (b *bench) receive(transfers []queue.Transfer, want int) {
	b.t.Helper()
	if n, err := b.q.Receive(b.t.Context(), transfers); n != want || err != nil {
		b.t.Fatalf("Receive = %d, %v; want %d", n, err, want)
	}
}

func (b *bench) forget(transfers []queue.Transfer) {
	b.t.Helper()
	if err := b.q.Forget(b.t.Context(), transfers); err != nil {
		b.t.Fatalf("Forget: %v", err)
	}
}

// named says what transfers are for.
func named(transfers []queue.Transfer) (names []string) {
	for _, t := range transfers {
		for _, d := range t.Deliveries {
			name := fmt.Sprint(t.Event.ID, "/", d.Sink, "/", d.Attempts)
			if d.Dead != nil {
				name += "/" + d.Dead.Reason + "/" + string(d.Dead.Answer)
			}
			names = append(names, name)
		}
	}
	return names
}

func checkHandOver(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	ids := numbered("e", 300)
	for _, id := range ids {
		b.append(id, app, audit)
	}
	c := b.consumer(app)
	var ds []*queue.Delivery
	for range 6 {
		ds = append(ds, b.lease(app))
	}
	c.Ack(ds[0])
	c.Nack(ds[1], time.Now().Add(time.Hour), "later")
	c.Nack(ds[2], time.Time{}, "now")
	c.DeadLetter(ds[3], "no", []byte("answer"))
	c.Release(ds[4]) // and one stays leased
	var want []string
	for i, id := range ids {
		if i != 0 && i != 3 && i != 5 {
			want = append(want, fmt.Sprint(id, "/app/", map[int]int{1: 1, 2: 1}[i]))
		}
		want = append(want, id+"/audit/0")
	}
	want = append(want, ids[3]+"/app/0/no/answer")
	if diff := cmp.Diff(want, named(b.unfinished())); diff != "" {
		t.Fatalf("unfinished (-want +got):\n%s", diff)
	}
	other := b.sister(app, audit)
	var batch []queue.Transfer
	move := func() {
		other.receive(batch, len(batch))
		b.forget(batch)
		batch = nil
	}
	err := b.q.Unfinished(func(tr *queue.Transfer) bool {
		if batch = append(batch, *tr); len(batch) == 7 {
			move()
		}
		return true
	})
	move()
	if err != nil || len(b.unfinished()) != 0 {
		t.Errorf("Unfinished: %v, then %q", err, named(b.unfinished()))
	}
	checkHandedOver(b, other, ds[5])
}

// checkHandedOver looks at both queues, of which the first still leases one.
func checkHandedOver(b, other *bench, leased *queue.Delivery) {
	b.t.Helper()
	ids := numbered("e", 300)
	b.wantLedger(app, ledger{accepted: 300, delivered: 1, dead: 1, handedOver: 297, queued: 1})
	b.wantLedger(audit, ledger{accepted: 300, handedOver: 300})
	b.consumer(app).Ack(leased)
	for range 2 {
		b.wantLedger(app, ledger{accepted: 300, delivered: 2, dead: 1, handedOver: 297})
		b.wantLedger(audit, ledger{accepted: 300, handedOver: 300})
		b.wantLetters()
		b.idle(app)
		if s := b.q.Stats().Sinks[app]; s.DeadLettersHandedOver != 1 || s.DeadLetters != 0 || b.q.Stats().QueuedBytes != 0 {
			b.t.Errorf("stats = %+v", s)
		}
		other.wantLedger(app, ledger{accepted: 298, dead: 1, queued: 297})
		other.wantLedger(audit, ledger{accepted: 300, queued: 300})
		if s := other.q.Stats().Sinks; s[app].Received != 298 || s[audit].Received != 300 {
			b.t.Errorf("stats = %+v", s)
		}
		other.wantLetters(app + "/" + ids[3])
		b.restart()
		other.restart()
	}
	for i, id := range ids {
		if i == 0 || i == 3 || i == 5 {
			continue
		}
		d := other.leaseID(app, id)
		if want := map[int]int{1: 1, 2: 1}[i]; d.Attempts != want || string(d.Event.Body) != `{"id":"`+id+`"}` {
			b.t.Errorf("%q was received with %d attempts, want %d", id, d.Attempts, want)
		}
		other.consumer(app).Ack(d)
	}
	other.wantRest(audit, ids...)
}

// checkForgetSome forgets deliveries here and there: only those have ended.
func checkForgetSome(t *testing.T, b *bench) {
	ids := numbered("e", 300)
	for _, id := range ids {
		b.append(id, app)
	}
	b.leaseID(app, ids[0])
	all := b.unfinished()
	var gone []queue.Transfer
	var left []string
	for i, tr := range all {
		if i%3 == 1 {
			gone = append(gone, tr)
		} else {
			left = append(left, tr.Event.ID)
		}
	}
	leased := all[0]
	leased.Sequence--
	slices.Reverse(gone)
	b.forget(append(gone, leased, queue.Transfer{Sequence: 1 << 40, Deliveries: leased.Deliveries}))
	b.forget(gone)
	for range 2 {
		b.wantLedger(app, ledger{accepted: 300, handedOver: int64(len(gone)), queued: int64(1 + len(left))})
		b.restart()
	}
	b.wantRest(app, append(left, ids[0])...)
	b.append("after", app)
	b.wantRest(app, "after")
}

// transfer makes one of a new event.
func transfer(id string, attempts int, sinks ...string) queue.Transfer {
	t := queue.Transfer{Sequence: 7, Event: newEvent(id)}
	for _, s := range sinks {
		t.Deliveries = append(t.Deliveries, queue.TransferDelivery{Sink: s, Attempts: attempts})
	}
	return t
}

func checkReceiveOnce(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	a, two := transfer("a", 3, app), transfer("b", 0, app, audit)
	b.receive([]queue.Transfer{a}, 1)
	b.receive([]queue.Transfer{a, two}, 1)
	again := a
	again.Sequence, again.Deliveries = 99, []queue.TransferDelivery{{Sink: app, Attempts: 4}} // by another way
	b.receive([]queue.Transfer{again, two}, 0)
	b.restart()
	b.receive([]queue.Transfer{two, a}, 0)
	forAudit, replayed, other := a, a, a
	forAudit.Deliveries = []queue.TransferDelivery{{Sink: audit}}
	replayed.Event, other.Event = newEvent("a"), newEvent("a")
	replayed.Event.Replay, other.Event.Body = "r", []byte("other")
	b.receive([]queue.Transfer{forAudit, replayed, other}, 3)
	b.wantLedger(app, ledger{accepted: 4, queued: 4})
	b.wantLedger(audit, ledger{accepted: 2, queued: 2})
	d := b.leaseID(app, "a")
	if diff := cmp.Diff(a.Event, d.Event); diff != "" || d.Attempts != 3 {
		t.Errorf("received with %d attempts (-want +got):\n%s", d.Attempts, diff)
	}
	b.restart()
	if d := b.leaseID(app, "a"); d.Attempts != 3 {
		t.Errorf("%d attempts after a restart", d.Attempts)
	}
}

func checkReceiveTogether(t *testing.T, b *bench) {
	var all []queue.Transfer
	ids := numbered("e", 60)
	for _, id := range ids {
		all = append(all, transfer(id, 0, app))
	}
	var stored atomic.Int64
	together(8, func(i int) { // in different orders, and some of them
		some := slices.Concat(all[i*5:], all[:i*5])[:40]
		n, err := b.q.Receive(t.Context(), some)
		if err != nil {
			t.Error(err)
		}
		stored.Add(int64(n))
	})
	b.receive(all, 60-int(stored.Load()))
	b.wantRest(app, ids...)
}

func checkReceiveRefused(t *testing.T, b *bench) {
	large := transfer("large", 0, app)
	large.Event.Body = make([]byte, 40<<10)
	deadLarge := queue.Transfer{Event: large.Event, Deliveries: []queue.TransferDelivery{
		{Sink: "gone", Dead: &queue.Death{Reason: "no", At: time.Unix(1700000000, 0)}},
	}}
	tight := roomy
	tight.Capacity, tight.DeadLetterCapacity = 32<<10, 32<<10
	for _, tt := range []struct {
		name   string
		second queue.Transfer
		want   error
	}{
		{"unknown sink", transfer("b", 0, "nobody"), queue.ErrUnknownSink},
		{"queue full", large, queue.ErrFull},
		{"dead letters full", deadLarge, queue.ErrFull},
	} {
		b.q.SetLimits(tight)
		both := []queue.Transfer{transfer("a", 0, app), tt.second}
		if n, err := b.q.Receive(t.Context(), both); n != 0 || !errors.Is(err, tt.want) {
			t.Errorf("%s: Receive = %d, %v", tt.name, n, err)
		}
		b.wantLedger(app, ledger{})
		b.idle(app)
	}
	b.restart()
	b.q.SetLimits(roomy)
	b.receive([]queue.Transfer{transfer("a", 0, app), large, deadLarge}, 3) // nothing of it is known
}

func checkReceiveDead(t *testing.T, b *bench) {
	at := time.Unix(1700000000, 5).UTC()
	death := func(sink string, at time.Time) queue.TransferDelivery {
		return queue.TransferDelivery{Sink: sink, Attempts: 4, Dead: &queue.Death{Reason: "no", Answer: []byte("answer"), At: at}}
	}
	one := queue.Transfer{Event: newEvent("a"), Deliveries: []queue.TransferDelivery{death(app, at)}}
	later := queue.Transfer{Event: one.Event, Deliveries: []queue.TransferDelivery{death(app, at.Add(time.Hour))}}
	unlisted := queue.Transfer{Event: one.Event, Deliveries: []queue.TransferDelivery{death("gone", at)}}
	lost := queue.Transfer{Sequence: 3, Deliveries: []queue.TransferDelivery{death("gone", at)}} // its event could not be read
	b.receive([]queue.Transfer{one, later, unlisted, lost}, 4)
	b.receive([]queue.Transfer{one, later, unlisted, lost}, 0)
	for range 2 {
		b.wantLedger(app, ledger{accepted: 2, dead: 2})
		b.wantLedger("gone", ledger{accepted: 2, dead: 2})
		if s := b.q.Stats().Sinks["gone"]; !s.Removed || s.Received != 2 || s.DeadLetters != 2 {
			t.Errorf("stats = %+v", s)
		}
		l := b.letters(queue.DeadLetterID{})[0]
		want := queue.DeadLetter{DeadLetterID: l.DeadLetterID, Event: one.Event, Attempts: 4, Reason: "no", Answer: []byte("answer"), DeadAt: at, Size: l.Size}
		if diff := cmp.Diff(&want, l); diff != "" {
			t.Errorf("dead letter (-want +got):\n%s", diff)
		}
		b.restart()
	}
	b.append("between", app)
	b.wantRest(app, "between")
	b.wantLedger(app, ledger{accepted: 3, delivered: 1, dead: 2})
	b.setSinks(app, "gone")
	if n, err := b.q.ReplayDeadLetters(t.Context(), b.letterIDs(), "r"); n != 3 || err != nil {
		t.Errorf("ReplayDeadLetters = %d, %v", n, err)
	}
	b.wantRest("gone", "a")
	b.wantRest(app, "a", "a")
	if n, err := b.q.DropDeadLetters(t.Context(), b.letterIDs()); n != 1 || err != nil {
		t.Errorf("DropDeadLetters = %d, %v", n, err)
	}
}
