package dispatch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// consumer is one sink's side of a queue in memory that obeys the contract, and
// fails the test when its user does not.
type consumer struct {
	t testing.TB

	mu      sync.Mutex
	changed chan struct{} // closed when there may be something to lease
	closed  bool
	waiting []*entry
	leased  map[*queue.Delivery]*entry

	accepted, delivered []string
	dead                map[string]dead
	nacks               map[string][]time.Duration // by id: how far ahead each nack was
	releases            int
}

type entry struct {
	event    *event.Event
	sequence uint64
	attempts int
	due      time.Time
}

type dead struct{ reason, answer string }

func newConsumer(t testing.TB) *consumer {
	return &consumer{
		t: t, changed: make(chan struct{}), leased: map[*queue.Delivery]*entry{},
		dead: map[string]dead{}, nacks: map[string][]time.Duration{},
	}
}

func (c *consumer) add(ids ...string) {
	for _, id := range ids {
		c.addEvent(&event.Event{ID: id, ReceivedAt: time.Now(), Body: []byte(id)})
	}
}

func (c *consumer) addEvent(e *event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted = append(c.accepted, e.ID)
	c.waiting = append(c.waiting, &entry{event: e, sequence: uint64(len(c.accepted))})
	c.wake()
}

func (c *consumer) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *consumer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.wake()
}

// Lease implements queue.Consumer.
func (c *consumer) Lease(ctx context.Context) (*queue.Delivery, error) {
	for {
		d, changed, wait, err := c.take()
		if d != nil || err != nil {
			return d, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (c *consumer) take() (*queue.Delivery, <-chan struct{}, time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, 0, queue.ErrClosed
	}
	wait := time.Hour
	for i, e := range c.waiting {
		left := time.Until(e.due)
		if left <= 0 {
			c.waiting = append(c.waiting[:i:i], c.waiting[i+1:]...)
			d := &queue.Delivery{Event: e.event, Sequence: e.sequence, Attempts: e.attempts}
			c.leased[d] = e
			return d, nil, 0, nil
		}
		wait = min(wait, left)
	}
	return nil, c.changed, wait, nil
}

// settle ends a lease; it must be called with the lock.
func (c *consumer) settle(d *queue.Delivery) *entry {
	e := c.leased[d]
	if e == nil {
		c.t.Errorf("delivery of %q was settled without a lease", d.Event.ID)
		return &entry{event: d.Event}
	}
	delete(c.leased, d)
	return e
}

// Ack implements queue.Consumer.
func (c *consumer) Ack(d *queue.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(d)
	c.delivered = append(c.delivered, d.Event.ID)
}

// Nack implements queue.Consumer.
func (c *consumer) Nack(d *queue.Delivery, until time.Time, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.settle(d)
	e.attempts++
	e.due = until
	c.nacks[d.Event.ID] = append(c.nacks[d.Event.ID], time.Until(until))
	c.waiting = append(c.waiting, e)
	c.wake()
}

// Release implements queue.Consumer.
func (c *consumer) Release(d *queue.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, c.settle(d))
	c.releases++
	c.wake()
}

// DeadLetter implements queue.Consumer.
func (c *consumer) DeadLetter(d *queue.Delivery, reason string, answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(d)
	c.dead[d.Event.ID] = dead{reason, string(answer)}
}

// ledger is where every id is, by state.
type ledger struct{ delivered, dead, queued, leased int }

func (c *consumer) ledger() ledger {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ledger{len(c.delivered), len(c.dead), len(c.waiting), len(c.leased)}
}

// balanced fails the test unless each accepted id is delivered, dead or queued,
// once, and no lease is out.
func (c *consumer) balanced() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	states := map[string]int{}
	for _, id := range c.delivered {
		states[id]++
	}
	for id := range c.dead {
		states[id]++
	}
	for _, e := range c.waiting {
		states[e.event.ID]++
	}
	for _, id := range c.accepted {
		if states[id] != 1 {
			c.t.Errorf("%q is in %d states, want one", id, states[id])
		}
		delete(states, id)
	}
	if len(states) > 0 || len(c.leased) > 0 {
		c.t.Errorf("%d unknown ids, %d leases still out", len(states), len(c.leased))
	}
}
