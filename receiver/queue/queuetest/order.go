package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// ordered has a sink get its events in order.
func (b *bench) ordered(sinks ...string) {
	l := roomy
	l.BySubject = sinks
	b.q.SetLimits(l)
}

// about stores an event whose id is its subject, and a number behind a dash.
func (b *bench) about(ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		e := newEvent(id)
		e.Subject, _, _ = strings.Cut(id, "-")
		b.appendEvent(e, byID, queue.Stored, app)
	}
}

func checkBySubject(_ *testing.T, b *bench) {
	b.ordered(app)
	c := b.consumer(app)
	b.about("red-1", "blue-1", "red-2", "-1", "red-3", "-2", "blue-2")
	red, blue := b.leaseID(app, "red-1"), b.leaseID(app, "blue-1")
	c.Ack(b.leaseID(app, "-1"))
	c.Ack(b.leaseID(app, "-2")) // no subject, no order
	b.idle(app)
	c.Nack(red, time.Now().Add(-time.Second), "again")
	c.Release(blue)
	b.restart()
	b.ordered(app)
	c = b.consumer(app)
	red, blue = b.leaseID(app, "red-1"), b.leaseID(app, "blue-1")
	b.idle(app)
	c.Ack(blue)
	c.Ack(b.leaseID(app, "blue-2"))
	c.DeadLetter(red, "enough", nil) // lets the next one go
	red = b.leaseID(app, "red-2")
	b.about("red-4", "blue-3")
	c.Ack(b.leaseID(app, "blue-3"))
	b.idle(app)
	c.Ack(red)
	c.Ack(b.leaseID(app, "red-3"))
	c.Ack(b.leaseID(app, "red-4"))
	b.wantLedger(app, ledger{accepted: 9, delivered: 8, dead: 1})
}

// checkOrderGoes asks for order while deliveries are out, and takes it back.
func checkOrderGoes(_ *testing.T, b *bench) {
	c := b.consumer(app)
	b.about("red-1", "red-2", "red-3", "red-4")
	one, two := b.leaseID(app, "red-1"), b.leaseID(app, "red-2")
	b.ordered(app)
	b.idle(app)
	c.Nack(two, time.Now().Add(-time.Second), "again")
	b.idle(app)
	c.Ack(one)
	c.Ack(b.leaseID(app, "red-2"))
	three := b.leaseID(app, "red-3")
	b.idle(app)
	b.ordered()
	c.Ack(b.leaseID(app, "red-4"))
	c.Ack(three)
	b.wantLedger(app, ledger{accepted: 4, delivered: 4})
}

// checkOrderUnderLoad has many workers end deliveries in all ways, with a restart
// between: no two of a subject are out at once, and they end as they were stored.
func checkOrderUnderLoad(t *testing.T, b *bench) {
	b.ordered(app)
	const subjects, each = 7, 40
	o := order{t: t, out: map[string]string{}, ended: map[string][]string{}}
	for n := range each {
		for s := range subjects {
			b.about(fmt.Sprintf("s%d-%03d", s, n))
		}
		if n == each/2 {
			b.workInOrder(&o, subjects*each/4)
			b.restart()
			b.ordered(app)
		}
	}
	b.workInOrder(&o, subjects*each)
	for s := range subjects {
		if want := numbered(fmt.Sprintf("s%d-", s), each); len(o.ended[want[0][:2]]) != each || !slices.IsSorted(o.ended[want[0][:2]]) {
			t.Errorf("subject %d ended as %q", s, o.ended[want[0][:2]])
		}
	}
}

// order is what was seen of each subject's deliveries.
type order struct {
	t     *testing.T
	mu    sync.Mutex
	out   map[string]string
	ended map[string][]string
	all   int
}

func (o *order) leased(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	subject, _, _ := strings.Cut(id, "-")
	if other := o.out[subject]; other != "" {
		o.t.Errorf("%q was leased while %q was", id, other)
	}
	o.out[subject] = id
}

// back notes the end of a lease, and returns how many deliveries have ended.
func (o *order) back(id string, ended bool) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	subject, _, _ := strings.Cut(id, "-")
	delete(o.out, subject)
	if ended {
		o.ended[subject] = append(o.ended[subject], id)
		o.all++
	}
	return o.all
}

// workInOrder works until as many deliveries have ended, and gives back the rest.
func (b *bench) workInOrder(o *order, until int) {
	ctx, stop := context.WithTimeout(b.t.Context(), patience)
	defer stop()
	c := b.consumer(app)
	together(6, func(worker int) {
		rng := rand.New(rand.NewPCG(uint64(worker), uint64(until)))
		for {
			d, err := c.Lease(ctx)
			if err != nil {
				return
			}
			o.leased(d.Event.ID)
			switch n := rng.IntN(10); {
			case n < 3:
				o.back(d.Event.ID, false)
				c.Nack(d, time.Now().Add(time.Duration(rng.IntN(3))*time.Millisecond), "again")
			case n == 3:
				o.back(d.Event.ID, false)
				c.Release(d)
			case n == 4:
				all := o.back(d.Event.ID, true)
				c.DeadLetter(d, "enough", nil)
				if all >= until {
					stop()
				}
			default:
				all := o.back(d.Event.ID, true)
				c.Ack(d)
				if all >= until {
					stop()
				}
			}
		}
	})
	if !errors.Is(ctx.Err(), context.Canceled) {
		b.t.Errorf("%d deliveries ended, want %d", o.all, until)
	}
}

// checkShare has retries and new deliveries wait: they share the leases.
func checkShare(t *testing.T, b *bench) {
	c := b.consumer(app)
	var old []*queue.Delivery
	for _, id := range numbered("old", 12) {
		b.append(id, app)
		old = append(old, b.leaseID(app, id))
	}
	for _, d := range old {
		c.Nack(d, time.Now().Add(-time.Second), "again")
	}
	for _, id := range numbered("new", 12) {
		b.append(id, app)
	}
	retries := 0
	var out []*queue.Delivery
	for range 8 {
		d := b.lease(app)
		if strings.HasPrefix(d.Event.ID, "old") {
			retries++
		}
		out = append(out, d)
	}
	if retries != 4 {
		t.Errorf("%d of 8 leases are for retries", retries)
	}
	// Retries that take long leave half of the leases to new ones.
	for range 6 {
		i := slices.IndexFunc(out, func(d *queue.Delivery) bool { return strings.HasPrefix(d.Event.ID, "new") })
		c.Ack(out[i])
		if out[i] = b.lease(app); !strings.HasPrefix(out[i].Event.ID, "new") {
			t.Errorf("%q was leased in place of a new one", out[i].Event.ID)
		}
	}
}
