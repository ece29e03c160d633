package record

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Event is one event at one sink. The same id with another body is another Event.
type Event struct {
	Number int    `json:"number"` // from 0, in the order of first arrival
	Path   string `json:"path"`
	ID     string `json:"id"`
	Type   string `json:"type"`
	SHA256 string `json:"sha256"` // of the body, in hex
	// Arrivals counts how often it came and was answered with success.
	Arrivals int         `json:"arrivals"`
	First    time.Time   `json:"first"`
	Last     time.Time   `json:"last"`
	Body     []byte      `json:"body,omitempty"`
	Headers  http.Header `json:"headers,omitempty"` // of the first arrival
}

// Page is some of the events, in order. Next is the since of the next page; there
// is none after a page without events.
type Page struct {
	Events []Event `json:"events"`
	Next   int     `json:"next"`
	Total  int     `json:"total"`
}

// Counts says what became of all requests that brought events.
type Counts struct {
	Events   int   `json:"events"`
	Arrivals int   `json:"arrivals"` // answered with success
	Refused  int   `json:"refused"`  // not taken because of the mode
	Full     int   `json:"full"`     // not taken for want of room
	Bytes    int64 `json:"bytes"`    // of the bodies kept
}

// What a sink does with an event.
const (
	OK   = "ok"   // takes it
	Fail = "fail" // answers Status and does not take it
	Hang = "hang" // does not take it, nor answer until the client goes
	Slow = "slow" // waits for Delay, then takes it
)

// Mode is how the sink at a path answers; an empty path means all of them, and
// ends what was said of single ones.
type Mode struct {
	Path   string `json:"path,omitempty"`
	Mode   string `json:"mode"`
	Status int    `json:"status,omitempty"` // of Fail; 503 if it is 0
	Delay  string `json:"delay,omitempty"`  // of Slow, as in Go
}

// Limits bound what is kept.
type Limits struct {
	Events int
	Bytes  int64 // of bodies
	Body   int64 // of one
}

type key struct{ path, id, sha string }

// Recorder remembers events. It may be used by many at once.
type Recorder struct {
	limits Limits
	now    func() time.Time

	mu     sync.Mutex
	events []*Event
	index  map[key]*Event
	counts Counts
	modes  map[string]Mode
}

// New returns an empty Recorder that takes everything.
func New(limits Limits, now func() time.Time) *Recorder {
	return &Recorder{limits: limits, now: now, index: map[key]*Event{}, modes: map[string]Mode{}}
}

// take keeps an event and reports whether there was room.
func (r *Recorder) take(path string, h http.Header, body []byte) bool {
	sum := sha256.Sum256(body)
	k := key{path, h.Get("Ce-Id"), hex.EncodeToString(sum[:])}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.index[k]
	if e == nil {
		if len(r.events) >= r.limits.Events || r.counts.Bytes+int64(len(body)) > r.limits.Bytes {
			r.counts.Full++
			return false
		}
		e = &Event{Number: len(r.events), Path: path, ID: k.id, Type: h.Get("Ce-Type"), SHA256: k.sha, First: r.now(), Body: body, Headers: h.Clone()}
		r.index[k], r.events = e, append(r.events, e)
		r.counts.Events++
		r.counts.Bytes += int64(len(body))
	}
	e.Arrivals++
	e.Last = r.now()
	r.counts.Arrivals++
	return true
}

// refuse counts an event that was not taken because of the mode.
func (r *Recorder) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Refused++
}

// set changes how a path answers.
func (r *Recorder) set(m Mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Path == "" {
		clear(r.modes)
	}
	r.modes[m.Path] = m
}

// mode is how a path answers now.
func (r *Recorder) mode(path string) Mode {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok := r.modes[path]; ok {
		return m
	}
	if m, ok := r.modes[""]; ok {
		return m
	}
	return Mode{Mode: OK}
}

// forget starts anew; modes stay.
func (r *Recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.index)
	r.events, r.counts = nil, Counts{}
}

func (r *Recorder) count() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// page returns up to limit events from number since on.
func (r *Recorder) page(since, limit int, path string, brief bool) Page {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Page{Events: []Event{}, Next: since, Total: len(r.events)}
	for _, e := range r.events[min(since, len(r.events)):] {
		if len(p.Events) >= limit {
			break
		}
		p.Next = e.Number + 1
		if path != "" && e.Path != path {
			continue
		}
		one := *e
		if brief {
			one.Body, one.Headers = nil, nil
		}
		p.Events = append(p.Events, one)
	}
	p.Events = slices.Clip(p.Events)
	return p
}
