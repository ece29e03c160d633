package intake_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// ward is a bench whose handler has a quarantine.
type ward struct {
	*bench
	now  time.Time
	kept []*queue.Quarantined
}

func newWard(t *testing.T, profile string, edit func(*v1alpha1.Config)) *ward {
	w := &ward{now: time.Now()}
	w.bench = newBench(t, profile, func(c *v1alpha1.Config) {
		c.Queue.Quarantine = &v1alpha1.Quarantine{MaxRequests: 10, CapacityBytes: 1 << 20, MaxAge: metav1.Duration{Duration: time.Hour}}
		if edit != nil {
			edit(c)
		}
	})
	w.handler = intake.New(intake.Options{Append: w.append, Route: w.route, Observer: w.bench, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return w.now }, Isolate: func(q *queue.Quarantined) { w.kept = append(w.kept, q) }})
	w.update()
	return w
}

// Only requests whose signature is wrong are kept, and those as they came.
func TestIsolate(t *testing.T) {
	off := func(c *v1alpha1.Config) { c.Queue.Quarantine = nil }
	observe := func(c *v1alpha1.Config) { c.Sources.Mode = api.SourceObserve }
	stranger := func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1" }
	for name, tt := range map[string]struct {
		config  func(*v1alpha1.Config)
		keys    []verify.Entry
		request *http.Request
		want    string // the source, or none
	}{
		"wrong signature":     {request: stream("other", body, nil), want: "34.225.10.29"},
		"no signature":        {request: stream(body, body, func(r *http.Request) { r.Header.Del("X-Signature") }), want: "34.225.10.29"},
		"right signature":     {request: stream(body, body, nil)},
		"off":                 {config: off, request: stream("other", body, nil)},
		"no secret":           {keys: []verify.Entry{}, request: stream(body, body, nil)}, // ours: it is sent again
		"unlisted":            {request: stream("other", body, stranger)},
		"unlisted in Observe": {config: observe, request: stream("other", body, stranger), want: "203.0.113.7"},
		"too large":           {request: stream("other", strings.Repeat("x", 65<<10), nil)},
		"wrong path":          {request: stream("other", body, func(r *http.Request) { r.URL.Path = "/no" })},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t, "stream-chat", tt.config)
			if tt.keys != nil {
				w.entries = tt.keys
				w.update()
			}
			w.send(tt.request)
			got := ""
			for _, k := range w.kept {
				got += k.Source
			}
			if got != tt.want {
				t.Errorf("kept requests from %q, want %q", got, tt.want)
			}
		})
	}
}

