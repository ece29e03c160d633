package respond

import (
	"log/slog"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// history is what became of asking a responder since the process began, through
// all changes of its settings.
type history struct {
	log *slog.Logger

	mu          sync.Mutex
	asked       int64
	failed      int64
	lastSuccess time.Time
	// failing is whether the last answer failed, and is not one among many that did not;
	// lastError says why. Of failures that are only the breaker's the one before stays.
	failing   bool
	lastError string
	// inRow is how many answers in a row failed.
	inRow int
	// givenUp is how many answers in a row nobody waited for.
	givenUp int
	// told is when the log was last told, and toldFailing what.
	told        time.Time
	toldFailing bool
}

// tellEvery bounds how often a responder that works now and then fills the log. What
// is not told because of it is told with the next answer after that, if it is still
// so: the log must not end with what is no longer true.
const tellEvery = 10 * time.Second

// givenUpInRow is how many answers that nobody waits for, one after the other, are a
// failure.
const givenUpInRow = 10

// A failure means that the responder fails if it is the failedInRow-th in a row, or if
// there was no answer for quietFor: one that fails among hundreds a minute says little,
// and the only one in an hour says all.
const (
	failedInRow = 3
	quietFor    = time.Minute
)

func (h *history) add(err error, now time.Time) {
	h.mu.Lock()
	h.count(err, now)
	tell, failing, why := h.failing != h.toldFailing && now.Sub(h.told) >= tellEvery, h.failing, h.lastError
	if tell {
		h.told, h.toldFailing = now, failing
	}
	h.mu.Unlock()
	switch {
	case tell && failing:
		h.log.Warn("A responder fails; its hook is answered as onFailure says", "err", why)
	case tell:
		h.log.Info("A responder answers again")
	}
}

// count is called with mu held.
func (h *history) count(err error, now time.Time) {
	h.asked++
	switch o := OutcomeOf(err); o {
	case GivenUp:
		// One says nothing about the responder. When nobody waits for any answer, though,
		// it is too slow for its provider, and must not look as if all were well.
		if h.givenUp++; h.givenUp >= givenUpInRow {
			h.failing, h.lastError = true, err.Error()
		}
	case Answered:
		h.lastSuccess, h.failing, h.lastError, h.givenUp, h.inRow = now, false, "", 0, 0
	default:
		h.givenUp = 0
		h.failed++
		h.inRow++
		h.failing = h.failing || h.inRow >= failedInRow || now.Sub(h.lastSuccess) > quietFor
		if o != BreakerOpen || h.lastError == "" {
			h.lastError = err.Error()
		}
	}
}

// Status returns what holds for the responder now.
func (r *Responder) Status() statusz.Responder {
	s := statusz.Responder{Name: r.name, Hook: r.hook, State: statusz.SinkOK, Breaker: r.breaker.state()}
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	s.Asked, s.Failed, s.LastSuccess = r.history.asked, r.history.failed, statusz.When(r.history.lastSuccess)
	switch {
	case r.pending != nil:
		s.State, s.Reason = statusz.SinkPending, r.pending.Error()
	case r.history.failing:
		s.State, s.Reason = statusz.SinkFailing, r.history.lastError
		if s.Breaker != statusz.BreakerClosed {
			s.Reason = "circuit breaker is open; last error: " + s.Reason
		}
	}
	return s
}
