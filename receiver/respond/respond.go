package respond

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// Observer is told what becomes of requests. It is called from many goroutines
// at once and must be quick.
type Observer interface {
	// Responded is called once for each request that a responder was to answer.
	Responded(hook, responder string, o Outcome, took time.Duration)
	// ResponderFilterFailed is told of each event for which a responder's filter had
	// no value.
	ResponderFilterFailed(hook, responder string)
}

// Options is what responders are made with. All are needed, unless 0 or nil says
// something.
type Options struct {
	// Sink is what the client is made with, as a sink's.
	Sink     sink.Options
	Observer Observer
	// Logger is told when a responder begins to fail, and when it answers again.
	Logger *slog.Logger
	Now    func() time.Time
	// Pause is how long an open circuit breaker lets nothing through; 0 means 3 s.
	Pause time.Duration
	// Before is the responder of the same name that this one takes the place of: its
	// counts go on. nil means none.
	Before *Responder
}

// Responder asks one responder. It may be used by many goroutines at once.
type Responder struct {
	hook, name string
	denies     bool
	timeout    time.Duration
	client     *sink.Client // nil: pending
	pending    error
	slots      chan struct{} // as many as may be asked at once
	breaker    *breaker
	observer   Observer
	now        func() time.Time
	history    *history
	closed     atomic.Bool
}

// New returns the responder that cfg describes; its filter is not looked at. One
// that cannot be made, because a file is missing or a URL malformed, is pending:
// it answers nothing, and says why.
func New(cfg *config.Responder, o Options) *Responder {
	r := &Responder{
		hook: cfg.Hook, name: cfg.Name, denies: cfg.OnFailure == v1alpha1.FailureDeny, timeout: cfg.Timeout.Duration,
		slots: make(chan struct{}, cfg.Concurrency), breaker: newBreaker(o.Pause), observer: o.Observer, now: o.Now,
		history: &history{log: o.Logger.With("hook", cfg.Hook, "responder", cfg.Name)},
	}
	if o.Before != nil {
		r.history = o.Before.history
	}
	// A connection that takes longer to be made than anybody waits is of no use.
	r.client, r.pending = sink.NewClient(cfg.HTTP, sink.ClientOptions{Options: o.Sink, Concurrency: cfg.Concurrency, DialTimeout: cfg.Timeout.Duration})
	return r
}

// Denies reports whether the provider is answered the hook's deny where there is
// no answer, and not its allow.
func (r *Responder) Denies() bool { return r.denies }

// Timeout is how long Ask takes at most.
func (r *Responder) Timeout() time.Duration { return r.timeout }

// Ask posts an event with the query of its request, and returns the answer within
// the responder's timeout. An error is a *Failure. When ctx ends before, nobody
// waits for the answer any more, which is no failure of the responder's.
//
// The request may be made twice, with the same id, where a connection that was kept
// turns out to be closed. The event and its body must not be changed any more, not
// even when Ask has returned.
func (r *Responder) Ask(ctx context.Context, e *event.Event, query string) (*Answer, error) {
	start := r.now()
	a, err := r.ask(ctx, e, query)
	end := r.now()
	r.history.add(err, end)
	r.observer.Responded(r.hook, r.name, OutcomeOf(err), end.Sub(start))
	return a, err
}

func (r *Responder) ask(ctx context.Context, e *event.Event, query string) (a *Answer, err error) {
	if r.client == nil {
		return nil, &Failure{Outcome: Pending, Err: r.pending}
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		return nil, failureSaturated
	}
	done, open := r.breaker.allow()
	if open {
		return nil, failureOpen
	}
	err = errPanicked
	defer func() {
		done(err)
		if r.closed.Load() {
			r.client.Close()
		}
	}()
	a, err = r.post(ctx, e, query)
	return a, err
}

func (r *Responder) post(ctx context.Context, e *event.Event, query string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	resp, err := r.client.Post(ctx, e, sink.Post{Query: query})
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	defer resp.Body.Close()
	return read(ctx, resp)
}

// Close lets go of the connections: of those that are idle now, and of the others
// when the requests under way have their answers. Ask still works.
func (r *Responder) Close() {
	r.closed.Store(true)
	if r.client != nil {
		r.client.Close()
	}
}
