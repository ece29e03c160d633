package admin_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/receiver/admin"
	"github.com/fairlead-dev/fairlead/receiver/respond"
	"github.com/fairlead-dev/fairlead/receiver/source"
)

// How long a responder takes is not told by requests with which it was not asked.
func TestResponseDuration(t *testing.T) {
	m := admin.NewMetrics(source.NewFindings(nil, nil))
	reg := prometheus.NewRegistry()
	if err := m.Register(reg); err != nil {
		t.Fatal(err)
	}
	for _, o := range []respond.Outcome{respond.Saturated, respond.BreakerOpen, respond.Pending, respond.Answered, respond.Timeout} {
		m.Responded("h", "r", o, time.Second)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			got[f.GetName()] += s.GetCounter().GetValue() + float64(s.GetHistogram().GetSampleCount())
		}
	}
	if n := got["fairlead_receiver_responses_total"]; n != 5 {
		t.Errorf("%v responses, want 5", n)
	}
	if n := got["fairlead_receiver_response_duration_seconds"]; n != 2 {
		t.Errorf("%v durations, want 2", n)
	}
}