func TestIsolatedRequest(t *testing.T) {
	w := newWard(t, "stream-chat", nil)
	sent := zipped(body)
	w.send(stream("other", sent, func(r *http.Request) {
		r.URL.RawQuery = "a=b"
		r.Header = http.Header{"X-Signature": {"00"}, "X-Api-Key": {"app-7"}, "Authorization": {"Bearer x"}, "Cookie": {"c=d"}, "X-Other-Token": {"t"}, "Accept": {"a", "b"}}
	}))
	want := []*queue.Quarantined{{
		ReceivedAt: w.now, Source: "34.225.10.29", Hook: "push", Method: "POST", Path: "/hooks", Query: "a=b",
		Reason:  verify.ErrSignature.Error(),
		Headers: []event.Header{{Name: "Accept", Value: "a"}, {Name: "Accept", Value: "b"}, {Name: "X-Api-Key", Value: "app-7"}, {Name: "X-Signature", Value: "00"}},
		Body:    []byte(sent),
	}}
	if diff := cmp.Diff(want, w.kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// A flood of forgeries costs a bounded number of writes a second.
func TestIsolationIsBounded(t *testing.T) {
	w := newWard(t, "stream-chat", nil)
	for range 200 {
		w.send(stream("other", body, nil))
	}
	if n := len(w.kept); n < 10 || n > 60 {
		t.Errorf("%d of 200 requests of one moment were kept, want about 50", n)
	}
}

// What failed because of a missing secret is stored once that is there, as the
// event that it would have been, and again only as a duplicate.
func TestReverify(t *testing.T) {
	w := newWard(t, "stream-chat", nil)
	w.entries = []verify.Entry{{Name: "wrong", Value: []byte("not the secret that was used")}}
	w.update()
	w.send(stream(body, zipped(body), nil))
	if len(w.kept) != 1 {
		t.Fatalf("%d requests kept, want 1", len(w.kept))
	}
	if o, err := w.handler.Reverify(w.kept[0]); o != intake.Unauthenticated || err == nil {
		t.Errorf("with the wrong secret: %v, %v", o, err)
	}
	w.entries = []verify.Entry{{Name: "current", Value: []byte(secret)}}
	w.update()
	w.now = w.now.Add(time.Hour)
	for _, want := range []intake.Outcome{intake.Accepted, intake.Duplicate} {
		if o, err := w.handler.Reverify(w.kept[0]); o != want || err != nil {
			t.Errorf("with the right secret: %v, %v; want %v", o, err, want)
		}
	}
	if len(w.stored) != 1 || w.stored[0].ID != "id-1" || string(w.stored[0].Body) != body || !w.stored[0].ReceivedAt.Equal(w.now) {
		t.Errorf("stored %+v", w.stored)
	}
	w.config.Path = "/elsewhere"
	w.update()
	if o, err := w.handler.Reverify(w.kept[0]); o != intake.NotFound || err == nil {
		t.Errorf("at a path that is served no more: %v, %v", o, err)
	}
}

// The time of signing is compared with when the request came, not with now.
func TestReverifyTolerance(t *testing.T) {
	signed := func(c *v1alpha1.Config) {
		c.Signatures[0].Content = "{timestamp}.{body}"
		c.Signatures[0].SignedAt = &api.SigningTime{Header: "X-Time", Unit: api.UnitSeconds}
	}
	at := time.Unix(1_700_000_000, 0)
	request := func() *http.Request {
		return stream("1700000000."+body, body, func(r *http.Request) { r.Header.Set("X-Time", "1700000000") })
	}
	for name, tt := range map[string]struct {
		came time.Duration
		want intake.Outcome
	}{
		"in time":  {time.Minute, intake.Accepted},
		"too late": {10 * time.Minute, intake.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t, "stream-chat", signed)
			w.entries = []verify.Entry{{Name: "wrong", Value: []byte("not the secret that was used")}}
			w.update()
			w.now = at.Add(tt.came)
			w.send(request())
			w.entries = []verify.Entry{{Name: "current", Value: []byte(secret)}}
			w.update()
			w.now = at.Add(24 * time.Hour)
			if o, err := w.handler.Reverify(w.kept[0]); o != tt.want {
				t.Errorf("outcome = %v (%v), want %v", o, err, tt.want)
			}
		})
	}
}

func TestShows(t *testing.T) {
	w := newWard(t, "stream-chat", nil)
	for header, want := range map[string]bool{
		"X-Signature": true, "X-Api-Key": true, "x-webhook-id": true, "Authorization": false, "Cookie": false, "X-Auth-Token": false,
	} {
		if got := w.handler.Shows(header); got != want {
			t.Errorf("Shows(%q) = %v, want %v", header, got, want)
		}
	}
	w.config.Signatures[0].Algorithm = api.StaticToken
	w.update()
	if w.handler.Shows("X-Signature") {
		t.Error("a static token is shown")
	}
}

// silent discards an answer without allocating.
type silent struct{ h http.Header }

func (s silent) Header() http.Header         { return s.h }
func (s silent) Write(b []byte) (int, error) { return len(b), nil }
func (s silent) WriteHeader(int)             {}

// With a quarantine a good request costs what it costs without.
func TestQuarantineCostsGoodRequestsNothing(t *testing.T) {
	if raceDetector {
		t.Skip("with the race detector sync.Pool drops things at random, which costs allocations")
	}
	cost := func(edit func(*v1alpha1.Config)) float64 {
		w := newWard(t, "stream-chat", edit)
		w.fail = queue.ErrFull // so that the bench keeps nothing
		req := stream(body, body, nil)
		reader := strings.NewReader(body)
		out := silent{httptest.NewRecorder().Header()}
		return testing.AllocsPerRun(200, func() {
			reader.Reset(body)
			r := *req
			r.Body, r.ContentLength = http.NoBody, int64(len(body))
			r.Body = readCloser{reader}
			w.outcomes = w.outcomes[:0]
			w.handler.ServeHTTP(out, &r)
		})
	}
	without := cost(func(c *v1alpha1.Config) { c.Queue.Quarantine = nil })
	// One more is none: under the race detector pools lose some of what they lend.
	if with := cost(nil); with > without+1 {
		t.Errorf("%v allocations a request with a quarantine, %v without", with, without)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
