package admin

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// QueueCollector shows what a queue holds, asked anew at each scrape. The
// deliveries by state are the ledger: accepted = delivered + dead + dropped +
// handed over + queued, for each sink.
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
	descDeliveries  = desc("deliveries_total", "Deliveries since the data directory was made, by sink and state: accepted, delivered, dead, dropped or handed_over.", "sink", "state")
	descReplayed    = desc("replayed_deliveries_total", "Those of the accepted deliveries that a replay made, by sink.", "sink")
	descReceived    = desc("received_deliveries_total", "Those of the accepted deliveries that came from another queue, by sink.", "sink")
	descEnded       = desc("dead_letters_ended_total", "Dead letters that are no longer kept, by sink and end: dropped, replayed or handed_over.", "sink", "end")
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
	descAlert       = desc("queue_alert", "1 if a store fills up: queue or dead_letters half full, or disk with little space left.", "store")
	descFree        = desc("disk_free_bytes", "Bytes that may be written before intake answers 503 for want of space; -1 if that is not known.")
	descQuarantined = desc("quarantined_requests", "Requests that are kept although they failed verification.")
	descQuarBytes   = desc("quarantined_bytes", "Bytes of the requests that are kept although they failed verification.")
	descQuarMissed  = desc("quarantine_missed_total", "Requests that failed verification and were not kept since the start: too many came at once, or they were too large.")
	descUnreadable  = desc("unreadable_records_total", "Stored records that could not be read since the start.")
	descInFlight    = desc("in_flight_requests", "Requests that are being handled.")
)

// Describe implements prometheus.Collector.
func (c *QueueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDeliveries, descReplayed, descReceived, descEnded, descQueued, descRetrying, descQueuedBytes, descOldest,
		descDead, descDeadBytes, descCapacity, descDeadCap, descStored, descEvents, descAlert, descFree, descQuarantined, descQuarBytes,
		descQuarMissed, descUnreadable, descInFlight} {
		ch <- d
	}
}

// scrape writes what one scrape is answered.
type scrape chan<- prometheus.Metric

func (s scrape) gauge(d *prometheus.Desc, v int64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

func (s scrape) counter(d *prometheus.Desc, v int64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// Collect implements prometheus.Collector.
func (c *QueueCollector) Collect(ch chan<- prometheus.Metric) {
	out, s := scrape(ch), c.stats()
	out.gauge(descCapacity, s.Capacity)
	out.gauge(descDeadCap, s.DeadLetterCapacity)
	out.gauge(descStored, s.Bytes)
	out.gauge(descEvents, s.Events)
	out.gauge(descFree, s.FreeBytes)
	out.gauge(descQuarantined, s.Quarantined)
	out.gauge(descQuarBytes, s.QuarantinedBytes)
	out.counter(descQuarMissed, s.QuarantineMissed)
	out.counter(descUnreadable, s.Unreadable)
	out.gauge(descInFlight, c.inFlight())
	alerts := Alerts(s)
	for label, store := range map[string]string{"queue": statusz.StoreQueue, "dead_letters": statusz.StoreDeadLetters, "disk": statusz.StoreDisk} {
		out.gauge(descAlert, one(slices.Contains(alerts, store)), label)
	}
	for name, k := range s.Sinks {
		out.sink(name, k, c.now())
	}
}

func (s scrape) sink(name string, k queue.SinkStats, now time.Time) {
	for state, n := range map[string]int64{"accepted": k.Accepted, "delivered": k.Delivered, "dead": k.Dead, "dropped": k.Dropped, "handed_over": k.HandedOver} {
		s.counter(descDeliveries, n, name, state)
	}
	for end, n := range map[string]int64{"dropped": k.DeadLettersDropped, "replayed": k.DeadLettersReplayed, "handed_over": k.DeadLettersHandedOver} {
		s.counter(descEnded, n, name, end)
	}
	s.counter(descReplayed, k.Replayed, name)
	s.counter(descReceived, k.Received, name)
	s.gauge(descQueued, k.Queued, name)
	s.gauge(descRetrying, k.Retrying, name)
	s.gauge(descQueuedBytes, k.QueuedBytes, name)
	s.gauge(descDead, k.DeadLetters, name)
	s.gauge(descDeadBytes, k.DeadLetterBytes, name)
	s <- prometheus.MustNewConstMetric(descOldest, prometheus.GaugeValue, age(now, k.OldestQueued), name)
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// Alerts lists the stores that fill up, by their names on the status page: the
// queue and the dead letters from half of their capacity on, and the disk from
// where twice as much is free as must stay so: below that, events are refused.
func Alerts(s queue.Stats) []string {
	var out []string
	if s.Capacity > 0 && s.QueuedBytes >= s.Capacity/2 {
		out = append(out, statusz.StoreQueue)
	}
	if s.DeadLetterCapacity > 0 && s.DeadLetterBytes >= s.DeadLetterCapacity/2 {
		out = append(out, statusz.StoreDeadLetters)
	}
	if s.FreeBytes >= 0 && s.FreeBytes <= s.MinFree {
		out = append(out, statusz.StoreDisk)
	}
	return out
}

// age returns how long ago t was, in seconds; 0 for no time at all.
func age(now, t time.Time) float64 {
	if t.IsZero() || now.Before(t) {
		return 0
	}
	return now.Sub(t).Seconds()
}
