package server

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestRecovered holds that a panic is logged and counted, that nothing of the
// request is in the log, and that only its connection ends.
func TestRecovered(t *testing.T) {
	for name, tt := range map[string]struct {
		panics any
		count  float64
		says   string
	}{
		"run time":  {nil, 1, "integer divide by zero"},
		"own error": {errors.New("body of a stranger"), 1, "*errors.errorString"},
		"abort":     {http.ErrAbortHandler, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			registry := prometheus.NewRegistry()
			s := &process{o: ServeOptions{Logger: slog.New(slog.NewJSONHandler(&log, nil)), Registerer: registry}}
			if err := s.countPanics(); err != nil {
				t.Fatal(err)
			}
			zero := 0
			h := httptest.NewServer(s.recovered(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					return
				}
				if tt.panics != nil {
					panic(tt.panics)
				}
				_ = 1 / zero
			})))
			if resp, err := http.Get(h.URL); err == nil {
				resp.Body.Close()
				t.Errorf("a request that panics is answered %d", resp.StatusCode)
			}
			resp, err := http.Get(h.URL + "/other")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			h.Close()
			all, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			if got := all[0].Metric[0].GetCounter().GetValue(); got != tt.count {
				t.Errorf("%v panics are counted, want %v", got, tt.count)
			}
			if got := log.String(); !strings.Contains(got, tt.says) || strings.Contains(got, "stranger") || tt.count == 0 && got != "" {
				t.Errorf("the log says %q, want %q", got, tt.says)
			}
		})
	}
}
