package server

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/listen"
)

// openTLS takes the certificate that is there, and follows its changes until
// closeTLS. An error leaves the listener with TLS but without its metrics.
func (s *process) openTLS() error {
	s.stopTLS = func() {}
	if s.o.TLSDir == "" {
		return nil
	}
	m := newTLSMetrics()
	s.certificate = listen.NewCertificate(listen.CertificateOptions{Dir: s.o.TLSDir, Logger: s.o.Logger, Now: s.o.Now, Loaded: m.loaded})
	m.certificate = s.certificate
	var ctx context.Context
	ctx, s.stopTLS = context.WithCancel(context.Background())
	s.watching.Go(func() {
		if err := s.certificate.Watch(ctx); err != nil {
			s.o.Logger.Error("Changes of the certificate are not noticed any more; restart the receiver to apply them", "err", err)
		}
	})
	if s.o.Registerer == nil {
		return nil
	}
	if err := s.o.Registerer.Register(m); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}

func (s *process) closeTLS() {
	s.stopTLS()
	s.watching.Wait()
}

// status returns the status page.
func (s *process) status() statusz.Page {
	page := ProcessStatus(s.o.Version, s.started, s.draining.Load(), s.o.Receivers)
	if s.certificate == nil {
		return page
	}
	page.TLS = tlsStatus(s.certificate.State())
	if err := s.certificate.Ready(); err != nil {
		for i := range page.Endpoints {
			if e := &page.Endpoints[i]; e.Ready {
				e.Ready, e.NotReady = false, err.Error()
			}
		}
	}
	return page
}

func tlsStatus(c listen.State) *statusz.TLS {
	t := &statusz.TLS{NotBefore: statusz.When(c.NotBefore), NotAfter: statusz.When(c.NotAfter), Names: c.Names}
	if c.Err != nil {
		t.Error = c.Err.Error()
	}
	return t
}

// tlsMetrics show what holds for the certificate. It implements prometheus.Collector.
type tlsMetrics struct {
	certificate *listen.Certificate
	notAfter    *prometheus.Desc
	loads       *prometheus.CounterVec
}

func newTLSMetrics() *tlsMetrics {
	m := &tlsMetrics{
		notAfter: prometheus.NewDesc("fairlead_receiver_tls_certificate_not_after_seconds",
			"When the certificate in use ends, in seconds since 1970. There is no such series while there is no certificate.", nil, nil),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fairlead_receiver", Name: "tls_certificate_loads_total",
			Help: "Certificates that were found new or changed, by result: ok, or error if the last good one goes on."}, []string{"result"}),
	}
	m.loads.WithLabelValues("ok")
	m.loads.WithLabelValues("error")
	return m
}

func (m *tlsMetrics) loaded(err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.loads.WithLabelValues(result).Inc()
}

// Describe implements prometheus.Collector.
func (m *tlsMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.notAfter
	m.loads.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *tlsMetrics) Collect(ch chan<- prometheus.Metric) {
	m.loads.Collect(ch)
	if t := m.certificate.State().NotAfter; !t.IsZero() {
		ch <- prometheus.MustNewConstMetric(m.notAfter, prometheus.GaugeValue, float64(t.Unix()))
	}
}
