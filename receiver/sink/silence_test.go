package sink_test

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// A connection of HTTP/2 whose other side is gone without a word is given up soon,
// although requests that time out do not end it.
func TestSilentConnection(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	way := newWay(t, srv.Listener.Addr().String())
	c, err := sink.NewClient(&config.HTTPSink{URL: "https://" + way.addr, CAFile: "ca"}, sink.ClientOptions{
		Concurrency: 8, DialTimeout: time.Minute, Silence: 50 * time.Millisecond,
		Options: sink.Options{Source: "/x", AllowLoopback: true, ReadFile: func(string) ([]byte, error) {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), nil
		}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	post := func(patience time.Duration) string {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		resp, err := c.Post(ctx, &event.Event{ID: "1", Body: []byte("{}")}, sink.Post{})
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	if got := post(time.Minute); got != "HTTP/2.0" {
		t.Fatalf("answer = %q", got)
	}
	way.block()
	if got := post(time.Millisecond); got == "HTTP/2.0" {
		t.Fatal("there is an answer by a way that is blocked")
	}
	for range 3 { // one may still go by the old connection, and end with it
		if got := post(time.Minute); got == "HTTP/2.0" {
			return
		}
	}
	t.Error("the connection is not given up")
}

// way passes connections on. Those that are open when it is blocked stay open, but
// nothing comes through any more.
type way struct {
	addr string

	mu      sync.Mutex
	blocked chan struct{} // closed for the connections from before
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{addr: l.Addr().String(), blocked: make(chan struct{})}
	end := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				t.Error(err)
				return
			}
			w.mu.Lock()
			blocked := w.blocked
			w.mu.Unlock()
			all.Go(func() { pass(in, out, blocked, end) })
			all.Go(func() { pass(out, in, blocked, end) })
			all.Go(func() { <-end; _ = in.Close(); _ = out.Close() })
		}
	})
	t.Cleanup(func() { close(end); _ = l.Close(); all.Wait() })
	return w
}

func (w *way) block() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.blocked)
	w.blocked = make(chan struct{})
}

// pass copies until one side ends, or from when it is blocked, until the test ends.
func pass(to, from net.Conn, blocked, end <-chan struct{}) {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		select {
		case <-blocked:
			<-end
			return
		default:
		}
		if _, failed := to.Write(b[:n]); err != nil || failed != nil {
			_ = to.Close()
			return
		}
	}
}
