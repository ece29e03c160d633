package probe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Outcome is how a request ended.
type Outcome string

// All but Answered are requests that got no answer: whether such an event was
// taken is not known to the provider.
const (
	Answered       Outcome = "answered"
	Refused        Outcome = "refused"         // the connection was
	Unreachable    Outcome = "unreachable"     // no route to the host
	ConnectTimeout Outcome = "connect-timeout" // nobody answered the connection
	Timeout        Outcome = "timeout"         // nobody answered the request
	Reset          Outcome = "reset"           // the connection was cut
	EOF            Outcome = "eof"             // the connection was ended before the answer
	Stale          Outcome = "stale"           // the other side ended a kept connection before a byte was sent
	Unsent         Outcome = "unsent"          // too many requests were waiting
	Other          Outcome = "other"
)

// Result is what became of one event.
type Result struct {
	Number   int     `json:"number"`
	ID       string  `json:"id"`     // stands in the body; Stream's header has it too
	SHA256   string  `json:"sha256"` // of the signed bytes
	Attempts int     `json:"attempts"`
	Outcome  Outcome `json:"outcome"` // of the last attempt
	Status   int     `json:"status,omitempty"`
	// Detail is the start of an answer that is no success, or an error.
	Detail string `json:"detail,omitempty"`
	// Reused says that the last connection had carried a request before, Wrote that
	// the request was sent to its end, and Local is the connection's own address.
	Reused   bool      `json:"reused"`
	Wrote    bool      `json:"wrote"`
	Local    string    `json:"local,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

// Success reports whether the provider takes the event for delivered.
func (r *Result) Success() bool {
	return r.Outcome == Answered && r.Status >= http.StatusOK && r.Status < http.StatusMultipleChoices
}

// outcomeOf names what went wrong with a request that got no answer.
func outcomeOf(err error, connected bool) Outcome {
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !connected, errors.Is(err, syscall.ETIMEDOUT) && !connected:
		return ConnectTimeout
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset
	case strings.Contains(err.Error(), "server closed idle connection"): // net/http gives it no other name
		return Stale
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EOF
	}
	return Other
}

// Summary is what became of all events.
type Summary struct {
	Provider string `json:"provider"`
	Sent     int    `json:"sent"`
	// Answered counts answers by status, Unanswered the rest by outcome.
	Answered   map[string]int  `json:"answered"`
	Unanswered map[Outcome]int `json:"unanswered"`
	Successes  int             `json:"successes"`
	Retried    int             `json:"retried"` // events that took more than one attempt
	Fresh      int             `json:"fresh"`   // events on a new connection
	P50        float64         `json:"p50Milliseconds"`
	P99        float64         `json:"p99Milliseconds"`
	Max        float64         `json:"maxMilliseconds"`
	Started    time.Time       `json:"started"`
	Finished   time.Time       `json:"finished"`
}

// add counts a result; took gathers how long answers took.
func (s *Summary) add(r *Result) {
	s.Sent++
	if r.Outcome == Answered {
		s.Answered[strconv.Itoa(r.Status)]++
	} else {
		s.Unanswered[r.Outcome]++
	}
	if r.Success() {
		s.Successes++
	}
	if r.Attempts > 1 {
		s.Retried++
	}
	if !r.Reused {
		s.Fresh++
	}
}

// times sets the percentiles.
func (s *Summary) times(took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	s.P50, s.P99, s.Max = at(0.5), at(0.99), at(1)
}
