package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/receiver/intake"
)

// floods counts what strangers may bring about at will.
type floods struct {
	challenges *prometheus.CounterVec
	shed       *prometheus.CounterVec
}

func newFloods() *floods {
	f := &floods{
		challenges: counter("challenges_total", "Challenges of the provider that were answered, by the profile's name of them.", "challenge"),
		shed:       counter("requests_shed_total", "Requests answered as overloaded because too many were in flight, by reason: full, unproven, source or slow.", "reason"),
	}
	for _, s := range intake.Sheds() { // an alert on an increase needs a first value
		f.shed.WithLabelValues(string(s))
	}
	return f
}

func (f *floods) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{f.challenges, f.shed} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Challenged implements intake.Observer.
func (f *floods) Challenged(challenge string) { f.challenges.WithLabelValues(challenge).Inc() }

// Shed implements intake.Observer.
func (f *floods) Shed(reason intake.Shed) { f.shed.WithLabelValues(string(reason)).Inc() }
