package admin

import (
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/source"
)

const namespace = "fairlead_receiver"

// noHook is the hook label of requests at a path that serves none.
const noHook = "none"

// Buckets of the histograms, in seconds. Requests and appends are bounded by
// providers' deadlines (1 to 15 s); deliveries may take days.
var (
	requestBuckets  = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15}
	deliveryBuckets = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600, 72 * 3600}
)

// Metrics counts what happens at one endpoint. It is told by intake and
// dispatch while they work, so its methods are quick and take no lock that is
// held for long.
type Metrics struct {
	responderMetrics

	*floods
	requests        *prometheus.CounterVec
	requestSeconds  *prometheus.HistogramVec
	appendSeconds   prometheus.Histogram
	entries         *prometheus.CounterVec
	ignored         *prometheus.CounterVec
	unlisted        *prometheus.CounterVec
	misrouted       *prometheus.CounterVec
	conflicts       prometheus.Counter
	attempts        *prometheus.CounterVec
	attemptSeconds  *prometheus.HistogramVec
	deliverySeconds *prometheus.HistogramVec
	deadLetters     *prometheus.CounterVec
	breakers        *prometheus.GaugeVec
	breakersOpened  *prometheus.CounterVec
	sinkFilters     *prometheus.CounterVec
	configLoads     *prometheus.CounterVec
	generation      prometheus.Gauge
	unknown         *prometheus.CounterVec

	hooks    hookCache
	seen     seen
	findings *source.Findings
}

