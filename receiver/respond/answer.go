package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// MaxBody bounds an answer's body, in bytes.
const MaxBody = 256 << 10

// maxDrain is how much of a refusal's body is read so that its connection can be
// used again.
const maxDrain = 16 << 10

// Answer is what a responder answered: a status of 2xx and a body that is valid
// JSON, or empty.
type Answer struct {
	Status int
	// ContentType is empty if the responder named none.
	ContentType string
	Body        []byte
}

// Outcome is what became of asking a responder, as it stands in metrics.
type Outcome string

// The outcomes.
const (
	Answered    Outcome = "answered"
	Timeout     Outcome = "timeout"      // no whole answer in time
	Unreachable Outcome = "unreachable"  // no connection, or it broke
	Status      Outcome = "status"       // a status other than 2xx
	Oversize    Outcome = "oversize"     // more than MaxBody
	Invalid     Outcome = "invalid"      // a body that is not JSON
	Saturated   Outcome = "saturated"    // it is being asked as often at once as it may be
	BreakerOpen Outcome = "breaker_open" // it failed so often that it is left alone for a while
	Pending     Outcome = "pending"      // something that it needs is missing
	GivenUp     Outcome = "given_up"     // who asked did not wait for the answer
)

// Outcomes lists all outcomes.
func Outcomes() []Outcome {
	return []Outcome{Answered, Timeout, Unreachable, Status, Oversize, Invalid, Saturated, BreakerOpen, Pending, GivenUp}
}

// Failure says why there is no answer. It holds no secret, no URL and no body.
type Failure struct {
	Outcome Outcome
	Err     error
	// unwell means that the next request would fare no better: it counts for the
	// circuit breaker. Else the responder works, whatever it made of this request.
	unwell bool
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// OutcomeOf returns the outcome that an error of Ask stands for.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Answered
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Outcome
	}
	return Unreachable
}

var (
	failureSaturated = &Failure{Outcome: Saturated, Err: errors.New("as many requests wait for the responder as may at once")}
	failureOpen      = &Failure{Outcome: BreakerOpen, Err: errors.New("circuit breaker is open")}
	failureTimeout   = &Failure{Outcome: Timeout, Err: errors.New("responder did not answer in time"), unwell: true}
	failureGivenUp   = &Failure{Outcome: GivenUp, Err: errors.New("provider did not wait for the answer")}
	failureOversize  = &Failure{Outcome: Oversize, Err: fmt.Errorf("responder answered with more than %d bytes", MaxBody)}
	failureInvalid   = &Failure{Outcome: Invalid, Err: errors.New("responder answered with a body that is not JSON")}
	errPanicked      = errors.New("asking ended in a panic")
)

// interrupted says why there is no answer, or only a part of one.
func interrupted(ctx context.Context, err error) error {
	switch ctx.Err() {
	case context.DeadlineExceeded:
		return failureTimeout
	case context.Canceled:
		return failureGivenUp
	}
	return &Failure{Outcome: Unreachable, Err: err, unwell: true}
}

// read reads an answer. Of a body that is refused, only a little is read.
func read(ctx context.Context, resp *http.Response) (*Answer, error) {
	code := resp.StatusCode
	if code/100 != 2 {
		// Nobody waits for a body of unknown length; of 101 it is the connection itself.
		if code >= 200 && resp.ContentLength >= 0 && resp.ContentLength <= maxDrain {
			_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // an error closes the connection, which is all there is to do
		}
		return nil, &Failure{Outcome: Status, Err: fmt.Errorf("responder answered %d", code), unwell: passing(code)}
	}
	body, err := readBody(resp)
	switch {
	case errors.Is(err, failureOversize):
		return nil, failureOversize
	case err != nil:
		return nil, interrupted(ctx, errBroke)
	case len(body) > 0 && !json.Valid(body):
		return nil, failureInvalid
	}
	return &Answer{Status: code, ContentType: resp.Header.Get("Content-Type"), Body: body}, nil
}

var errBroke = errors.New("connection ended within the answer")

// passing reports whether a status speaks of the responder's state, and not of the
// request.
func passing(code int) bool {
	return code/100 == 5 || code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests
}

func readBody(resp *http.Response) ([]byte, error) {
	switch n := resp.ContentLength; {
	case n > MaxBody:
		return nil, failureOversize
	case n >= 0:
		body := make([]byte, n)
		_, err := io.ReadFull(resp.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if len(body) > MaxBody {
		return nil, failureOversize
	}
	return body, err
}
