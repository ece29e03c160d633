package dispatch

import (
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// Phase is what a sink is doing.
type Phase string

// The phases. Where two hold, the first of this list is told.
const (
	Stopped   Phase = statusz.SinkStopped   // no new attempt is made any more
	Pending   Phase = statusz.SinkPending   // there is no sink: something that it needs is missing
	Suspended Phase = statusz.SinkSuspended // deliveries wait because somebody wants them to
	Failing   Phase = statusz.SinkFailing   // the last attempt failed
	OK        Phase = statusz.SinkOK
)

// State is a Runner at one moment. It holds no secret.
type State struct {
	Phase Phase
	// ConsecutiveFailures counts the attempts that failed since one succeeded.
	ConsecutiveFailures int64
	// LastError is what the last failure said, in at most 512 bytes, and
	// LastErrorAt when; they stay when the sink works again.
	LastError   string
	LastErrorAt time.Time
	// LastSuccess is when an attempt last succeeded; zero if none has.
	LastSuccess time.Time
	// Attempts is how many attempts are under way with the sink of now.
	Attempts int
	// Breaker is the state of the circuit breaker, and Until when an open one lets
	// the next attempt begin.
	Breaker Breaker
	Until   time.Time
}

// health is what the last attempts tell of a sink.
type health struct {
	failures    int64
	lastError   string
	lastErrorAt time.Time
	lastSuccess time.Time
}

// State returns what the Runner is doing.
func (r *Runner) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := State{
		Phase:               r.phase(),
		ConsecutiveFailures: r.health.failures,
		LastError:           r.health.lastError,
		LastErrorAt:         r.health.lastErrorAt,
		LastSuccess:         r.health.lastSuccess,
		Breaker:             r.breaker.state,
		Until:               r.breaker.until,
	}
	if r.current != nil {
		s.Attempts = r.current.attempts
	}
	return s
}

func (r *Runner) phase() Phase {
	switch {
	case r.stopping:
		return Stopped
	case r.current == nil:
		return Pending
	case r.suspended:
		return Suspended
	case r.health.failures > 0, r.breaker.state != Closed:
		return Failing
	}
	return OK
}

func (r *Runner) succeeded(now time.Time) {
	r.mu.Lock()
	failures := r.health.failures
	r.health.failures, r.health.lastSuccess = 0, now
	r.mu.Unlock()
	if failures > 0 {
		r.journal.recovered(failures)
	}
}

func (r *Runner) failed(id string, err error) {
	text := bounded(err.Error())
	r.mu.Lock()
	r.health.failures++
	first := r.health.failures == 1
	r.health.lastError, r.health.lastErrorAt = text, r.now()
	r.mu.Unlock()
	if first {
		r.journal.failed(id, text)
	}
}
