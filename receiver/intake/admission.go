package intake

import (
	"container/list"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Shed says why a request was not read.
type Shed string

// The reasons. Each is answered as overloaded.
const (
	// ShedFull means that as many requests are in flight as there may be.
	ShedFull Shed = "full"
	// ShedUnproven means that sources without a valid signature of late have all of
	// their part.
	ShedUnproven Shed = "unproven"
	// ShedSource means that its source has more than its fair share of that part.
	ShedSource Shed = "source"
	// ShedSlow means that its body was waited for long enough, and others wait for its
	// place.
	ShedSlow Shed = "slow"
)

// Sheds lists all reasons.
func Sheds() []Shed { return []Shed{ShedFull, ShedUnproven, ShedSource, ShedSlow} }

const (
	// defaultInFlight bounds the requests in flight where the configuration does not.
	defaultInFlight = 1024
	// unprovenPart is the part of all requests in flight that sources may have
	// together that have shown no valid signature lately: a half of them.
	unprovenPart = 2
	// slowAfter is how long a body of theirs is waited for when others wait for its
	// place.
	slowAfter = time.Second
	// sourceCounters count the requests of unproven sources. Sources that share one
	// are taken for one; who does is not to be foreseen.
	sourceCounters = 4096
)

// admission bounds the requests that are read, verified and stored at once. Sources
// that have shown a valid signature lately (see proven) may have all of it, the
// others a part; each of these no more than its fair share when that part becomes
// scarce. A request whose body does not arrive gives its place up to one that comes
// later.
type admission struct {
	proven   *proven
	hasher   hasher
	total    atomic.Int64
	unproven atomic.Int64
	active   atomic.Int64 // counters above 0
	counters [sourceCounters]atomic.Int64

	mu sync.Mutex
	// readers are the unproven requests whose body is being read, oldest first.
	readers list.List
}

func newAdmission() *admission { return &admission{proven: newProven(), hasher: newHasher()} }

// reader is an unproven request whose body is being read.
type reader struct {
	w         http.ResponseWriter
	since     time.Time
	displaced bool
	place     *list.Element // nil: no longer among the readers
}

// slot is the place of one request.
type slot struct {
	counter *atomic.Int64 // nil: of a proven source
	reader  *reader
}

// enter takes a place for a request of client, or says why there is none. most is
// how many there are.
func (a *admission) enter(s *slot, client netip.Addr, most int64, now time.Time, w http.ResponseWriter) Shed {
	if a.total.Add(1) > most {
		a.total.Add(-1)
		return ShedFull
	}
	if a.proven.holds(client, now) {
		return ""
	}
	s.counter = &a.counters[a.hasher.hash(client)%sourceCounters]
	mine := s.counter.Add(1)
	if mine == 1 {
		a.active.Add(1)
	}
	part := max(1, most/unprovenPart)
	n := a.unproven.Add(1)
	switch {
	case n > part-part/4 && mine > max(1, part/max(1, a.active.Load())):
		a.leave(s)
		return ShedSource
	case n > part && !a.displace(now):
		a.leave(s)
		return ShedUnproven
	}
	s.reader = &reader{w: w, since: now}
	a.list(s.reader)
	return ""
}

// read is told that a request's body is there. It reports false if its place was
// given to another meanwhile.
func (a *admission) read(s *slot) bool {
	if s.reader == nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unlist(s.reader)
	return !s.reader.displaced
}

// leave gives the place back.
func (a *admission) leave(s *slot) {
	a.total.Add(-1)
	if s.counter == nil {
		return
	}
	if s.counter.Add(-1) == 0 {
		a.active.Add(-1)
	}
	if s.reader == nil || a.read(s) { // else it was given back when it was displaced
		a.unproven.Add(-1)
	}
	*s = slot{}
}

// displace ends the reading that has lasted longest, if it has lasted long. The
// deadline that it sets is of the connection that the body comes by; under the lock
// it is sure that the request still reads.
func (a *admission) displace(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.readers.Front()
	if first == nil {
		return false
	}
	r := first.Value.(*reader)
	if now.Sub(r.since) < slowAfter {
		return false
	}
	a.unlist(r)
	r.displaced = true
	a.unproven.Add(-1)
	// A connection that takes no deadline has its own, by which it ends.
	_ = http.NewResponseController(r.w).SetReadDeadline(time.Unix(1, 0))
	return true
}

func (a *admission) list(r *reader) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.place = a.readers.PushBack(r)
}

func (a *admission) unlist(r *reader) {
	if r.place != nil {
		a.readers.Remove(r.place)
		r.place = nil
	}
}

// enter takes a place among the requests in flight; leave gives it back in any case.
func (q *request) enter() error {
	if shed := q.h.admission.enter(&q.slot, q.client, q.ep.maxInFlight, q.start, q.w); shed != "" {
		q.h.o.Observer.Shed(shed)
		return errOverloaded
	}
	q.admitted = true
	return nil
}

func (q *request) leave() {
	if q.admitted {
		q.h.admission.leave(&q.slot)
	}
}

// arrived is told how reading the body ended, and returns what that means.
func (q *request) arrived(err error) error {
	if !q.h.admission.read(&q.slot) {
		q.h.o.Observer.Shed(ShedSlow)
		return errOverloaded
	}
	return err
}

// prove remembers the source of a request that was verified.
func (q *request) prove() {
	if q.client.IsValid() {
		q.h.admission.proven.add(q.client, q.start)
	}
}

// Proven reports whether a client address has shown a valid signature lately.
func (h *Handler) Proven(client netip.Addr) bool { return h.admission.proven.holds(client, h.o.Now()) }
