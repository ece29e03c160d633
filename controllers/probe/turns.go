package probe

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// variation is the part of an interval by which it is made longer or shorter at
// random, so that pods that were found together are not asked together for ever.
const variation = 0.2

// endpoint is an endpoint that is watched.
type endpoint struct {
	key  types.NamespacedName
	fast bool
	// targets are those wanted, and those no longer wanted that are being asked: so
	// a target that comes back is not asked twice at once.
	targets map[identity]*target
}

// identity tells targets of an endpoint apart. A pod that got another address is
// another target.
type identity struct {
	uid types.UID
	ip  string
}

// target is a pod that is asked again and again. It is either in the Poller's
// turns or being asked.
type target struct {
	Target
	endpoint *endpoint
	id       identity
	wanted   bool
	asking   bool
	due      time.Time // zero if never asked: those go first
	place    int       // in turns
	failures int       // reads without a page since the last one with a page
	report   *Report   // nil until asked
	digest   digest    // of report
}

// add makes sure that a target is asked.
func (p *Poller) add(e *endpoint, id identity, wanted Target) {
	if t := e.targets[id]; t != nil {
		t.wanted = true
		return
	}
	t := &target{Target: wanted, endpoint: e, id: id, wanted: true}
	e.targets[id] = t
	heap.Push(&p.turns, t)
}

// drop makes sure that a target is not asked any more.
func (p *Poller) drop(t *target) {
	t.wanted, t.report, t.failures = false, nil, 0
	if !t.asking {
		heap.Remove(&p.turns, t.place)
		delete(t.endpoint.targets, t.id)
	}
}

// release lets go of an endpoint that has no target.
func (p *Poller) release(e *endpoint) {
	if len(e.targets) == 0 {
		delete(p.endpoints, e.key)
	}
}

// setPace brings turns forward if the endpoint is to be asked faster from now on.
func (p *Poller) setPace(e *endpoint, fast bool) {
	hurry := fast && !e.fast
	e.fast = fast
	if !hurry {
		return
	}
	now := p.o.Clock.Now()
	for _, t := range e.targets {
		if due := now.Add(p.pause(t)); !t.asking && due.Before(t.due) {
			t.due = due
			heap.Fix(&p.turns, t.place)
		}
	}
}

// finish keeps what a target said, and gives it another turn. It reports whether
// that differs from before in a way that matters.
func (p *Poller) finish(t *target, r Report) bool {
	d := digestOf(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	t.asking = false
	if !t.wanted {
		delete(t.endpoint.targets, t.id)
		p.release(t.endpoint)
		return false
	}
	t.failures++
	if r.Page != nil {
		t.failures = 0
	}
	changed := t.report == nil || t.digest != d
	t.report, t.digest = &r, d
	t.due = r.At.Add(p.pause(t))
	heap.Push(&p.turns, t)
	p.signal()
	return changed
}

// pause is how long to wait before a target is asked again. While its pod does not
// answer, fast becomes slow by and by: a time-out keeps a worker from others.
func (p *Poller) pause(t *target) time.Duration {
	pause := p.o.Interval
	if t.endpoint.fast {
		pause = min(pause, p.o.FastInterval<<min(t.failures, 8))
	}
	vary := 1 - variation + 2*variation*rand.Float64() //nolint:gosec // nobody gains by guessing it
	return time.Duration(float64(pause) * vary)
}

// deal hands targets to workers as their turns come, until ctx ends.
func (p *Poller) deal(ctx context.Context, next chan<- *target) {
	for {
		if t, wait := p.take(); t == nil {
			p.rest(ctx, wait)
		} else {
			select {
			case next <- t:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// take takes the target whose turn has come, or says how long that may last.
func (p *Poller) take() (*target, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.turns) == 0 {
		return nil, p.o.Interval
	}
	if wait := p.turns[0].due.Sub(p.o.Clock.Now()); wait > 0 {
		return nil, wait
	}
	t := heap.Pop(&p.turns).(*target)
	t.asking = true
	return t, 0
}

// rest waits that long, or until the first turn may have moved.
func (p *Poller) rest(ctx context.Context, wait time.Duration) {
	timer := p.o.Clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-p.wake:
	case <-ctx.Done():
	}
}

func (p *Poller) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// turns is a heap of targets; the first is due first.
type turns []*target

func (s turns) Len() int           { return len(s) }
func (s turns) Less(i, j int) bool { return s[i].due.Before(s[j].due) }

func (s turns) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}

// Push and Pop are for package heap.
func (s *turns) Push(x any) {
	t := x.(*target)
	t.place = len(*s)
	*s = append(*s, t)
}

func (s *turns) Pop() any {
	last := len(*s) - 1
	t := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return t
}
