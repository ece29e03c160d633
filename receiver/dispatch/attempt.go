package dispatch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// Outcomes of attempts.
const (
	Delivered = "delivered" // the sink has taken the event
	Retried   = "retried"   // the attempt failed; there will be another
	Died      = "dead"      // the delivery is a dead letter
	Released  = "released"  // the attempt does not count: it was called off, or probed a sink that could not be reached
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
	// Breaker is told of the circuit breaker's state in the beginning and whenever it
	// has changed, in order; "" means that the Runner has ended. It must not call the
	// Runner.
	Breaker(sink string, state Breaker)
}

type nobody struct{}

func (nobody) Attempt(string, string, time.Duration) {}
func (nobody) Delivered(string, time.Duration)       {}
func (nobody) Dead(string, string)                   {}
func (nobody) Breaker(string, Breaker)               {}

// attempt makes one attempt at a leased delivery and settles it.
func (r *Runner) attempt(d *queue.Delivery) {
	start := r.now()
	t, permission := r.begin(d, start)
	switch permission {
	case mustWait:
		r.consumer.Release(d)
	case isTooOld:
		r.die(d, ReasonAge, "event is older than maxAge", nil)
	case mayAttempt:
		defer r.end(t.use)
		err := r.try(t.use.sink, d, t.settings.Timeout.Duration)
		outcome := r.settle(d, t, err)
		r.observer.Attempt(r.name, outcome, r.now().Sub(start))
	}
}

// try calls the sink within the timeout. A panic is a failure like any other of
// this attempt, but for its stack in the log: one sink's defect must not end the
// process that the others live in.
func (r *Runner) try(s sink.Sink, d *queue.Delivery, timeout time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(r.attempts, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
			r.journal.panicked(d.Event.ID, err, debug.Stack())
		}
	}()
	return s.Deliver(ctx, d.Event, d.Attempts+1)
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
func (r *Runner) settle(d *queue.Delivery, t ticket, err error) string {
	if err != nil && r.attempts.Err() != nil { // called off by Stop: nobody knows how it would have ended
		r.consumer.Release(d)
		return Released
	}
	if err == nil {
		r.consumer.Ack(d)
		now := r.now()
		r.succeeded(now)
		r.judge(t, d, nil)
		r.observer.Delivered(r.name, now.Sub(d.Event.Since()))
		return Delivered
	}
	r.failed(d.Event.ID, err)
	r.judge(t, d, err)
	return r.settleFailed(d, t, err)
}

// settleFailed says what becomes of a delivery after an attempt that failed. A
// probe that could not be sent says nothing about the event: the delivery keeps
// its place and its attempts, however long the sink is away.
func (r *Runner) settleFailed(d *queue.Delivery, t ticket, err error) string {
	if e, ok := errors.AsType[*sink.Error](err); ok && t.probe && e.Unsent && !e.Permanent {
		r.consumer.Release(d)
		return Released
	}
	settings := t.settings
	reason, answer, wait := details(err)
	now := r.now()
	until := now.Add(wait + r.backoff(settings, d.Attempts)) // not all at the moment when a sink's pause ends
	switch {
	case sink.IsPermanent(err):
		return r.die(d, ReasonPermanent, reason, answer)
	case d.Attempts+1 >= settings.MaxAttempts:
		return r.die(d, ReasonAttempts, fmt.Sprintf("%d attempts failed; the last: %s", d.Attempts+1, reason), answer)
	case until.Sub(d.Event.Since()) > settings.MaxAge.Duration:
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
