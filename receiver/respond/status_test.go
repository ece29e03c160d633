package respond_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/respond"
	"github.com/fairlead-dev/fairlead/receiver/sink"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type nobody struct{}

func (nobody) Responded(string, string, respond.Outcome, time.Duration) {}
func (nobody) ResponderFilterFailed(string, string)                     {}

// The state is not that of one answer among many; and the log is told of a change of
// state now and then only, but never ends with what is no longer true.
func TestLogEndsTruly(t *testing.T) {
	var status atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	t.Cleanup(srv.Close)
	var log sinktest.Log
	now := time.Unix(1e9, 0)
	r := respond.New(&config.Responder{Name: "m", Hook: "h", HTTP: &config.HTTPSink{URL: srv.URL}, Timeout: metav1.Duration{Duration: time.Minute}, Concurrency: 1},
		respond.Options{Observer: nobody{}, Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now },
			Sink: sink.Options{Source: "/x", AllowLoopback: true}})
	t.Cleanup(r.Close)
	for _, step := range []struct {
		name   string
		after  time.Duration
		status int32
		times  int
		state  string // afterwards
		told   string // nothing if empty
	}{
		{"first answer", 0, 200, 1, statusz.SinkOK, ""},
		{"two failures among answers", time.Second, 500, 2, statusz.SinkOK, ""},
		{"answer among failures", time.Second, 200, 1, statusz.SinkOK, ""},
		{"first failures", time.Second, 500, 3, statusz.SinkFailing, "A responder fails"},
		{"still failing", 20 * time.Second, 500, 1, statusz.SinkFailing, ""},
		{"answer", time.Second, 200, 1, statusz.SinkOK, "A responder answers again"},
		{"failures soon after", time.Second, 500, 3, statusz.SinkFailing, ""},
		{"still failing, later", 20 * time.Second, 500, 1, statusz.SinkFailing, "A responder fails"},
		{"answer soon after", time.Second, 200, 1, statusz.SinkOK, ""},
		{"failures, the first of which is one among answers", 20 * time.Second, 500, 3, statusz.SinkFailing, "A responder answers again"},
		{"answer for good", time.Second, 200, 1, statusz.SinkOK, ""},
		{"the only one in an hour", time.Hour, 500, 1, statusz.SinkFailing, "A responder fails"},
	} {
		before := len(log.String())
		now = now.Add(step.after)
		status.Store(step.status)
		for range step.times {
			_, _ = r.Ask(t.Context(), &event.Event{ID: "1", ReceivedAt: now}, "") // that it fails is told by the status
		}
		if got := r.Status().State; got != step.state {
			t.Errorf("%s: the state is %q, want %q", step.name, got, step.state)
		}
		told := log.String()[before:]
		if step.told == "" && told != "" || !strings.Contains(told, step.told) {
			t.Errorf("%s: the log was told %q, want %q", step.name, told, step.told)
		}
	}
}
