package sink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

func sample() *event.Event {
	return &event.Event{
		ID: "evt 1", Hook: "push", Type: "message.new", Subject: "messaging:général", Time: "2026-07-01T10:11:12Z",
		ContentType: "application/json", ReceivedAt: time.Date(2026, 7, 1, 12, 0, 0, 5000, time.FixedZone("", 3600)),
		Body: []byte(`{"a":1}`),
	}
}

// serve starts a server that is taken down after the test.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func TestRequest(t *testing.T) {
	var got *http.Request
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Clone(context.WithoutCancel(r.Context())) })
	s := mustNew(t, config.HTTPSink{
		URL: server.URL + "/a%2Fb?x=1;y#fragment",
		Headers: []config.SinkHeader{
			{Name: "authorization", File: "app/token"}, {Name: "X-Both", Value: "ours"}, {Name: "cookie", Value: "a=b"},
		},
	}, files{"app/token": "Bearer t\r\n"})

	e := sample()
	e.Headers = []event.Header{
		{Name: "X-Webhook-Id", Value: "1"}, {Name: "X-Api-Key", Value: "k"}, {Name: "x-both", Value: "theirs"},
		{Name: "Authorization", Value: "Basic theirs"}, {Name: "cookie", Value: "theirs"}, {Name: "host", Value: "theirs"},
		{Name: "Connection", Value: "close"}, {Name: "te", Value: "trailers"}, {Name: "Transfer-Encoding", Value: "chunked"},
		{Name: "Upgrade", Value: "websocket"}, {Name: "Content-Length", Value: "3"}, {Name: "Content-Type", Value: "text/plain"},
		{Name: "X-Forwarded-For", Value: "1.2.3.4"}, {Name: "forwarded", Value: "for=1.2.3.4"}, {Name: "X-Real-IP", Value: "1.2.3.4"},
		{Name: "ce-id", Value: "forged"}, {Name: "CE-extension", Value: "forged"}, {Name: "Proxy-Authorization", Value: "theirs"},
		{Name: "Expect", Value: "100-continue"}, {Name: "bad name", Value: "1"}, {Name: "X-Bad", Value: "1\r\nX-Smuggled: 1"},
		{Name: "User-Agent", Value: "theirs"}, {Name: "Keep-Alive", Value: "300"},
	}
	if err := s.Deliver(t.Context(), e, 1); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Ce-Id": {"evt%201"}, "Ce-Source": {sinktest.Source}, "Ce-Type": {sinktest.TypePrefix + "message.new"},
		"Ce-Subject": {"messaging:g%C3%A9n%C3%A9ral"}, "Ce-Time": {"2026-07-01T10:11:12Z"}, "Ce-Specversion": {"1.0"},
		"Content-Type": {"application/json"}, "Content-Length": {"7"}, "User-Agent": {"fairlead-receiver"},
		"X-Webhook-Id": {"1"}, "X-Api-Key": {"k"}, "X-Both": {"ours"}, "Authorization": {"Bearer t"}, "Cookie": {"a=b"},
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if got.Method != "POST" || got.RequestURI != "/a%2Fb?x=1;y" || "http://"+got.Host != server.URL {
		t.Errorf("%s %s of %s", got.Method, got.RequestURI, got.Host)
	}
}

