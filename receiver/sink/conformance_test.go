package sink_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/sink"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

func TestHTTPConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{Open: func(t *testing.T) *sinktest.Fixture { return openHTTP(t, httptest.NewServer) }})
}

func TestHTTPSConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{Open: func(t *testing.T) *sinktest.Fixture { return openHTTP(t, httptest.NewTLSServer) }})
}

func TestHTTP2Conformance(t *testing.T) {
	start := func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.EnableHTTP2 = true
		s.StartTLS()
		return s
	}
	sinktest.Run(t, sinktest.Harness{Open: func(t *testing.T) *sinktest.Fixture { return openHTTP(t, start) }})
}

func TestStdoutConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{Open: openStdout})
}

// files is a secrets' root in memory.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	data, ok := f[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(data), nil
}

func delivery(concurrency int) config.Delivery {
	s := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	return config.Delivery{
		MaxAttempts: 20, MinBackoff: s(time.Second), MaxBackoff: s(time.Minute), MaxAge: s(time.Hour),
		Timeout: s(10 * time.Second), Concurrency: concurrency,
	}
}

// mustNew makes an http sink that may dial loopback, and closes it after the test.
func mustNew(t testing.TB, h config.HTTPSink, f files) sink.Sink {
	t.Helper()
	s, err := sink.New(config.Sink{Name: "app", HTTP: &h, Delivery: delivery(8)}, sink.Options{
		Source: sinktest.Source, TypePrefix: sinktest.TypePrefix, ReadFile: f.read, AllowLoopback: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// system is what stands behind a sink in the conformance tests.
type system struct {
	mu        sync.Mutex
	behaviour sinktest.Behaviour
	changed   chan struct{} // closed when the behaviour changes
	received  []sinktest.Received
}

func newSystem() *system { return &system{changed: make(chan struct{})} }

func (s *system) behave(b sinktest.Behaviour) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
	close(s.changed)
	s.changed = make(chan struct{})
	return true
}

func (s *system) now() (sinktest.Behaviour, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour, s.changed
}

func (s *system) take(r sinktest.Received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, r)
}

func (s *system) all() []sinktest.Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sinktest.Received(nil), s.received...)
}

func openHTTP(t *testing.T, start func(http.Handler) *httptest.Server) *sinktest.Fixture {
	sys := newSystem()
	server := start(sys)
	f := files{"hooks/token": "Bearer token-c0ffee\n", "ca/ca.crt": ""}
	target := config.HTTPSink{
		URL:     server.URL + "/hooks/path-5eb1?key=query-77aa",
		Headers: []config.SinkHeader{{Name: "authorization", File: "hooks/token"}, {Name: "X-Team", Value: "team-value-1b"}},
	}
	if server.Certificate() != nil {
		f["ca/ca.crt"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
		target.CAFile = "ca/ca.crt"
	}
	s := mustNew(t, target, f)
	t.Cleanup(func() { sys.behave(sinktest.Accept); server.CloseClientConnections(); server.Close() })
	return &sinktest.Fixture{
		Sink: s,
		Behave: func(b sinktest.Behaviour) bool {
			sys.behave(b)
			if b == sinktest.Gone {
				server.CloseClientConnections()
				server.Listener.Close()
			}
			return true
		},
		Received: sys.all,
		Secrets:  []string{"token-c0ffee", "path-5eb1", "query-77aa", "team-value-1b", server.Listener.Addr().String()},
	}
}

func (s *system) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	behaviour, changed := s.now()
	switch behaviour {
	case sinktest.RefuseForNow:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "body-41d8e0 comes back")
		return
	case sinktest.RefuseForGood:
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case sinktest.Hang:
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		return
	}
	got, err := read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	s.take(got)
}

// read reads a request with the CloudEvents SDK, which leaves the percent-
// encoding of attributes to its user.
func read(r *http.Request) (sinktest.Received, error) {
	if r.URL.Path != "/hooks/path-5eb1" || r.Header.Get("Authorization") != "Bearer token-c0ffee" || r.Header.Get("X-Team") != "team-value-1b" {
		return sinktest.Received{}, fmt.Errorf("path or header is missing")
	}
	e, err := cehttp.NewEventFromHTTPRequest(r)
	if err != nil {
		return sinktest.Received{}, err
	}
	return received(e, url.PathUnescape)
}

func received(e *cloudevents.Event, decode func(string) (string, error)) (got sinktest.Received, err error) {
	if err := e.Validate(); err != nil {
		return got, err
	}
	extension := func(name string) string {
		if v, ok := e.Extensions()[name]; ok {
			return fmt.Sprint(v)
		}
		return ""
	}
	for _, a := range []struct {
		to   *string
		from string
	}{
		{&got.ID, e.ID()}, {&got.Source, e.Source()}, {&got.Type, e.Type()}, {&got.Subject, e.Subject()},
		{&got.Attempt, extension("fairleadattempt")}, {&got.Replay, extension("fairleadreplay")},
	} {
		if *a.to, err = decode(a.from); err != nil {
			return got, err
		}
	}
	got.ContentType, got.Body = e.DataContentType(), e.Data()
	if got.Body == nil {
		got.Body = []byte{}
	}
	return got, nil
}

// terminal is a standard output that can hang or break.
type terminal struct {
	*system
	t *testing.T
}

func (o terminal) Write(p []byte) (int, error) {
	behaviour, changed := o.now()
	switch behaviour {
	case sinktest.RefuseForNow:
		return 0, &fs.PathError{Op: "write body-41d8e0", Path: "/dev/stdout", Err: syscall.EIO}
	case sinktest.Hang:
		<-changed
		return len(p), nil
	}
	if bytes.Count(p, []byte("\n")) != 1 || !bytes.HasSuffix(p, []byte("\n")) {
		o.t.Errorf("not one line: %.200q", p)
	}
	var e cloudevents.Event
	if err := json.Unmarshal(p, &e); err != nil {
		o.t.Errorf("reading %.200q: %v", p, err)
		return len(p), nil
	}
	got, err := received(&e, func(s string) (string, error) { return s, nil })
	if err != nil {
		o.t.Errorf("reading %.200q: %v", p, err)
	}
	o.take(got)
	return len(p), nil
}

func openStdout(t *testing.T) *sinktest.Fixture {
	sys := newSystem()
	s, err := sink.New(config.Sink{Name: "out", Stdout: &config.StdoutSink{}, Delivery: delivery(8)}, sink.Options{
		Source: sinktest.Source, TypePrefix: sinktest.TypePrefix, Stdout: terminal{sys, t},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.behave(sinktest.Accept) })
	return &sinktest.Fixture{
		Sink: s,
		Behave: func(b sinktest.Behaviour) bool {
			return b != sinktest.RefuseForGood && b != sinktest.Gone && sys.behave(b)
		},
		Received: sys.all,
	}
}
