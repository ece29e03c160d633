package server

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/receiver/handoff"
)

// sisterMetrics count what happens between sisters. It implements both observers
// of package handoff.
type sisterMetrics struct {
	asked, sent *prometheus.CounterVec
	received    *prometheus.CounterVec
}

// granted is the outcome of what was not refused.
const granted = "granted"

func newSisterMetrics() *sisterMetrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fairlead_receiver", Name: name, Help: help}, []string{label})
	}
	m := &sisterMetrics{
		asked:    counter("handoff_requests_total", "Requests of sisters, or of somebody who pretends to be one, to hand over, by outcome.", "outcome"),
		sent:     counter("handoff_sent_total", "Requests to sisters to take what is left, by outcome.", "outcome"),
		received: counter("handoff_transfers_received_total", "Events with deliveries, and dead letters, that sisters handed over: new, or known from before.", "kind"),
	}
	// All are shown from the start: an alert on an increase needs a first value.
	m.asked.WithLabelValues(granted)
	for _, r := range handoff.Reasons() {
		m.asked.WithLabelValues(string(r))
	}
	for _, o := range handoff.SentOutcomes() {
		m.sent.WithLabelValues(string(o))
	}
	m.count(0, 0)
	return m
}

func (m *sisterMetrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.asked, m.sent, m.received} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// Asked implements handoff.ReceiverObserver.
func (m *sisterMetrics) Asked(reason handoff.Reason) {
	if reason == "" {
		reason = granted
	}
	m.asked.WithLabelValues(string(reason)).Inc()
}

// Received implements handoff.ReceiverObserver.
func (m *sisterMetrics) Received(transfers, stored int) { m.count(stored, transfers-stored) }

func (m *sisterMetrics) count(fresh, known int) {
	m.received.WithLabelValues("new").Add(float64(fresh))
	m.received.WithLabelValues("known").Add(float64(max(0, known)))
}

// Sent implements handoff.SenderObserver.
func (m *sisterMetrics) Sent(o handoff.SentOutcome) { m.sent.WithLabelValues(string(o)).Inc() }
