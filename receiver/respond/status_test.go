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
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/respond"
	"github.com/fairlead-dev/fairlead/receiver/sink"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type nobody struct{}

func (nobody) Responded(string, string, respond.Outcome, time.Duration) {}
func (nobody) ResponderFilterFailed(string, string)                     {}

// The log is told of a change of state now and then only, but never ends with what
// is no longer true.
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
		told   string // nothing if empty
	}{
		{"first answer", 0, 200, ""},
		{"first failure", time.Second, 500, "A responder fails"},
		{"still failing", time.Minute, 500, ""},
		{"answer", time.Second, 200, "A responder answers again"},
		{"failure soon after", time.Second, 500, ""},
		{"still failing, later", 20 * time.Second, 500, "A responder fails"},
		{"answer soon after", time.Second, 200, ""},
		{"failure", 20 * time.Second, 500, ""},
		{"answer for good", time.Second, 200, "A responder answers again"},
	} {
		before := len(log.String())
		now = now.Add(step.after)
		status.Store(step.status)
		_, _ = r.Ask(t.Context(), &event.Event{ID: "1", ReceivedAt: now}, "") // that it fails is told by the status
		told := log.String()[before:]
		if step.told == "" && told != "" || !strings.Contains(told, step.told) {
			t.Errorf("%s: the log was told %q, want %q", step.name, told, step.told)
		}
	}
}
