package v1_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/api/statusz"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Pebble's caches keep a goroutine each for the life of the process.
		goleak.IgnoreTopFunction("github.com/cockroachdb/pebble/v2/internal/genericcache.(*shard[...]).releaseLoop"))
}

// start is when the rig's clock begins.
var start = time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)

// rig is the API over the real engine.
type rig struct {
	t        testing.TB
	queue    *embedded.Queue
	handler  http.Handler
	clock    atomic.Int64 // since start
	reverify func(*queue.Quarantined) (intake.Outcome, error)
}

func newRig(t testing.TB, edit func(*queue.Limits)) *rig {
	t.Helper()
	r := &rig{t: t}
	l := queue.Limits{Capacity: 1 << 20, Retention: time.Hour, DeadLetterCapacity: 1 << 20,
		Quarantine: queue.QuarantineLimits{Requests: 200, Bytes: 1 << 20, Age: time.Hour}}
	if edit != nil {
		edit(&l)
	}
	var err error
	r.queue, err = embedded.Open(embedded.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Limits: l,
		Now: r.now, Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.queue.Close(); err != nil {
			t.Error(err)
		}
	})
	r.sinks("app", "audit")
	r.handler = v1.NewHandler(v1.Options{Endpoints: []v1.Endpoint{r.endpoint("chat")}, Logger: slog.New(slog.DiscardHandler), Now: r.now})
	return r
}

func (r *rig) now() time.Time { return start.Add(time.Duration(r.clock.Load())) }

// pass lets time go on.
func (r *rig) pass(d time.Duration) { r.clock.Add(int64(d)) }

func (r *rig) endpoint(name string) v1.Endpoint {
	return v1.Endpoint{
		Namespace: "community", Name: name, Store: r.queue, Source: "/namespaces/community/webhookendpoints/" + name,
		Status: func() statusz.Endpoint {
			return statusz.Endpoint{Queue: statusz.Queue{Type: "Ephemeral", Alerts: []string{"disk"}},
				Sinks: []statusz.Sink{{Name: "app", State: "failing", Reason: "refused", Breaker: "open"}, {Name: "audit", State: "ok"}}}
		},
		MaxBody:  func() int64 { return 4 << 10 },
		Reverify: func(q *queue.Quarantined) (intake.Outcome, error) { return r.reverify(q) },
		Shows:    func(name string) bool { return name != "Authorization" },
	}
}

func (r *rig) sinks(names ...string) {
	r.t.Helper()
	if err := r.queue.SetSinks(names); err != nil {
		r.t.Fatal(err)
	}
}

// append stores an event for sinks.
func (r *rig) append(id, typ, body string, sinks ...string) {
	r.t.Helper()
	e := &event.Event{ID: id, Hook: "push", Type: typ, Subject: "messaging:fun", ContentType: "application/json", Attempt: 2, ReceivedAt: r.now(),
		Headers: []event.Header{{Name: "X-Webhook-Id", Value: id}}, Body: []byte(body)}
	if _, err := r.queue.Append(r.t.Context(), e, queue.Dedup{}, sinks); err != nil {
		r.t.Fatal(err)
	}
}

// lease takes the next delivery of a sink.
func (r *rig) lease(sink string) (queue.Consumer, *queue.Delivery) {
	r.t.Helper()
	c, err := r.queue.Consumer(sink)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	d, err := c.Lease(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return c, d
}

// kill makes a dead letter of a sink's next delivery.
func (r *rig) kill(sink, reason, answer string) {
	r.t.Helper()
	c, d := r.lease(sink)
	c.DeadLetter(d, reason, []byte(answer))
}

// die stores an event for a sink and makes it a dead letter.
func (r *rig) die(id, typ, body, sink, reason string) {
	r.t.Helper()
	r.append(id, typ, body, sink)
	r.kill(sink, reason, "no")
}

// do sends a request as curl does.
func (r *rig) do(method, target, contentType, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r.t.Helper()
	return serve(r.handler, method, target, contentType, strings.NewReader(body), edit)
}

func serve(h http.Handler, method, target, contentType string, body io.Reader, edit func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, body)
	req.Host, req.RemoteAddr = "127.0.0.1:8081", "127.0.0.1:50000"
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if edit != nil {
		edit(req)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// get asks for something that must be there.
func get[T any](r *rig, target string) T {
	r.t.Helper()
	return read[T](r.t, r.do(http.MethodGet, target, "", "", nil), http.StatusOK)
}

// post orders something that must succeed.
func post[T any](r *rig, target string, body any) T {
	r.t.Helper()
	return read[T](r.t, r.do(http.MethodPost, target, "application/json", encode(r.t, body), nil), http.StatusOK)
}

func read[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("status = %d, want %d: %s", w.Code, status, w.Body)
	}
	d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("reading %s: %v", w.Body, err)
	}
	return v
}

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// letters lists dead letters by name, following cursors.
func (r *rig) letters(params string) []string {
	r.t.Helper()
	names, cursor := []string{}, ""
	for range 1000 {
		page := get[v1.DeadLetterPage](r, "/v1/deadletters?limit=2&cursor="+cursor+"&"+params)
		for _, d := range page.Items {
			names = append(names, d.Sink+" "+d.ID)
		}
		if cursor = page.Next; cursor == "" {
			return names
		}
	}
	r.t.Fatal("the listing does not end")
	return nil
}

func body(n int) string { return fmt.Sprintf(`{"n": %d,"text":"<é>"}`, n) }
