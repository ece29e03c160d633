package intake_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/intake"
)

// waiting is a request whose body does not come until it is told to.
type waiting struct {
	body   *io.PipeWriter
	status chan int
	sent   string
}

// crowded is a handler with room for eight requests, four of them of sources that
// are not proven, and a clock that stands still.
type crowded struct {
	*bench
	now atomic.Int64
}

func newCrowded(t *testing.T) *crowded {
	b := newBench(t, "stream-chat", func(c *v1alpha1.Config) {
		c.Sources = v1alpha1.Sources{Mode: api.SourceObserve}
		c.Limits.MaxRequestsInFlight = 8
	})
	c := &crowded{bench: b}
	c.now.Store(time.Now().UnixNano())
	b.handler = intake.New(intake.Options{Append: b.append, Route: b.route, Observer: b, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(0, c.now.Load()) }})
	b.update()
	return c
}

func (c *crowded) pass(d time.Duration) { c.now.Add(int64(d)) }

// begin starts a request from an address and returns when its body is waited for.
func (c *crowded) begin(from string) *waiting {
	c.t.Helper()
	r, w := io.Pipe()
	asked := make(chan struct{})
	q := stream(body, body, func(q *http.Request) {
		q.RemoteAddr = net.JoinHostPort(from, "1")
		q.Body = &announced{ReadCloser: r, asked: asked}
		q.ContentLength = int64(len(body))
	})
	wait := &waiting{body: w, status: make(chan int, 1), sent: body}
	rec := &deadlined{ResponseRecorder: httptest.NewRecorder(), body: r}
	go func() {
		c.handler.ServeHTTP(rec, q)
		_ = r.Close() // whoever still writes is let go
		wait.status <- rec.Code
	}()
	select {
	case <-asked:
	case status := <-wait.status:
		wait.status <- status
	}
	return wait
}

// announced tells of its first Read.
type announced struct {
	io.ReadCloser
	once  sync.Once
	asked chan struct{}
}

func (a *announced) Read(b []byte) (int, error) {
	a.once.Do(func() { close(a.asked) })
	return a.ReadCloser.Read(b)
}

// deadlined is a connection that ends a body at its read deadline.
type deadlined struct {
	*httptest.ResponseRecorder
	body *io.PipeReader
}

func (d *deadlined) SetReadDeadline(time.Time) error {
	return d.body.CloseWithError(io.ErrUnexpectedEOF)
}

// end lets the body come, and returns the answer.
func (w *waiting) end() int {
	go func() { _, _ = io.Copy(w.body, strings.NewReader(w.sent)) }()
	return <-w.status
}

func (c *crowded) send(from string) int { return c.begin(from).end() }

// Slow bodies of strangers leave half of the room to sources that have shown a valid
// signature, and give their places up one by one to others that come.
func TestSlowStrangers(t *testing.T) {
	c := newCrowded(t)
	if got := c.send("198.51.100.1"); got != 200 {
		t.Fatalf("the provider is answered %d", got)
	}
	var slow []*waiting
	for n := range 4 {
		slow = append(slow, c.begin("203.0.113."+strconv.Itoa(n)))
	}
	if got := c.send("203.0.113.100"); got != 503 {
		t.Errorf("a stranger too many is answered %d, want 503", got)
	}
	for range 8 {
		if got := c.send("198.51.100.1"); got != 200 {
			t.Errorf("the provider is answered %d, want 200", got)
		}
	}
	c.pass(2 * time.Second)
	if got := c.send("203.0.113.101"); got != 200 {
		t.Errorf("a stranger with a valid request is answered %d, want 200: somebody has kept it waiting", got)
	}
	if got := <-slow[0].status; got != 503 {
		t.Errorf("the slowest is answered %d, want 503", got)
	}
	for _, s := range slow[1:] {
		if got := s.end(); got != 200 {
			t.Errorf("a slow stranger whose body came is answered %d, want 200", got)
		}
	}
	if !slices.Contains(c.notes, "shed unproven") || !slices.Contains(c.notes, "shed slow") {
		t.Errorf("observed %q", c.notes)
	}
}

// One source that holds much is refused before others that hold little.
func TestFairShare(t *testing.T) {
	c := newCrowded(t)
	greedy := []*waiting{c.begin("203.0.113.1"), c.begin("203.0.113.1")}
	other := c.begin("203.0.113.2")
	if got := c.send("203.0.113.1"); got != 503 {
		t.Errorf("the third of the greedy one is answered %d, want 503", got)
	}
	if got := c.send("203.0.113.3"); got != 200 {
		t.Errorf("the first of another one is answered %d, want 200", got)
	}
	for _, w := range append(greedy, other) {
		if got := w.end(); got != 200 {
			t.Errorf("a request that was admitted is answered %d", got)
		}
	}
	if !slices.Contains(c.notes, "shed source") {
		t.Errorf("observed %q", c.notes)
	}
}

// Nobody gets more than all, and all is there again afterwards.
func TestInFlight(t *testing.T) {
	c := newCrowded(t)
	for round := range 3 {
		if got := c.send("198.51.100.1"); got != 200 {
			t.Fatalf("round %d: the first is answered %d", round, got)
		}
		var all []*waiting
		for range 8 {
			all = append(all, c.begin("198.51.100.1"))
		}
		if got := c.send("198.51.100.1"); got != 503 {
			t.Errorf("round %d: one too many is answered %d, want 503", round, got)
		}
		for _, w := range all {
			if got := w.end(); got != 200 {
				t.Errorf("round %d: one that was admitted is answered %d", round, got)
			}
		}
	}
	c.config.Limits.MaxRequestsInFlight = 1
	c.update()
	first := c.begin("198.51.100.1")
	if got := c.send("198.51.100.1"); got != 503 {
		t.Errorf("with room for one, the second is answered %d, want 503", got)
	}
	if got := first.end(); got != 200 {
		t.Errorf("with room for one, the first is answered %d, want 200", got)
	}
	if !c.handler.Proven(netip.MustParseAddr("198.51.100.1")) || c.handler.Proven(netip.MustParseAddr("198.51.100.2")) {
		t.Error("Proven() does not tell who has shown a signature")
	}
}
