package endpoint

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// metrics is what the operator counts. Labels are kinds of ours and conditions:
// their values are few and fixed.
type metrics struct {
	applies      *prometheus.CounterVec
	deletes      *prometheus.CounterVec
	statusWrites prometheus.Counter
	leftBehind   *prometheus.CounterVec
}

// The states of deliveries that are left behind.
const (
	stateQueued = "queued"
	stateDead   = "dead"
)

func newMetrics(reg prometheus.Registerer, reader client.Reader) (*metrics, error) {
	m := &metrics{
		applies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_operator_applies_total", Help: "Objects that were applied, because they were missing or not as they should be."}, []string{"kind"}),
		deletes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_operator_deletes_total", Help: "Objects that were removed, because they were not wanted any more."}, []string{"kind"}),
		statusWrites: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairlead_operator_status_writes_total", Help: "Writes of an endpoint's status."}),
		leftBehind: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_operator_events_left_behind_total", Help: "Deliveries that receivers which ended could not hand over: queued ones and dead letters."}, []string{"state"}),
	}
	for _, state := range []string{stateQueued, stateDead} {
		m.leftBehind.WithLabelValues(state)
	}
	for _, c := range []prometheus.Collector{m.applies, m.deletes, m.statusWrites, m.leftBehind, &endpoints{reader: reader}} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// endpoints counts, when it is asked, the endpoints in the cache by what their
// conditions are.
type endpoints struct{ reader client.Reader }

var endpointsDesc = prometheus.NewDesc("fairlead_operator_endpoints",
	"Endpoints by their conditions: how many have the condition with that status.", []string{"condition", "status"}, nil)

// Describe says what Collect gives.
func (e *endpoints) Describe(ch chan<- *prometheus.Desc) { ch <- endpointsDesc }

// Collect counts.
func (e *endpoints) Collect(ch chan<- prometheus.Metric) {
	var list v1alpha1.WebhookEndpointList
	if err := e.reader.List(context.Background(), &list, client.UnsafeDisableDeepCopy); err != nil {
		ch <- prometheus.NewInvalidMetric(endpointsDesc, err)
		return
	}
	kinds := append([]string{v1alpha1.ConditionStalled}, told...)
	count := map[[2]string]int{}
	for i := range list.Items {
		if s := list.Items[i].Status; s != nil {
			for _, kind := range kinds {
				if c := meta.FindStatusCondition(s.Conditions, kind); c != nil {
					count[[2]string{kind, string(c.Status)}]++
				}
			}
		}
	}
	for k, n := range count {
		ch <- prometheus.MustNewConstMetric(endpointsDesc, prometheus.GaugeValue, float64(n), k[0], k[1])
	}
}
