package v1

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// Store is what the API needs of a queue.
type Store interface {
	Stats() queue.Stats
	queue.DeadLetters
	queue.Events
	queue.Transfers
	queue.Quarantine
}

// Endpoint is one endpoint of the process. All fields are needed.
type Endpoint struct {
	Namespace, Name string
	Store           Store
	// Status returns what holds for the endpoint now.
	Status func() statusz.Endpoint
	// Source is the CloudEvents source of the endpoint's events.
	Source string
	// MaxBody returns the bound of a request's body, in bytes.
	MaxBody func() int64
	// Reverify and Shows are the intake handler's.
	Reverify func(*queue.Quarantined) (intake.Outcome, error)
	Shows    func(header string) bool
}

func (ep *Endpoint) key() string { return ep.Namespace + "/" + ep.Name }

// Options are what the API works with. All are needed.
type Options struct {
	Endpoints []Endpoint
	Logger    *slog.Logger
	Now       func() time.Time
}

// What one call may take. Whoever scans much gets a page with a cursor instead
// of a late answer.
const (
	maxCalls  = 4
	callTime  = 25 * time.Second
	readTime  = 15 * time.Second
	writeTime = 30 * time.Second
	// maxScan and scanTime bound the records that one call looks at, pageBytes the
	// bodies in one answer (one body may be larger).
	maxScan   = 10_000
	scanTime  = 5 * time.Second
	pageBytes = 1 << 20
)

type api struct {
	o     Options
	calls chan struct{}
}

// call is one request that passed the guards.
type call struct {
	*api
	ep *Endpoint
	// ctx ends when the call has had its time, the context of r with the client.
	ctx context.Context
	r   *http.Request
	w   http.ResponseWriter
	q   *query
}

// operation answers a call with something to be written as JSON, or an error.
type operation func(*call) (any, error)

// NewHandler returns a handler of all below /v1/.
func NewHandler(o Options) http.Handler {
	a := &api{o: o, calls: make(chan struct{}, maxCalls)}
	mux := http.NewServeMux()
	page := []string{"cursor", "limit"}
	a.get(mux, "/v1/queue", (*call).queue)
	a.get(mux, "/v1/deadletters", (*call).deadLetters, append(page, "sink", "type", "reason", "olderThan", "newerThan", "full")...)
	a.get(mux, "/v1/deadletters/{sink}/{sequence}", (*call).deadLetter)
	a.post(mux, "/v1/deadletters/replay", "application/json", (*call).replayDeadLetters)
	a.post(mux, "/v1/deadletters/drop", "application/json", (*call).dropDeadLetters)
	a.post(mux, "/v1/deadletters/import", linesType, (*call).importDeadLetters)
	a.get(mux, "/v1/events", (*call).events, append(page, "since", "until", "type", "sink", "hook", "after")...)
	a.post(mux, "/v1/replays", "application/json", (*call).replayEvents)
	a.get(mux, "/v1/quarantine", (*call).quarantine, page...)
	a.get(mux, "/v1/quarantine/{sequence}", (*call).quarantined)
	a.post(mux, "/v1/quarantine/reverify", "application/json", (*call).reverify)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		a.fail(w, problem(http.StatusNotFound, "nothing is served at this path; see receiver/admin/v1/README.md"))
	})
	return a.guarded(mux)
}

func (a *api) get(mux *http.ServeMux, path string, op operation, params ...string) {
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			a.wrongMethod(w, "GET, HEAD")
			return
		}
		a.serve(w, r, op, params)
	})
}

func (a *api) post(mux *http.ServeMux, path, contentType string, op operation) {
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			a.wrongMethod(w, "POST")
			return
		}
		if err := checkContentType(r, contentType); err != nil {
			a.fail(w, err)
			return
		}
		a.serve(w, r, op, nil)
	})
}

func (a *api) wrongMethod(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	a.fail(w, problem(http.StatusMethodNotAllowed, "use "+allowed+" here"))
}

// serve runs an operation within the bounds of a call.
func (a *api) serve(w http.ResponseWriter, r *http.Request, op operation, params []string) {
	select {
	case a.calls <- struct{}{}:
		defer func() { <-a.calls }()
	default:
		a.fail(w, busy("%d calls are being answered; try again in a second", maxCalls))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	c := &call{api: a, ctx: ctx, r: r, w: w}
	c.extend()
	answer, err := c.run(op, params)
	if err != nil {
		a.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (c *call) run(op operation, params []string) (any, error) {
	var err error
	if c.q, err = readQuery(c.r.URL.RawQuery, params); err != nil {
		return nil, err
	}
	if c.ep, err = c.pick(c.q.text("endpoint")); err != nil {
		return nil, err
	}
	return op(c)
}

// extend gives the call time to read and write from now on. The listener's own
// bounds may be too short for an import.
func (c *call) extend() {
	rc := http.NewResponseController(c.w)
	_ = rc.SetReadDeadline(time.Now().Add(readTime)) // a writer without deadlines has none to extend
	_ = rc.SetWriteDeadline(time.Now().Add(writeTime))
}

// fail answers with an error.
func (a *api) fail(w http.ResponseWriter, err error) {
	p := asProblem(err)
	if p.status == http.StatusInternalServerError {
		a.o.Logger.Error("A call of the admin API failed", "err", err)
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.body != nil {
		writeJSON(w, p.status, p.body)
		return
	}
	writeJSON(w, p.status, Error{Error: p.message, Endpoints: p.endpoints})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client is gone if this fails
}

// apiProblem is an error with the status that it is answered with.
type apiProblem struct {
	status     int
	message    string
	retryAfter int
	endpoints  []string
	body       any
}

func (p *apiProblem) Error() string { return p.message }

func problem(status int, message string) error {
	return &apiProblem{status: status, message: message}
}

// asProblem says how an error is answered.
func asProblem(err error) *apiProblem {
	var p *apiProblem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, queue.ErrNotFound):
		return &apiProblem{status: http.StatusNotFound, message: "it is not there, or not any more; list what is"}
	case errors.Is(err, queue.ErrUnknownSink):
		return &apiProblem{status: http.StatusConflict, message: "a sink of these is not listed (any more); put it back into spec.sinks, or leave it out"}
	case errors.Is(err, queue.ErrFull):
		return &apiProblem{status: http.StatusServiceUnavailable, retryAfter: 2,
			message: "the queue has no room for all of it: wait until sinks have taken some, ask for less at once, or raise spec.queue.capacity"}
	case errors.Is(err, queue.ErrNoSpace):
		return &apiProblem{status: http.StatusServiceUnavailable, retryAfter: 10, message: "the disk has too little free space: wait until finished events have gone, or make the volume larger"}
	case errors.Is(err, queue.ErrClosed):
		return &apiProblem{status: http.StatusServiceUnavailable, retryAfter: 5, message: "the receiver is stopping; ask another one, or this one after its start"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled): // a client must not try again by itself
		return &apiProblem{status: http.StatusGatewayTimeout, message: "it took too long and may have been done all the same; look before you try again"}
	}
	return &apiProblem{status: http.StatusInternalServerError, message: "it failed in the receiver; the receiver's log says why"}
}
