// Package sink makes one attempt at delivering an event to another system. It
// knows nothing of queues, retries or attempts: package dispatch does.
package sink

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

// Sink delivers events to one system. Deliver may run in many goroutines at
// once.
type Sink interface {
	// Deliver makes one attempt and returns nil when the other system has taken the
	// event. attempt is its number among the attempts at this delivery, from 1: it
	// changes nothing but what the other system is told. An error is retried by the
	// caller unless it is Permanent. No error holds a secret, a URL, a header's value
	// or a body of ours.
	Deliver(ctx context.Context, e *event.Event, attempt int) error

	// Close frees what the sink holds, when no Deliver runs any more.
	Close() error
}

// Error is an attempt's failure with what the dispatcher needs to know.
type Error struct {
	// Err is the cause.
	Err error
	// Permanent means that another attempt would fail in the same way.
	Permanent bool
	// Unsent means that no connection to the other system came about. It has seen
	// nothing of the event, and any other event would have fared the same.
	Unsent bool
	// Busy means that the other system takes nothing at present, whatever it is sent.
	Busy bool
	// RetryAfter is how long the other system asks to be left alone; 0 if it does
	// not say.
	RetryAfter time.Duration
	// Answer is the beginning of the other system's answer, at most 2048 bytes.
	Answer []byte
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent marks an error as one that no further attempt can mend.
func Permanent(err error) error { return &Error{Err: err, Permanent: true} }

// IsPermanent reports whether err was marked by Permanent.
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Permanent
}