func TestTime(t *testing.T) {
	var got string
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Ce-Time") })
	s := mustNew(t, config.HTTPSink{URL: server.URL}, nil)
	for _, tt := range []struct{ name, time, want string }{
		{"own", "2026-07-01T10:11:12.123456789+02:00", "2026-07-01T10:11:12.123456789+02:00"},
		{"none", "", "2026-07-01T11:00:00.000005Z"},
		{"unix", "1782900672", "2026-07-01T11:00:00.000005Z"},
		{"comma", "2026-07-01T10:11:12,5Z", "2026-07-01T11:00:00.000005Z"},
	} {
		e := sample()
		e.Time = tt.time
		if err := s.Deliver(t.Context(), e, 1); err != nil || got != tt.want {
			t.Errorf("%s: ce-time %q, error %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestStatuses(t *testing.T) {
	var code atomic.Int64
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(int(code.Load()))
		if c := code.Load(); c != 204 && c != 304 {
			fmt.Fprint(w, strings.Repeat("because ", 1000))
		}
	})
	s := mustNew(t, config.HTTPSink{URL: server.URL}, nil)
	const ok, later, never = "ok", "later", "never"
	for _, tt := range []struct {
		code int
		want string
	}{
		{200, ok}, {201, ok}, {202, ok}, {204, ok}, {299, ok},
		{301, never}, {302, never}, {304, never}, {307, never}, {308, never},
		{400, never}, {401, never}, {403, never}, {404, never}, {410, never}, {413, never}, {415, never}, {422, never}, {499, never},
		{408, later}, {425, later}, {429, later}, {500, later}, {501, later}, {502, later}, {503, later}, {504, later}, {599, later},
		{600, never}, {999, never},
	} {
		code.Store(int64(tt.code))
		err := s.Deliver(t.Context(), sample(), 1)
		var se *sink.Error
		switch {
		case tt.want == ok:
			if err != nil {
				t.Errorf("%d: error %v", tt.code, err)
			}
			continue
		case !errors.As(err, &se):
			t.Errorf("%d: error %v, want a *sink.Error", tt.code, err)
			continue
		}
		if se.Permanent != (tt.want == never) {
			t.Errorf("%d: permanent %v", tt.code, se.Permanent)
		}
		if want := tt.code == 429 || tt.code == 503; se.Busy != want || se.Unsent {
			t.Errorf("%d: busy %v, unsent %v", tt.code, se.Busy, se.Unsent)
		}
		if want := map[string]time.Duration{later: 7 * time.Second}[tt.want]; se.RetryAfter != want {
			t.Errorf("%d: retry after %v, want %v", tt.code, se.RetryAfter, want)
		}
		if want := strings.Repeat("because ", 256); tt.code != 304 && string(se.Answer) != want {
			t.Errorf("%d: answer of %d bytes, want %d", tt.code, len(se.Answer), len(want))
		}
	}
}

func TestRetryAfter(t *testing.T) {
	var value atomic.Value
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value.Load().(string))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	s := mustNew(t, config.HTTPSink{URL: server.URL}, nil)
	for _, tt := range []struct {
		name, value string
		least, most time.Duration
	}{
		{"seconds", "120", 2 * time.Minute, 2 * time.Minute},
		{"zero", "0", 0, 0},
		{"bounded", "86401", 24 * time.Hour, 24 * time.Hour},
		{"too large for a number", "99999999999999999999999", 24 * time.Hour, 24 * time.Hour},
		{"negative", "-5", 0, 0},
		{"garbage", "soon", 0, 0},
		{"fraction", "1.5", 0, 0},
		{"none", "", 0, 0},
		{"date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 58 * time.Minute, time.Hour},
		{"past date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, 0},
		{"far date", time.Now().Add(100 * time.Hour).UTC().Format(http.TimeFormat), 24 * time.Hour, 24 * time.Hour},
	} {
		value.Store(tt.value)
		var se *sink.Error
		if err := s.Deliver(t.Context(), sample(), 1); !errors.As(err, &se) {
			t.Errorf("%s: error %v, want a *sink.Error", tt.name, err)
		} else if se.RetryAfter < tt.least || se.RetryAfter > tt.most {
			t.Errorf("%s: retry after %v, want %v to %v", tt.name, se.RetryAfter, tt.least, tt.most)
		}
	}
}

// An answer's size must cost neither time nor the connection, within bounds.
func TestConnectionsAreUsedAgain(t *testing.T) {
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		if r.Header.Get("Ce-Id") == "refuse" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, strings.Repeat("x", 40<<10))
	}))
	server.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	s := mustNew(t, config.HTTPSink{URL: server.URL}, nil)
	for i := range 20 {
		e := sample()
		if i%2 == 1 {
			e.ID = "refuse"
		}
		if err := s.Deliver(t.Context(), e, 1); (err != nil) != (i%2 == 1) {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for 20 events one after the other, want 1", n)
	}
}

func TestConcurrencyBoundsConnections(t *testing.T) {
	const concurrency = 8 // of mustNew
	var open, most atomic.Int64
	var once sync.Once
	all := make(chan struct{}) // closed when as many requests as may be are open
	server := serve(t, func(http.ResponseWriter, *http.Request) {
		n := open.Add(1)
		defer open.Add(-1)
		if n > most.Load() {
			most.Store(n)
		}
		if n == concurrency {
			once.Do(func() { close(all) })
		}
		<-all
	})
	s := mustNew(t, config.HTTPSink{URL: server.URL}, nil)
	done := make(chan error)
	for range 64 {
		go func() { done <- s.Deliver(t.Context(), sample(), 1) }()
	}
	for range 64 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != concurrency {
		t.Errorf("%d requests at once, want %d", most.Load(), concurrency)
	}
}

