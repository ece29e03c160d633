package dispatch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// Outcomes of attempts.
const (
	Delivered = "delivered" // the sink has taken the event
	Retried   = "retried"   // the attempt failed; there will be another
	Died      = "dead"      // the delivery is a dead letter
	Released  = "released"  // the attempt was called off and does not count
)

// Classes of reasons why a delivery is dead.
const (
	ReasonPermanent = "permanent" // no further attempt could succeed
	ReasonAttempts  = "attempts"  // maxAttempts were made
	ReasonAge       = "age"       // the event is older than maxAge, or would be
)

// Observer is told what becomes of attempts and deliveries. It is called from
// many goroutines at once and must not block.
type Observer interface {
	// Attempt is told of each attempt's outcome and of how long it took. A delivery
	// that was too old to be attempted is not an attempt.
	Attempt(sink, outcome string, took time.Duration)
	// Delivered is told how long after it was received an event was delivered.
	Delivered(sink string, sinceReceived time.Duration)
	// Dead is told of each dead letter.
	Dead(sink, reasonClass string)
}

type nobody struct{}

func (nobody) Attempt(string, string, time.Duration) {}
func (nobody) Delivered(string, time.Duration)       {}
func (nobody) Dead(string, string)                   {}

// attempt makes one attempt at a leased delivery and settles it.
func (r *Runner) attempt(d *queue.Delivery) {
	use, settings, ok := r.begin()
	if !ok {
		r.consumer.Release(d)
		return
	}
	defer r.end(use)
	start := r.now()
	if age := start.Sub(d.Event.ReceivedAt); age > settings.MaxAge.Duration {
		r.die(d, ReasonAge, "event is older than maxAge", nil)
		return
	}
	err := r.try(use.sink, d.Event, settings.Timeout.Duration)
	outcome := r.settle(d, settings, err)
	r.observer.Attempt(r.name, outcome, r.now().Sub(start))
}

// try calls the sink within the timeout. A panic is a failure like any other of
// this attempt, but for its stack in the log: one sink's defect must not end the
// process that the others live in.
func (r *Runner) try(s sink.Sink, e *event.Event, timeout time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(r.attempts, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
			r.journal.panicked(e.ID, err, debug.Stack())
		}
	}()
	return s.Deliver(ctx, e)
}

// panicked makes an error of a panic. Only the runtime's own say what happened:
// any other value may hold what must not be told.
func panicked(p any) error {
	if e, ok := p.(runtime.Error); ok {
		return fmt.Errorf("sink panicked: %w", e)
	}
	return fmt.Errorf("sink panicked with a %T", p)
}

// settle says what becomes of a delivery after an attempt, and returns the
// attempt's outcome.
func (r *Runner) settle(d *queue.Delivery, settings config.Delivery, err error) string {
	if err == nil {
		r.consumer.Ack(d)
		now := r.now()
		r.succeeded(now)
		r.observer.Delivered(r.name, now.Sub(d.Event.ReceivedAt))
		return Delivered
	}
	if r.attempts.Err() != nil { // called off by Stop: nobody knows how it would have ended
		r.consumer.Release(d)
		return Released
	}
	r.failed(d.Event.ID, err)
	reason, answer, wait := details(err)
	now := r.now()
	until := now.Add(max(wait, r.backoff(settings, d.Attempts)))
	switch {
	case sink.IsPermanent(err):
		return r.die(d, ReasonPermanent, reason, answer)
	case d.Attempts+1 >= settings.MaxAttempts:
		return r.die(d, ReasonAttempts, fmt.Sprintf("%d attempts failed; the last: %s", d.Attempts+1, reason), answer)
	case until.Sub(d.Event.ReceivedAt) > settings.MaxAge.Duration:
		return r.die(d, ReasonAge, "next attempt would come after maxAge; the last: "+reason, answer)
	}
	r.consumer.Nack(d, until, reason)
	return Retried
}

// die makes a delivery a dead letter.
func (r *Runner) die(d *queue.Delivery, class, reason string, answer []byte) string {
	r.consumer.DeadLetter(d, bounded(reason), answer)
	r.observer.Dead(r.name, class)
	r.journal.dead(d.Event.ID, class, bounded(reason))
	return Died
}

// backoff returns how long to wait after an attempt that attempts others came
// before: at random, above 0 and up to a bound that doubles each time.
func (r *Runner) backoff(settings config.Delivery, attempts int) time.Duration {
	bound, most := settings.MinBackoff.Duration, settings.MaxBackoff.Duration
	for ; attempts > 0 && bound < most; attempts-- {
		if bound > most/2 {
			bound = most
		} else {
			bound *= 2
		}
	}
	bound = min(bound, most)
	return max(1, time.Duration(float64(bound)*(1-r.rand())))
}

// details returns an error's text within its bound, the sink's answer, and how
// long the sink asks to be left alone.
func details(err error) (reason string, answer []byte, wait time.Duration) {
	if e, ok := errors.AsType[*sink.Error](err); ok {
		answer, wait = e.Answer, e.RetryAfter
	}
	return bounded(err.Error()), answer, wait
}

// maxReason bounds a reason's bytes, as the queue does.
const maxReason = 512

func bounded(s string) string {
	if len(s) <= maxReason {
		return s
	}
	end := maxReason
	for end > 0 && s[end]&0xc0 == 0x80 { // not within a character
		end--
	}
	return s[:end]
}
