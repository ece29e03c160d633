package edge_test

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// sink takes events on a host and remembers their bodies.
type sink struct {
	url string
	mu  sync.Mutex
	got map[string]int // how often, by body
}

func newSink(t testing.TB, on *host) *sink {
	t.Helper()
	l, err := on.listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{url: "http://" + l.Addr().String(), got: map[string]int{}}
	server := &http.Server{ReadHeaderTimeout: servertest.Wait, Handler: s}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return s
}

func (s *sink) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got[string(body)]++
}

// times returns how often an event with exactly this body came.
func (s *sink) times(body string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[body]
}

// count returns how many events came.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}
