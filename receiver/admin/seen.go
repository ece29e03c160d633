package admin

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/intake"
)

// hookCache keeps the series of each hook at hand: looking labels up for each
// request costs more than counting it.
type hookCache struct{ m sync.Map } // hook -> *hookSeries

type hookSeries struct {
	hook     string
	outcomes [intake.Outcomes]atomic.Pointer[prometheus.Counter]
	seconds  prometheus.Observer
}

func (c *hookCache) get(hook string, m *Metrics) *hookSeries {
	if h, ok := c.m.Load(hook); ok {
		return h.(*hookSeries)
	}
	h, _ := c.m.LoadOrStore(hook, &hookSeries{hook: hook, seconds: m.requestSeconds.WithLabelValues(hook)})
	return h.(*hookSeries)
}

func (h *hookSeries) outcome(o intake.Outcome, m *Metrics) prometheus.Counter {
	if c := h.outcomes[o].Load(); c != nil {
		return *c
	}
	c := m.requests.WithLabelValues(h.hook, o.String())
	h.outcomes[o].Store(&c)
	return c
}

// seen remembers what the status page tells of requests.
type seen struct {
	entries       sync.Map // name -> *entryUse
	unlistedValid atomic.Int64
	// unsigned, wrongly and late count requests that were not verified.
	unsigned, wrongly, late atomic.Int64
	mu                      sync.Mutex
	wrong                   map[[2]string]statusz.Misrouted
}

type entryUse struct {
	count prometheus.Counter
	last  atomic.Int64
}

func (s *seen) entry(name string, at time.Time, v *prometheus.CounterVec) {
	u, ok := s.entries.Load(name)
	if !ok {
		u, _ = s.entries.LoadOrStore(name, &entryUse{count: v.WithLabelValues(name)})
	}
	use := u.(*entryUse)
	use.count.Inc()
	use.last.Store(at.UnixNano())
}

func (s *seen) unverified(why intake.Unverified) {
	switch why {
	case intake.Unsigned:
		s.unsigned.Add(1)
	case intake.Late:
		s.late.Add(1)
	case intake.Wrong:
		s.wrongly.Add(1)
	}
}

func (s *seen) unlisted(at time.Time) { s.unlistedValid.Store(at.UnixNano()) }

func (s *seen) misrouted(hook, other string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == nil {
		s.wrong = map[[2]string]statusz.Misrouted{}
	}
	k := [2]string{hook, other}
	s.wrong[k] = statusz.Misrouted{Hook: hook, Shape: other, Count: s.wrong[k].Count + 1, Last: at.UTC()}
}

// LastUsed is when a Secret entry last verified a request; zero if it never
// did.
func (m *Metrics) LastUsed(entry string) time.Time {
	if u, ok := m.seen.entries.Load(entry); ok {
		return time.Unix(0, u.(*entryUse).last.Load()).UTC()
	}
	return time.Time{}
}

// LastUnlistedValid is when a request from an unlisted address last had a valid
// signature; zero if none had.
func (m *Metrics) LastUnlistedValid() time.Time {
	if n := m.seen.unlistedValid.Load(); n != 0 {
		return time.Unix(0, n).UTC()
	}
	return time.Time{}
}

// UnverifiedSeen counts the requests that were refused for their signature; nil if
// there was none.
func (m *Metrics) UnverifiedSeen() *statusz.Refused {
	r := statusz.Refused{Unsigned: m.seen.unsigned.Load(), Wrong: m.seen.wrongly.Load(), Late: m.seen.late.Load()}
	if r == (statusz.Refused{}) {
		return nil
	}
	return &r
}

// MisroutedSeen lists the pairs of hooks that were mixed up.
func (m *Metrics) MisroutedSeen() []statusz.Misrouted {
	m.seen.mu.Lock()
	defer m.seen.mu.Unlock()
	var out []statusz.Misrouted
	for _, w := range m.seen.wrong {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b statusz.Misrouted) int { return strings.Compare(a.Hook+" "+a.Shape, b.Hook+" "+b.Shape) })
	return out
}
