package handoff

import (
	"errors"
	"net/http"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// Reason says why a sister refused. The reasons are labels of metrics.
type Reason string

// The reasons. The first group means that somebody who is no sister has tried, or
// that something is wrong with one; the second that another sister may do; the
// third that the same one may take something else.
const (
	Malformed Reason = "malformed" // the request cannot be read
	Unproven  Reason = "unproven"  // no or a wrong proof, or no such session (any more)
	Stale     Reason = "stale"     // the time is more than 5 minutes off
	Repeated  Reason = "repeated"  // a nonce that was used before
	Foreign   Reason = "foreign"   // it is meant for another endpoint
	Disorder  Reason = "disorder"  // not the batch that is next

	Draining Reason = "draining" // it goes itself
	NotReady Reason = "not-ready"
	Busy     Reason = "busy"   // too many sessions
	Failed   Reason = "failed" // its queue could not store it

	Full        Reason = "full"         // its queue has no room, or its disk
	TooLarge    Reason = "too-large"    // the batch is over the limit
	UnknownSink Reason = "unknown-sink" // a sink is not listed there (yet, or any more)
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{Malformed, Unproven, Stale, Repeated, Foreign, Disorder, Draining, NotReady, Busy, Failed, Full, TooLarge, UnknownSink}
}

func (r Reason) status() int {
	switch r {
	case Malformed:
		return http.StatusBadRequest
	case Unproven, Stale, Repeated:
		return http.StatusUnauthorized
	case Foreign:
		return http.StatusForbidden
	case Disorder:
		return http.StatusConflict
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case UnknownSink:
		return http.StatusUnprocessableEntity
	case Failed:
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

// reasonOf tells what became of a batch that was not stored.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrNoSpace):
		return Full
	case errors.Is(err, queue.ErrUnknownSink):
		return UnknownSink
	case errors.Is(err, queue.ErrClosed):
		return Draining
	}
	return Failed
}

// refusal is the answer of a sister that does not take what it is offered.
type refusal struct {
	Reason Reason `json:"reason"`
}

func (r refusal) Error() string { return "the sister refuses: " + string(r.Reason) }

// refused reports whether err is a refusal for this reason.
func refused(err error, reason Reason) bool {
	var r refusal
	return errors.As(err, &r) && r.Reason == reason
}
