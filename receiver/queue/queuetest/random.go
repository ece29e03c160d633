package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// ends is what became of a sink's deliveries.
type ends struct {
	mu              sync.Mutex
	delivered, dead []string
}

// work leases until ctx ends, and does something different with each delivery.
func work(ctx context.Context, c queue.Consumer, e *ends) {
	for n := 0; ; n++ {
		d, err := c.Lease(ctx)
		if err != nil {
			return
		}
		switch {
		case n%7 == 0 && d.Attempts < 2:
			c.Nack(d, time.Now().Add(time.Millisecond), "again")
		case n%11 == 0:
			c.Release(d)
		case n%13 == 0:
			c.DeadLetter(d, "enough", nil)
			e.end(&e.dead, d)
		default:
			c.Ack(d)
			e.end(&e.delivered, d)
		}
	}
}

func (e *ends) end(list *[]string, d *queue.Delivery) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*list = append(*list, d.Event.ID)
}

// model is what a queue should hold, of one goroutine's doing.
type model struct {
	*bench
	rng    *rand.Rand
	events int
	// replays counts replays, and events of other queues.
	replays int
	limits  queue.Limits
	tight   bool            // the capacity may be reached
	known   map[string]bool // by id and body
	sinks   map[string]*modelSink
}

// modelSink is a sink of a model.
type modelSink struct {
	listed                                         bool
	waiting                                        map[string]int // attempts, by name
	leased                                         []*queue.Delivery
	letters                                        map[uint64]*queue.Delivery // by sequence
	accepted, delivered, dead, dropped, handedOver int64
}

// nameOf names a delivery. One event may be there several times, by replays.
func nameOf(e *event.Event) string { return e.ID + "/" + e.Replay }

var modelSinks = []string{"red", "green", "blue"}

// checkRandom does things at random and compares with the model after each.
func checkRandom(t *testing.T, b *bench) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &model{bench: b, limits: roomy, rng: rand.New(rand.NewPCG(seed, 1)), known: map[string]bool{}, sinks: map[string]*modelSink{}}
	for _, name := range modelSinks {
		m.sinks[name] = &modelSink{waiting: map[string]int{}, letters: map[uint64]*queue.Delivery{}}
	}
	m.changeSinks()
	for range 600 {
		m.step()
		m.compare()
	}
}

func (m *model) step() {
	m.t.Helper()
	switch p := m.rng.IntN(100); {
	case p < 36:
		m.appendOne()
	case p < 60:
		m.leaseOne()
	case p < 89:
		m.endOne()
	case p < 91:
		m.replayLetters()
	case p < 92:
		m.dropLetters()
	case p < 93:
		m.handOver()
	case p < 95:
		m.receive()
	case p < 97:
		m.restart()
		m.q.SetLimits(m.limits)
		for _, s := range m.sinks {
			for _, d := range s.leased {
				s.waiting[nameOf(d.Event)] = d.Attempts
			}
			s.leased = nil
		}
	case p < 99:
		l := roomy
		if m.tight = m.rng.IntN(2) == 0; m.tight {
			l.Capacity = 32 << 10
		}
		l.Retention = []time.Duration{0, time.Hour}[m.rng.IntN(2)]
		m.limits = l
		m.q.SetLimits(l)
	default:
		m.changeSinks()
	}
}

// changeSinks lists some of the sinks, never none.
func (m *model) changeSinks() {
	mask := 1 + m.rng.IntN(1<<len(modelSinks)-1)
	var names []string
	for i, name := range modelSinks {
		s := m.sinks[name]
		if s.listed = mask>>i&1 == 1; s.listed {
			names = append(names, name)
			continue
		}
		s.dropped += int64(len(s.waiting) + len(s.leased))
		s.waiting, s.leased = map[string]int{}, nil
	}
	m.setSinks(names...)
}

func (m *model) appendOne() {
	m.t.Helper()
	var to []string
	for _, name := range modelSinks {
		if m.sinks[name].listed && m.rng.IntN(3) > 0 {
			to = append(to, name)
		}
	}
	id := fmt.Sprintf("e%05d", m.events)
	if m.events > 0 && m.rng.IntN(5) == 0 {
		id = fmt.Sprintf("e%05d", m.rng.IntN(m.events))
	} else {
		m.events++
	}
	e := sized(id, 100+int(id[len(id)-1])*20)
	want := queue.Stored
	if m.known[id] {
		want = queue.Duplicate
	}
	got, err := m.q.Append(m.t.Context(), e, byID, to)
	if errors.Is(err, queue.ErrFull) && m.tight {
		return
	}
	if err != nil || got != want {
		m.t.Fatalf("Append(%q) = %v, %v; want %v", id, got, err, want)
	}
	m.known[id] = true
	if want == queue.Stored {
		for _, name := range to {
			m.sinks[name].accepted++
			m.sinks[name].waiting[nameOf(e)] = 0
		}
	}
}

// pick returns a listed sink.
func (m *model) pick() (string, *modelSink) {
	for {
		name := modelSinks[m.rng.IntN(len(modelSinks))]
		if s := m.sinks[name]; s.listed {
			return name, s
		}
	}
}

func (m *model) leaseOne() {
	m.t.Helper()
	name, s := m.pick()
	if len(s.waiting) == 0 {
		return
	}
	d := m.lease(name)
	attempts, ok := s.waiting[nameOf(d.Event)]
	if !ok || attempts != d.Attempts {
		m.t.Fatalf("%q leased %q with %d attempts; it waits: %v, with %d", name, d.Event.ID, d.Attempts, ok, attempts)
	}
	delete(s.waiting, nameOf(d.Event))
	s.leased = append(s.leased, d)
}

func (m *model) endOne() {
	m.t.Helper()
	name, s := m.pick()
	if len(s.leased) == 0 {
		return
	}
	i := m.rng.IntN(len(s.leased))
	d := s.leased[i]
	s.leased = slices.Delete(s.leased, i, i+1)
	c := m.consumer(name)
	switch m.rng.IntN(6) {
	case 0:
		c.Nack(d, time.Time{}, "again")
		s.waiting[nameOf(d.Event)] = d.Attempts + 1
	case 1:
		c.Release(d)
		s.waiting[nameOf(d.Event)] = d.Attempts
	case 2:
		c.DeadLetter(d, "enough", []byte("no"))
		s.dead++
		s.letters[d.Sequence] = d
	default:
		c.Ack(d)
		s.delivered++
	}
}

func (m *model) compare() {
	m.t.Helper()
	got, want := map[string]ledger{}, map[string]ledger{}
	st := m.q.Stats()
	for name, s := range m.sinks {
		want[name] = ledger{s.accepted, s.delivered, s.dead, s.dropped, int64(len(s.waiting) + len(s.leased)), s.handedOver}
		g := st.Sinks[name]
		got[name] = ledger{g.Accepted, g.Delivered, g.Dead, g.Dropped, g.Queued, g.HandedOver}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ledger{})); diff != "" {
		m.t.Fatalf("ledgers (-want +got):\n%s", diff)
	}
}
