package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// QueueCollector shows what a queue holds, asked anew at each scrape. The
// deliveries by state are the ledger: accepted = delivered + dead + dropped +
// queued, for each sink.
type QueueCollector struct {
	stats    func() queue.Stats
	inFlight func() int64
	now      func() time.Time
}

// NewQueueCollector returns a collector of a queue's figures and of the number
// of requests in flight.
func NewQueueCollector(stats func() queue.Stats, inFlight func() int64, now func() time.Time) *QueueCollector {
	return &QueueCollector{stats, inFlight, now}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	descDeliveries  = desc("deliveries_total", "Deliveries since the data directory was made, by sink and state: accepted, delivered, dead or dropped.", "sink", "state")
	descQueued      = desc("queue_deliveries", "Deliveries that are queued, retries included, by sink.", "sink")
	descRetrying    = desc("queue_retrying_deliveries", "Queued deliveries that have failed at least once, by sink.", "sink")
	descQueuedBytes = desc("queue_bytes", "Bytes of queued deliveries, by sink.", "sink")
	descOldest      = desc("queue_oldest_age_seconds", "Time since the oldest queued event was received, by sink; 0 if none is queued.", "sink")
	descDead        = desc("dead_letters", "Dead letters that are kept, by sink.", "sink")
	descDeadBytes   = desc("dead_letter_bytes", "Bytes of dead letters that are kept, by sink.", "sink")
	descCapacity    = desc("queue_capacity_bytes", "Bytes of queued deliveries at which intake answers 503.")
	descDeadCap     = desc("dead_letter_capacity_bytes", "Bytes of dead letters at which there is no room for more.")
	descStored      = desc("stored_bytes", "Bytes of all stored events, finished ones included.")
	descEvents      = desc("stored_events", "Stored events, finished ones included.")
	descInFlight    = desc("in_flight_requests", "Requests that are being handled.")
)

// Describe implements prometheus.Collector.
func (c *QueueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDeliveries, descQueued, descRetrying, descQueuedBytes, descOldest, descDead,
		descDeadBytes, descCapacity, descDeadCap, descStored, descEvents, descInFlight} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *QueueCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	s := c.stats()
	gauge(descCapacity, s.Capacity)
	gauge(descDeadCap, s.DeadLetterCapacity)
	gauge(descStored, s.Bytes)
	gauge(descEvents, s.Events)
	gauge(descInFlight, c.inFlight())
	for name, k := range s.Sinks {
		for state, n := range map[string]int64{"accepted": k.Accepted, "delivered": k.Delivered, "dead": k.Dead, "dropped": k.Dropped} {
			ch <- prometheus.MustNewConstMetric(descDeliveries, prometheus.CounterValue, float64(n), name, state)
		}
		gauge(descQueued, k.Queued, name)
		gauge(descRetrying, k.Retrying, name)
		gauge(descQueuedBytes, k.QueuedBytes, name)
		gauge(descDead, k.DeadLetters, name)
		gauge(descDeadBytes, k.DeadLetterBytes, name)
		ch <- prometheus.MustNewConstMetric(descOldest, prometheus.GaugeValue, age(c.now(), k.OldestQueued), name)
	}
}

// age returns how long ago t was, in seconds; 0 for no time at all.
func age(now, t time.Time) float64 {
	if t.IsZero() || now.Before(t) {
		return 0
	}
	return now.Sub(t).Seconds()
}
