package admin

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// Source is what the telemetry pages show.
type Source struct {
	Gatherer prometheus.Gatherer
	Status   func() statusz.Page
	// Live returns an error when the process cannot work any more and should be
	// started anew.
	Live func() error
}

// NewHandler serves /healthz, /readyz, /metrics and /statusz, for GET and HEAD.
func NewHandler(s Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Live()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReady(w, s.Status()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /statusz", func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, s.Status()) })
	return mux
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // the prober is gone if this fails
}

func writeReady(w http.ResponseWriter, s statusz.Page) {
	var why []string
	for _, e := range s.Endpoints {
		if !e.Ready {
			why = append(why, e.Namespace+"/"+e.Name+": "+e.NotReady)
		}
	}
	if len(why) > 0 {
		http.Error(w, strings.Join(why, "\n"), http.StatusServiceUnavailable)
		return
	}
	answer(w, nil)
}

func writeStatus(w http.ResponseWriter, s statusz.Page) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(s) // the reader is gone if this fails
}
