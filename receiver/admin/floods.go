package admin

import "github.com/prometheus/client_golang/prometheus"

// floods counts what strangers may do at their will: to ask for an answer to a
// challenge.
type floods struct {
	challenges *prometheus.CounterVec
}

func newFloods() *floods {
	return &floods{
		challenges: counter("challenges_total", "Challenges of the provider that were answered, by the profile's name of them.", "challenge"),
	}
}

func (f *floods) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{f.challenges} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Challenged implements intake.Observer.
func (f *floods) Challenged(challenge string) { f.challenges.WithLabelValues(challenge).Inc() }
