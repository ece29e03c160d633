package server

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/receiver/listen"
)

// mostConnections bounds the connections of the webhook listener where no
// configuration does.
const mostConnections = 4096

// limitConnections puts a bound on the connections of the webhook listener.
func (s *process) limitConnections() error {
	m := newConnectionMetrics()
	s.limit = listen.NewLimit(s.o.Webhooks, listen.LimitOptions{
		Most: s.mostConnections, Proven: s.proven, Trusted: s.trusted, Refused: m.refused,
	})
	m.open = s.limit.Open
	if s.o.Registerer == nil {
		return nil
	}
	if err := s.o.Registerer.Register(m); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}

// mostConnections is the largest bound of any endpoint: they share the listener.
func (s *process) mostConnections() int {
	most := 0
	for _, r := range s.o.Receivers {
		most = max(most, cmp.Or(r.Config().Limits.MaxConnections, mostConnections))
	}
	return most
}

func (s *process) proven(client netip.Addr) bool {
	for _, r := range s.o.Receivers {
		if r.intake.Proven(client) {
			return true
		}
	}
	return false
}

func (s *process) trusted(peer netip.Addr) bool {
	for _, r := range s.o.Receivers {
		if r.trusts(peer) {
			return true
		}
	}
	return false
}

// connContext is for the webhook server: what is known of a request's connection.
func (s *process) connContext(ctx context.Context, c net.Conn) context.Context {
	return s.limit.Context(listen.Context(ctx, c), c)
}

// limited keeps connections open whose requests are being handled.
func (s *process) limited(next http.Handler) http.Handler { return s.limit.Handler(next) }

// connectionMetrics show what holds for connections. It implements
// prometheus.Collector.
type connectionMetrics struct {
	open        func() (all, unproven int)
	connections *prometheus.Desc
	refusals    *prometheus.CounterVec
}

func newConnectionMetrics() *connectionMetrics {
	m := &connectionMetrics{
		connections: prometheus.NewDesc("fairlead_receiver_connections",
			"Connections of the webhook listener: open, and of these unproven, whose source has shown no valid signature lately.", []string{"state"}, nil),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fairlead_receiver", Name: "connections_refused_total",
			Help: "Connections closed because there were too many, by reason: full, source, or idle if it went for another."}, []string{"reason"}),
	}
	for _, r := range listen.Refusals() {
		m.refusals.WithLabelValues(string(r))
	}
	return m
}

func (m *connectionMetrics) refused(r listen.Refusal) { m.refusals.WithLabelValues(string(r)).Inc() }

// Describe implements prometheus.Collector.
func (m *connectionMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.connections
	m.refusals.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *connectionMetrics) Collect(ch chan<- prometheus.Metric) {
	all, unproven := m.open()
	ch <- prometheus.MustNewConstMetric(m.connections, prometheus.GaugeValue, float64(all), "open")
	ch <- prometheus.MustNewConstMetric(m.connections, prometheus.GaugeValue, float64(unproven), "unproven")
	m.refusals.Collect(ch)
}
