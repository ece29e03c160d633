package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const secret = "a-secret-of-the-test-0123456789"

// pot counts what reaches it and answers as told.
type pot struct {
	mu     sync.Mutex
	ids    map[string]int
	bodies map[string]bool
	forged int
	status int
	delay  time.Duration
}

func (p *pot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	if p.delay > 0 {
		<-time.After(p.delay)
	}
	p.mu.Lock()
	p.ids[r.Header.Get("X-Webhook-Id")]++
	p.bodies[string(body)] = true
	if hex.EncodeToString(mac.Sum(nil)) != r.Header.Get("X-Signature") {
		p.forged++
	}
	p.mu.Unlock()
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, "{}")
}

func serve(t *testing.T, p *pot) string {
	t.Helper()
	p.ids, p.bodies = map[string]int{}, map[string]bool{}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestRunClosed(t *testing.T) {
	p := &pot{status: 200}
	addr := serve(t, p)
	var next atomic.Uint64
	var calls []string
	l := Load{
		Addr: addr, Pool: NewPool(100, addr, "/hook", secret, 7), Conns: 8, Next: &next,
		Warm: 50 * time.Millisecond, For: 200 * time.Millisecond,
		Begin: func() { calls = append(calls, "begin") }, End: func() { calls = append(calls, "end") },
	}
	res, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Check(); err != nil {
		t.Error(err)
	}
	if strings.Join(calls, " ") != "begin end" {
		t.Errorf("called %q, want begin and end", calls)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forged > 0 {
		t.Errorf("%d requests were signed wrongly", p.forged)
	}
	if len(p.bodies) != min(100, len(p.ids)) {
		t.Errorf("%d bodies for a pool of 100", len(p.bodies))
	}
	for id, n := range p.ids {
		if n != 1 || len(id) != 36 {
			t.Errorf("id %q was sent %d times", id, n)
		}
	}
	// The answers to the last of each connection's requests may be missing.
	if got := uint64(len(p.ids)); res.Sent < res.OK || got < res.Sent || got > res.Sent+8 {
		t.Errorf("%d sent, %d of them counted, but %d arrived", res.Sent, res.OK, got)
	}
}

// TestRunOpen holds that a latency begins when the request was due: a system that
// answers 4 at a time, each after 40 ms, cannot follow 400 a second.
func TestRunOpen(t *testing.T) {
	p := &pot{status: 200, delay: 40 * time.Millisecond}
	addr := serve(t, p)
	var next atomic.Uint64
	l := Load{Addr: addr, Pool: NewPool(10, addr, "/", secret, 1), Conns: 4, Rate: 400, For: 500 * time.Millisecond, Next: &next}
	res, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Latency.Quantile(0.99); got < 200*time.Millisecond {
		t.Errorf("99 %% were answered within %s of being due; the queue that must have formed is not in it", got)
	}
}

func TestRunRefused(t *testing.T) {
	p := &pot{status: 503}
	addr := serve(t, p)
	var next atomic.Uint64
	l := Load{Addr: addr, Pool: NewPool(1, addr, "/", secret, 1), Conns: 1, For: 50 * time.Millisecond, Next: &next}
	res, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.OK != 0 || res.Refused[503] == 0 || res.Check() == nil {
		t.Errorf("got %d accepted, refused %v, check %v; want only refusals", res.OK, res.Refused, res.Check())
	}
}

func TestRunNobody(t *testing.T) {
	var next atomic.Uint64
	l := Load{Addr: "127.0.0.1:1", Pool: NewPool(1, "x", "/", secret, 1), Conns: 1, For: 20 * time.Millisecond, Next: &next}
	res, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Errors == 0 || res.Check() == nil {
		t.Error("no error, though nobody listens")
	}
}

func TestRunElsewhere(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:80", "example.com:80", "localhost:80", "nothing", "0.0.0.0:80"} {
		if _, err := (Load{Addr: addr}).Run(t.Context()); err == nil {
			t.Errorf("%s was taken as a target", addr)
		}
	}
	if _, err := (Load{Addr: "192.0.2.1:80"}).Run(t.Context()); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("got %v, want %v", err, ErrNotLoopback)
	}
}

func TestRunCancelled(t *testing.T) {
	p := &pot{status: 200}
	addr := serve(t, p)
	var next atomic.Uint64
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	l := Load{Addr: addr, Pool: NewPool(1, addr, "/", secret, 1), Conns: 2, For: time.Hour, Next: &next}
	if _, err := l.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestBodies(t *testing.T) {
	p := NewPool(500, "h", "/", secret, 1)
	for i := range p.requests {
		_, body, _ := bytes.Cut(p.requests[i].wire, []byte("\r\n\r\n"))
		if len(body) < BodySize-20 || len(body) > BodySize+20 {
			t.Fatalf("body %d has %d bytes, want about %d", i, len(body), BodySize)
		}
		if !json.Valid(body) {
			t.Fatalf("body %d is not JSON: %s", i, body)
		}
	}
}

func TestHistogram(t *testing.T) {
	var a, b Histogram
	if got := a.Quantile(0.5); got != 0 {
		t.Errorf("an empty histogram's median is %s", got)
	}
	for i := range 1000 {
		h := &a
		if i%2 == 1 {
			h = &b
		}
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	a.Merge(&b)
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		got := a.Quantile(q)
		if diff := (got - want).Abs(); diff > want/100 {
			t.Errorf("quantile %g is %s, want %s within 1 %%", q, got, want)
		}
	}
	a.Add(-time.Second)       // a clock that went back
	a.Add(24 * 7 * time.Hour) // longer than it can tell
	if a.total != 1002 {
		t.Errorf("counted %d, want 1002", a.total)
	}
}

func TestReadAnswer(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		status   int
		stay     bool
		ok       bool
	}{
		{"usual", "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\ncontent-length: 2\r\n\r\n{}", 200, true, true},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", 204, true, true},
		{"closing", "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 503, false, true},
		{"cut short", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", 0, false, false},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, false, false},
		{"other protocol", "220 ready for mail\r\n\r\n", 0, false, false},
		{"silence", "", 0, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, stay, err := readAnswer(bufio.NewReader(strings.NewReader(tt.in)))
			if (err == nil) != tt.ok {
				t.Fatalf("error %v, want success %t", err, tt.ok)
			}
			if tt.ok && (status != tt.status || stay != tt.stay) {
				t.Errorf("got %d, stays %t; want %d, %t", status, stay, tt.status, tt.stay)
			}
		})
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 200\r\nContent-Length: -2\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		status, _, err := readAnswer(bufio.NewReader(bytes.NewReader(in)))
		if err == nil && (status < 100 || status > 999) {
			t.Errorf("status %d", status)
		}
	})
}
