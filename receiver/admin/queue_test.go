package admin_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/admin"
	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/source"
)

func TestAlerts(t *testing.T) {
	fine := queue.Stats{Capacity: 100, DeadLetterCapacity: 100, FreeBytes: 100, MinFree: 10}
	for name, tt := range map[string]struct {
		edit func(*queue.Stats)
		want []string
	}{
		"fine":              {func(*queue.Stats) {}, nil},
		"under half":        {func(s *queue.Stats) { s.QueuedBytes = 49 }, nil},
		"half":              {func(s *queue.Stats) { s.QueuedBytes = 50 }, []string{statusz.StoreQueue}},
		"dead letters":      {func(s *queue.Stats) { s.DeadLetterBytes = 99 }, []string{statusz.StoreDeadLetters}},
		"near the floor":    {func(s *queue.Stats) { s.FreeBytes = 10 }, []string{statusz.StoreDisk}},
		"no space":          {func(s *queue.Stats) { s.FreeBytes = 0 }, []string{statusz.StoreDisk}},
		"unknown space":     {func(s *queue.Stats) { s.FreeBytes = -1 }, nil},
		"without any limit": {func(s *queue.Stats) { s.Capacity, s.DeadLetterCapacity = 0, 0 }, nil},
		"everything": {func(s *queue.Stats) { s.QueuedBytes, s.DeadLetterBytes, s.FreeBytes = 100, 100, 0 },
			[]string{statusz.StoreQueue, statusz.StoreDeadLetters, statusz.StoreDisk}},
	} {
		s := fine
		tt.edit(&s)
		if diff := cmp.Diff(tt.want, admin.Alerts(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Each figure of the ledger stands under its own name.
func TestLedgerMetrics(t *testing.T) {
	stats := func() queue.Stats {
		return queue.Stats{Capacity: 10, QueuedBytes: 5, FreeBytes: 7, MinFree: 1, Quarantined: 3, QuarantinedBytes: 30, QuarantineMissed: 4, Unreadable: 2,
			Sinks: map[string]queue.SinkStats{"app": {Accepted: 28, Delivered: 1, Dead: 2, Dropped: 4, HandedOver: 8, Queued: 13, Replayed: 16, Received: 17,
				DeadLettersDropped: 18, DeadLettersReplayed: 19, DeadLettersHandedOver: 20}}}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(admin.NewQueueCollector(stats, func() int64 { return 21 }, time.Now))
	want := strings.Fields(`
dead_letters_ended_total{end="dropped",sink="app"}=18
dead_letters_ended_total{end="handed_over",sink="app"}=20
dead_letters_ended_total{end="replayed",sink="app"}=19
deliveries_total{sink="app",state="accepted"}=28
deliveries_total{sink="app",state="dead"}=2
deliveries_total{sink="app",state="delivered"}=1
deliveries_total{sink="app",state="dropped"}=4
deliveries_total{sink="app",state="handed_over"}=8
disk_free_bytes=7
in_flight_requests=21
quarantine_missed_total=4
quarantined_bytes=30
quarantined_requests=3
queue_alert{store="dead_letters"}=0
queue_alert{store="disk"}=0
queue_alert{store="queue"}=1
queue_capacity_bytes=10
queue_deliveries{sink="app"}=13
received_deliveries_total{sink="app"}=17
replayed_deliveries_total{sink="app"}=16
unreadable_records_total=2
`)
	got := strings.Join(shown(t, reg), "\n") + "\n"
	for _, line := range want {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no series %s in\n%s", line, got)
		}
	}
}

// shown lists what a registry shows, as name{labels}=value without the prefix.
func shown(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var out []string
	for line := range strings.Lines(w.Body.String()) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "fairlead_receiver_"); ok {
			out = append(out, strings.Replace(rest, " ", "=", 1))
		}
	}
	return out
}

// A sink's breaker is in one state, and in none once its dispatcher has ended.
func TestBreakerMetric(t *testing.T) {
	m, reg := admin.NewMetrics(source.NewFindings(nil, nil)), prometheus.NewRegistry()
	if err := m.Register(reg); err != nil {
		t.Fatal(err)
	}
	m.Breaker("app", dispatch.Closed)
	m.Breaker("app", dispatch.Open)
	breakers := func() []string {
		return slices.DeleteFunc(shown(t, reg), func(l string) bool { return !strings.HasPrefix(l, "sink_breaker{") })
	}
	want := []string{`sink_breaker{sink="app",state="closed"}=0`, `sink_breaker{sink="app",state="half-open"}=0`, `sink_breaker{sink="app",state="open"}=1`}
	if diff := cmp.Diff(want, breakers()); diff != "" {
		t.Errorf("an open breaker (-want +got):\n%s", diff)
	}
	m.Breaker("app", "")
	if left := breakers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