// NewMetrics makes the metrics of one endpoint. findings are told of addresses. Each
// vector starts empty: a series appears with its first event.
func NewMetrics(findings *source.Findings) *Metrics {
	return &Metrics{
		responderMetrics: newResponderMetrics(),

		findings: findings,
		floods:   newFloods(),
		requests: counter("requests_total", "Requests by hook and by what became of them.", "hook", "outcome"),
		requestSeconds: histogram("request_duration_seconds", "Time from the end of a request's headers to the end of handling it.",
			requestBuckets, "hook"),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "append_duration_seconds",
			Help: "Time that an event took to be stored and synced.", Buckets: requestBuckets}),
		entries:   counter("secret_entry_used_total", "Requests verified, by the Secret's entry that did it.", "entry"),
		ignored:   counter("ignored_requests_total", "Requests answered with success and dropped, by the profile's rule.", "rule"),
		unlisted:  counter("unlisted_requests_verified_total", "Requests from unlisted addresses whose signature was checked (all in Observe, a sample in Enforce): valid or invalid.", "signature"),
		misrouted: counter("misrouted_requests_total", "Verified requests of one hook (shape) that were sent to another's path (hook).", "hook", "shape"),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "id_conflicts_total",
			Help: "Events whose id was in use by an event with another body."}),
		attempts: counter("attempts_total", "Attempts at delivering, by sink and by what became of them.", "sink", "outcome"),
		attemptSeconds: histogram("attempt_duration_seconds", "Time that one attempt took.",
			requestBuckets, "sink"),
		deliverySeconds: histogram("delivery_duration_seconds", "Time from an event's receipt to its delivery.",
			deliveryBuckets, "sink"),
		deadLetters: counter("dead_letters_total", "Deliveries that became dead letters, by sink and reason.", "sink", "reason"),
		breakers: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "sink_breaker",
			Help: "State of a sink's circuit breaker: 1 for the one that it is in of closed, open and half-open."}, []string{"sink", "state"}),
		breakersOpened: counter("sink_breaker_opened_total", "How often a sink's circuit breaker opened, after a failed probe included.", "sink"),
		sinkFilters:    counter("sink_filter_errors_total", "Events for which a sink's filter had no value, so that the sink did not get them.", "sink"),
		configLoads:    counter("config_loads_total", "Loads of configuration and secrets that changed something, by result.", "result"),
		generation: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "config_generation",
			Help: "Generation of the endpoint whose configuration is in use."}),
		unknown: counter("source_addresses_unknown_total", "Requests, and connections with a PROXY protocol header that cannot be read, whose client address could not be known, by reason.", "reason"),
	}
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// Register adds the metrics to a registry.
func (m *Metrics) Register(r prometheus.Registerer) error {
	// All are shown from the start: an alert on an increase needs a first value.
	for _, reason := range source.Reasons() {
		m.unknown.WithLabelValues(string(reason))
	}
	if err := m.floods.register(r); err != nil {
		return err
	}
	for _, c := range append(m.responderMetrics.collectors(), m.requests, m.requestSeconds, m.appendSeconds, m.entries, m.ignored, m.unlisted,
		m.misrouted, m.conflicts, m.attempts, m.attemptSeconds, m.deliverySeconds, m.deadLetters, m.breakers, m.breakersOpened, m.sinkFilters, m.configLoads, m.generation, m.unknown) {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Request implements intake.Observer.
func (m *Metrics) Request(hook string, o intake.Outcome, took time.Duration) {
	if hook == "" {
		hook = noHook
	}
	h := m.hooks.get(hook, m)
	h.outcome(o, m).Inc()
	h.seconds.Observe(took.Seconds())
}

// Appended implements intake.Observer.
func (m *Metrics) Appended(took time.Duration) { m.appendSeconds.Observe(took.Seconds()) }

// Entry implements intake.Observer.
func (m *Metrics) Entry(name string, at time.Time) { m.seen.entry(name, at, m.entries) }

// Ignored implements intake.Observer.
func (m *Metrics) Ignored(rule string) { m.ignored.WithLabelValues(rule).Inc() }

// Unlisted implements intake.Observer.
func (m *Metrics) Unlisted(refused netip.Addr, valid bool, at time.Time) {
	m.findings.Unlisted(refused, at)
	if !valid {
		m.unlisted.WithLabelValues("invalid").Inc()
		return
	}
	m.unlisted.WithLabelValues("valid").Inc()
	m.seen.unlisted(at)
}

// Unverified implements intake.Observer.
func (m *Metrics) Unverified(why intake.Unverified) { m.seen.unverified(why) }

// AddressUnknown implements intake.Observer.
func (m *Metrics) AddressUnknown(reason source.Reason, at time.Time) {
	m.unknown.WithLabelValues(string(reason)).Inc()
	m.findings.Unknown(at)
}

// Verified implements intake.Observer.
func (m *Metrics) Verified(client netip.Addr, listed bool, at time.Time) {
	m.findings.Verified(client, listed, at)
}

// Findings are what the addresses of those that send were.
func (m *Metrics) Findings() *source.Findings { return m.findings }

// Misrouted implements intake.Observer.
func (m *Metrics) Misrouted(hook, other string, at time.Time) {
	m.misrouted.WithLabelValues(hook, other).Inc()
	m.seen.misrouted(hook, other, at)
}

// Conflict implements intake.Observer.
func (m *Metrics) Conflict() { m.conflicts.Inc() }

// Attempt implements dispatch.Observer.
func (m *Metrics) Attempt(sink, outcome string, took time.Duration) {
	m.attempts.WithLabelValues(sink, outcome).Inc()
	m.attemptSeconds.WithLabelValues(sink).Observe(took.Seconds())
}

// Delivered implements dispatch.Observer.
func (m *Metrics) Delivered(sink string, sinceReceived time.Duration) {
	m.deliverySeconds.WithLabelValues(sink).Observe(sinceReceived.Seconds())
}

// Dead implements dispatch.Observer.
func (m *Metrics) Dead(sink, reason string) { m.deadLetters.WithLabelValues(sink, reason).Inc() }

// Breaker implements dispatch.Observer.
func (m *Metrics) Breaker(sink string, state dispatch.Breaker) {
	if state == dispatch.Open {
		m.breakersOpened.WithLabelValues(sink).Inc()
	}
	for _, s := range []dispatch.Breaker{dispatch.Closed, dispatch.Open, dispatch.HalfOpen} {
		if state == "" {
			m.breakers.DeleteLabelValues(sink, string(s))
			continue
		}
		m.breakers.WithLabelValues(sink, string(s)).Set(float64(one(s == state)))
	}
}

// SinkFilterFailed counts an event for which a sink's filter had no value.
func (m *Metrics) SinkFilterFailed(sink string) { m.sinkFilters.WithLabelValues(sink).Inc() }

// ConfigLoaded counts a change of configuration or secrets.
func (m *Metrics) ConfigLoaded(generation int64) {
	m.configLoads.WithLabelValues("ok").Inc()
	m.generation.Set(float64(generation))
}

// ConfigRefused counts a configuration that did not load.
func (m *Metrics) ConfigRefused() { m.configLoads.WithLabelValues("error").Inc() }
