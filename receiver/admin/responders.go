package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/respond"
)

// responderMetrics counts what happens to requests of synchronous hooks.
type responderMetrics struct {
	responses       *prometheus.CounterVec
	responseSeconds *prometheus.HistogramVec
	filters         *prometheus.CounterVec
	copies          *prometheus.CounterVec
}

func newResponderMetrics() responderMetrics {
	return responderMetrics{
		responses: counter("responses_total", "Requests of synchronous hooks that a responder was to answer, by what became of that.",
			"hook", "responder", "outcome"),
		responseSeconds: histogram("response_duration_seconds", "Time from asking a responder to its answer, or to giving up on it. Where it was not asked (saturated, breaker_open, pending) there is none.",
			requestBuckets, "hook", "responder"),
		filters: counter("responder_filter_errors_total", "Events for which a responder's filter had no value, so that it was not asked.", "hook", "responder"),
		copies:  counter("copies_total", "Copies of synchronous hooks' events for sinks: stored or failed.", "hook", "outcome"),
	}
}

func (m *responderMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.responses, m.responseSeconds, m.filters, m.copies}
}

// Answers makes the series of a responder, so that the first of what they count is
// seen as a change.
func (m *responderMetrics) Answers(hook, responder string) {
	for _, o := range respond.Outcomes() {
		m.responses.WithLabelValues(hook, responder, string(o))
	}
	m.filters.WithLabelValues(hook, responder)
	for _, outcome := range []string{copyStored, copyFailed} {
		m.copies.WithLabelValues(hook, outcome)
	}
}

// The outcomes of copies.
const (
	copyStored = "stored"
	copyFailed = "failed"
)

// Responded implements respond.Observer.
func (m *responderMetrics) Responded(hook, responder string, o respond.Outcome, took time.Duration) {
	m.responses.WithLabelValues(hook, responder, string(o)).Inc()
	switch o {
	case respond.Saturated, respond.BreakerOpen, respond.Pending:
		return // nobody was asked; that it took no time says nothing
	}
	m.responseSeconds.WithLabelValues(hook, responder).Observe(took.Seconds())
}

// ResponderFilterFailed implements respond.Observer.
func (m *responderMetrics) ResponderFilterFailed(hook, responder string) {
	m.filters.WithLabelValues(hook, responder).Inc()
}

// Copied implements intake.Observer.
func (m *responderMetrics) Copied(hook string, stored bool) {
	outcome := copyFailed
	if stored {
		outcome = copyStored
	}
	m.copies.WithLabelValues(hook, outcome).Inc()
}

// ResponderCollector shows the responders' circuit breakers, asked anew at each
// scrape.
type ResponderCollector struct{ status func() []statusz.Responder }

// NewResponderCollector returns a collector of what holds for responders.
func NewResponderCollector(status func() []statusz.Responder) *ResponderCollector {
	return &ResponderCollector{status}
}

var descResponderBreaker = desc("responder_breaker",
	"State of a responder's circuit breaker: 1 for the one that it is in of closed, open and half-open.", "hook", "responder", "state")

// Describe implements prometheus.Collector.
func (c *ResponderCollector) Describe(ch chan<- *prometheus.Desc) { ch <- descResponderBreaker }

// Collect implements prometheus.Collector.
func (c *ResponderCollector) Collect(ch chan<- prometheus.Metric) {
	for _, r := range c.status() {
		for _, state := range []string{statusz.BreakerClosed, statusz.BreakerOpen, statusz.BreakerHalfOpen} {
			scrape(ch).gauge(descResponderBreaker, one(r.Breaker == state), r.Hook, r.Name, state)
		}
	}
}
