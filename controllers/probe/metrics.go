package probe

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// result is what became of a read, as a label.
type result string

const (
	resultOK          result = "ok"
	resultUnreachable result = "unreachable"
	resultInvalid     result = "invalid"
)

type metrics struct {
	reads   *prometheus.CounterVec
	seconds prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	m := &metrics{
		reads: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_operator_status_reads_total",
			Help: "Reads of receivers' status pages by what became of them: ok, unreachable (no answer) or invalid (an answer that is no page of the endpoint).",
		}, []string{"result"}),
		seconds: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "fairlead_operator_status_read_duration_seconds",
			Help:    "Time that a read of a receiver's status page took, in vain or not.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
		}),
	}
	for _, r := range []result{resultOK, resultUnreachable, resultInvalid} {
		m.reads.WithLabelValues(string(r))
	}
	return m
}

// count counts a read that ended with err, which is nil or a failure.
func (m *metrics) count(err error, took time.Duration) {
	label := resultOK
	var f *failure
	if errors.As(err, &f) {
		label = f.result
	}
	m.reads.WithLabelValues(string(label)).Inc()
	m.seconds.Observe(took.Seconds())
}
