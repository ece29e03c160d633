package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/valyala/fasthttp"
)

// A tally says what reached a sink. Requests minus Distinct were sent again.
type tally struct {
	Requests int `json:"requests"`
	Distinct int `json:"distinct"`
}

// A countingSink takes everything and counts it by event id. It costs little,
// for it shares the processors with what is measured: hence fasthttp.
type countingSink struct {
	mu       sync.Mutex
	requests int
	ids      map[string]struct{}
}

func newCountingSink() *countingSink { return &countingSink{ids: map[string]struct{}{}} }

func (s *countingSink) handle(c *fasthttp.RequestCtx) {
	c.SetContentType("application/json")
	if c.IsGet() {
		s.count(c)
		return
	}
	id := string(c.Request.Header.Peek("Ce-Id"))
	if id == "" {
		c.SetStatusCode(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.requests++
	s.ids[id] = struct{}{}
	s.mu.Unlock()
	c.SetBodyString("{}")
}

func (s *countingSink) count(c *fasthttp.RequestCtx) {
	s.mu.Lock()
	t := tally{Requests: s.requests, Distinct: len(s.ids)}
	s.mu.Unlock()
	_ = json.NewEncoder(c).Encode(t) // ends in a buffer
}

func sinkVerb(ctx context.Context, args []string) error {
	fs := flags("sink")
	addr := fs.String("addr", "127.0.0.1:9100", "where to listen; GET /count tells what came")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s := &fasthttp.Server{Handler: newCountingSink().handle, MaxRequestBodySize: 2 * maxBody}
	stop := context.AfterFunc(ctx, func() { _ = s.Shutdown() })
	defer stop()
	if err := s.ListenAndServe(*addr); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// fetchTally asks a sink what it got.
func fetchTally(ctx context.Context, addr string) (tally, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/count", nil)
	if err != nil {
		return tally{}, fmt.Errorf("asking sink: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return tally{}, fmt.Errorf("asking sink: %w", err)
	}
	defer resp.Body.Close()
	var t tally
	if err := json.NewDecoder(resp.Body).Decode(&t); err != nil {
		return tally{}, fmt.Errorf("asking sink: %w", err)
	}
	return t, nil
}
