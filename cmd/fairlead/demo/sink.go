package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// sink takes events over HTTP and remembers when which body came.
type sink struct {
	server *http.Server
	addr   string

	mu      sync.Mutex
	arrived map[string][]time.Time // by body
	changed chan struct{}          // closed and replaced when something arrives
}

func newSink(ctx context.Context) (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening as a sink: %w", err)
	}
	s := &sink{addr: l.Addr().String(), arrived: map[string][]time.Time{}, changed: make(chan struct{})}
	s.server = &http.Server{Handler: http.HandlerFunc(s.take), ReadHeaderTimeout: patience, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { _ = s.server.Serve(l) }() // ends with close, and says only that
	return s, nil
}

func (s *sink) url() string { return "http://" + s.addr + "/events" }

func (s *sink) close() { _ = s.server.Close() } // nothing is lost: the receiver has stopped

func (s *sink) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Ce-Specversion") != "1.0" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived[string(body)] = append(s.arrived[string(body)], time.Now())
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait returns when the body has come, or ctx ends.
func (s *sink) wait(ctx context.Context, body []byte) {
	for {
		s.mu.Lock()
		n, changed := len(s.arrived[string(body)]), s.changed
		s.mu.Unlock()
		if n > 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// times returns when the body came.
func (s *sink) times(body []byte) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived[string(body)]
}

// total counts what came.
func (s *sink) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, t := range s.arrived {
		n += len(t)
	}
	return n
}
