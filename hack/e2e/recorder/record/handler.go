package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// pageEvents is how many events a page has.
	pageEvents = 1000
	// maxOrder bounds what POST /mode reads.
	maxOrder = 4 << 10
)

// Handler serves what the package comment lists.
func (r *Recorder) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) { answer(w, r.count()) })
	mux.HandleFunc("GET /events", r.list)
	mux.HandleFunc("DELETE /events", func(w http.ResponseWriter, _ *http.Request) { r.forget(); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /mode", r.order)
	mux.HandleFunc("POST /", r.receive)
	return mux
}

// receive takes an event, or does with it what the mode says.
func (r *Recorder) receive(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.limits.Body))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusRequestEntityTooLarge)
		return
	}
	switch m := r.mode(req.URL.Path); m.Mode {
	case Fail:
		r.refuse()
		w.WriteHeader(m.Status)
		return
	case Hang:
		r.refuse()
		<-req.Context().Done()
		return
	case Slow:
		if !wait(req, m) {
			r.refuse()
			return
		}
	}
	if !r.take(req.URL.Path, req.Header, body) {
		w.WriteHeader(http.StatusInsufficientStorage)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// wait reports whether the client is still there after the mode's delay.
func wait(req *http.Request, m Mode) bool {
	d, err := time.ParseDuration(m.Delay)
	if err != nil {
		return true // order lets none in that cannot be read
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-req.Context().Done():
		return false
	}
}

var errMode = errors.New("mode is one of ok, fail, hang, slow; status one of 200 to 599")

// order changes the mode of a path, or of all.
func (r *Recorder) order(w http.ResponseWriter, req *http.Request) {
	m, err := readMode(http.MaxBytesReader(w, req.Body, maxOrder))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.set(m)
	w.WriteHeader(http.StatusNoContent)
}

func readMode(from io.Reader) (Mode, error) {
	var m Mode
	d := json.NewDecoder(from)
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("reading mode: %w", err)
	}
	if m.Status == 0 {
		m.Status = http.StatusServiceUnavailable
	}
	known := m.Mode == OK || m.Mode == Fail || m.Mode == Hang || m.Mode == Slow
	if !known || m.Status < 200 || m.Status > 599 {
		return m, errMode
	}
	if m.Mode == Slow {
		if _, err := time.ParseDuration(m.Delay); err != nil {
			return m, fmt.Errorf("reading delay: %w", err)
		}
	}
	return m, nil
}

func (r *Recorder) list(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	since := 0
	if s := q.Get("since"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			http.Error(w, "since is a number from 0 on", http.StatusBadRequest)
			return
		}
		since = n
	}
	answer(w, r.page(since, pageEvents, q.Get("path"), q.Get("brief") != ""))
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// The only thing that can go wrong is that nobody listens any more.
	_ = json.NewEncoder(w).Encode(v)
}