// A connection that the server closed while it was idle is no failed attempt.
func TestServerClosesIdleConnection(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	s := mustNew(t, config.HTTPSink{URL: server.URL}, nil)
	for range 20 {
		if err := s.Deliver(t.Context(), sample(), 1); err != nil {
			t.Fatal(err)
		}
		server.CloseClientConnections()
	}
}

func TestNoRedirectNoProxy(t *testing.T) {
	var elsewhere atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	t.Setenv("HTTP_PROXY", other.URL)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	s := mustNew(t, config.HTTPSink{URL: server.URL}, nil)
	if err := s.Deliver(t.Context(), sample(), 1); !sink.IsPermanent(err) {
		t.Errorf("error %v, want a permanent one", err)
	}
	if elsewhere.Load() != 0 {
		t.Error("the sink went where it was not told to go")
	}
}

func TestNew(t *testing.T) {
	f := files{"a/token": "secret-value\n", "a/lines": "secret\r\nvalue", "a/empty": "\n", "a/ca": "secret-value, no PEM"}
	header := func(name, value, file string) config.HTTPSink {
		return config.HTTPSink{URL: "http://app", Headers: []config.SinkHeader{{Name: name, Value: value, File: file}}}
	}
	for _, tt := range []struct {
		name    string
		sink    config.HTTPSink
		ok      bool
		pending bool
	}{
		{"plain", config.HTTPSink{URL: "http://app.shop.svc/hooks"}, true, false},
		{"file", header("Authorization", "", "a/token"), true, false},
		{"missing file", header("Authorization", "", "a/other"), false, true},
		{"missing authorities", config.HTTPSink{URL: "https://app", CAFile: "a/other"}, false, true},
		{"line break in value", header("Authorization", "", "a/lines"), false, false},
		{"empty value", header("Authorization", "", "a/empty"), false, false},
		{"no certificates", config.HTTPSink{URL: "https://app", CAFile: "a/ca"}, false, false},
		{"reserved header", header("Content-Length", "secret-value", ""), false, false},
		{"reserved ce header", header("ce-id", "secret-value", ""), false, false},
		{"malformed header", header("a b", "secret-value", ""), false, false},
		{"no host", config.HTTPSink{URL: "http:///secret-value"}, false, false},
		{"other scheme", config.HTTPSink{URL: "ftp://secret-value"}, false, false},
		{"password", config.HTTPSink{URL: "http://me:secret-value@app"}, false, false},
		{"malformed", config.HTTPSink{URL: "http://secret-value\x00"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := sink.New(config.Sink{HTTP: &tt.sink, Delivery: delivery(1)}, sink.Options{ReadFile: f.read})
			if (err == nil) != tt.ok || errors.Is(err, fs.ErrNotExist) != tt.pending {
				t.Errorf("error %v; want ok %v, pending %v", err, tt.ok, tt.pending)
			}
			sinktest.CheckNoSecret(t, err, "secret")
			if (s == nil) != (err != nil) {
				t.Errorf("sink %v with error %v", s, err)
			}
			if err == nil {
				_ = s.Close()
			}
		})
	}
	if _, err := sink.New(config.Sink{}, sink.Options{}); err == nil {
		t.Error("a sink of no kind was made")
	}
}

func BenchmarkDeliver(b *testing.B) {
	server := serve(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write([]byte("{}"))
	})
	s := mustNew(b, config.HTTPSink{URL: server.URL}, nil)
	e := sample()
	e.Body = []byte(`{"text":"` + strings.Repeat("x", 1270) + `"}`)
	e.Headers = []event.Header{{Name: "X-Webhook-Id", Value: "1"}, {Name: "X-Webhook-Attempt", Value: "1"}, {Name: "X-Api-Key", Value: "k"}}
	b.ReportAllocs()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if err := s.Deliver(ctx, e, 1); err != nil {
				b.Error(err)
			}
			cancel()
		}
	})
}
