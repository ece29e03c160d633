package respond

import (
	"cmp"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// When the circuit breaker opens, and for how long.
const (
	// tripInRow failures in a row open it,
	tripInRow = 10
	// and half of the requests of tripWindow, if these are at least tripLeast.
	tripWindow = 10 * time.Second
	tripLeast  = 20
	// openFor is how long nothing is let through; then one request is.
	openFor = 3 * time.Second
)

// breaker is a circuit breaker: while it is open, nobody waits for a responder
// that does not work anyway.
type breaker struct {
	cb *gobreaker.TwoStepCircuitBreaker[struct{}]
}

func newBreaker(pause time.Duration) *breaker {
	return &breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Interval: tripWindow, BucketPeriod: tripWindow / 10, Timeout: cmp.Or(pause, openFor), MaxRequests: 1,
		ReadyToTrip:  trips,
		IsSuccessful: func(err error) bool { return !unwell(err) },
		IsExcluded:   func(err error) bool { return OutcomeOf(err) == GivenUp },
	})}
}

func trips(c gobreaker.Counts) bool {
	ended := c.TotalSuccesses + c.TotalFailures
	return c.ConsecutiveFailures >= tripInRow || ended >= tripLeast && 2*c.TotalFailures >= ended
}

func unwell(err error) bool {
	f, ok := errors.AsType[*Failure](err)
	return err != nil && (!ok || f.unwell)
}

// allow asks for leave to make a request. Where it is open there is none;
// otherwise done must be called with what became of the request.
func (b *breaker) allow() (done func(error), open bool) {
	done, err := b.cb.Allow()
	return done, err != nil
}

// state is one of statusz.BreakerClosed and its neighbours.
func (b *breaker) state() string {
	switch b.cb.State() {
	case gobreaker.StateOpen:
		return statusz.BreakerOpen
	case gobreaker.StateHalfOpen:
		return statusz.BreakerHalfOpen
	}
	return statusz.BreakerClosed
}
