package edge_test

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// serve serves HTTP on a host's loopback until the end of the test, and returns the
// URL.
func serve(t testing.TB, on *host, h http.Handler) string {
	t.Helper()
	l, err := on.listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: servertest.Wait, Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return "http://" + l.Addr().String()
}

// sink takes events and remembers their bodies.
type sink struct {
	mu  sync.Mutex
	got map[string]int // how often, by body
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
