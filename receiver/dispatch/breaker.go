package dispatch

import (
	"errors"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// Breaker is the state of a sink's circuit breaker, which keeps a sink that is
// down from using up the attempts of all that is queued for it.
type Breaker string

// The states.
const (
	// Closed means that attempts are made.
	Closed Breaker = statusz.BreakerClosed
	// Open means that none begins, and nothing is leased, for a while.
	Open Breaker = statusz.BreakerOpen
	// HalfOpen means that one attempt at a time is made, to find out.
	HalfOpen Breaker = statusz.BreakerHalfOpen
)

const (
	// breakerFailures is how many failures in a row open the breaker. Further ones of
	// the same delivery do not count, unless nothing of it reached the sink: they may
	// be the event's fault.
	breakerFailures = 10
	// breakerMaxWait bounds the wait between two probes.
	breakerMaxWait = 30 * time.Second
	// breakerMaxPause bounds how long a sink that asks for it is left alone.
	breakerMaxPause = time.Hour
	// breakerFirst is how many attempts may run at once after a probe succeeded. Each
	// that succeeds lets one more.
	breakerFirst = 2
)

// breaker is what a Runner knows of its sink's trouble. The Runner's lock guards
// it.
type breaker struct {
	state Breaker
	// era is one higher after each opening. An attempt that began in another era
	// says nothing about now.
	era int
	// until is when the breaker will be half open, and timer what makes it so.
	until time.Time
	timer *time.Timer
	// opened counts the openings since attempts last ran without limit.
	opened int
	// failures counts those in a row, and failed are the deliveries that did.
	failures int
	failed   []uint64
	// paused is the delivery whose answer last asked to leave the sink alone.
	paused uint64
	// limit is how many attempts may run at once while the sink recovers; 0 means
	// no limit of the breaker's.
	limit int
	// probing means that the one attempt of a half-open breaker is under way.
	probing bool
	// sweeping means that deliveries come that are too old for an attempt, so that
	// more than one may be leased although there is but one attempt.
	sweeping bool
}

// allowed returns how many workers may lease, of those that the settings allow.
func (b *breaker) allowed(concurrency int) int {
	switch {
	case b.state == Open:
		return 0
	case b.state == HalfOpen && !b.sweeping:
		return 1
	case b.limit > 0:
		return min(b.limit, concurrency)
	}
	return concurrency
}

// admit reports whether a leased delivery may be attempted, and whether that is a
// probe.
func (b *breaker) admit() (probe, ok bool) {
	if b.state != HalfOpen {
		return false, b.state == Closed
	}
	if b.probing {
		b.sweeping = false // what comes now is fit for attempts again
		return false, false
	}
	b.probing = true
	return true, true
}

// count enters a failure, and reports whether it is one too many.
func (b *breaker) count(sequence uint64, unsent bool) bool {
	if !unsent && slices.Contains(b.failed, sequence) {
		return false
	}
	b.failures++
	b.failed = append(b.failed, sequence)
	most := breakerFailures
	if b.limit > 0 {
		most = min(most, b.limit)
	}
	return b.failures >= most
}

// worked enters a success. It reports whether more attempts may run than before.
func (b *breaker) worked(concurrency int) bool {
	b.failures, b.failed = 0, b.failed[:0]
	switch {
	case b.state == HalfOpen:
		b.state, b.probing, b.sweeping, b.limit = Closed, false, false, breakerFirst
	case b.limit > 0:
		b.limit++
	default:
		return false
	}
	if b.limit >= concurrency {
		b.limit, b.opened = 0, 0
	}
	return true
}

// judge tells the breaker how an attempt ended, before its delivery is settled.
// Only failures that tell of the sink's own trouble count: an answer that an
// event is refused for good shows that the sink works.
func (r *Runner) judge(t ticket, d *queue.Delivery, err error) {
	failure, _ := errors.AsType[*sink.Error](err)
	if failure == nil {
		failure = &sink.Error{}
	}
	r.mu.Lock()
	opened := r.verdict(t, d.Sequence, err == nil || failure.Permanent, failure)
	r.mu.Unlock()
	if opened {
		r.journal.opened(bounded(err.Error()))
	}
}

// pause returns how long an answer asks to leave the sink alone. One delivery can
// make all others wait once only, if they have succeeded since: then it is the
// event that gets such answers, and not the sink that gives no others.
func (b *breaker) pause(sequence uint64, failure *sink.Error) time.Duration {
	if !failure.Busy || failure.RetryAfter <= 0 || b.state == Closed && b.paused == sequence {
		return 0
	}
	b.paused = sequence
	return min(failure.RetryAfter, breakerMaxPause)
}

// verdict is judge with the lock. It reports whether the breaker has opened for
// the first time since the sink worked.
func (r *Runner) verdict(t ticket, sequence uint64, works bool, failure *sink.Error) (opened bool) {
	b := &r.breaker
	if r.stopping || t.use != r.current {
		return false // the sink was replaced, or is about to be closed
	}
	if pause := b.pause(sequence, failure); pause > 0 {
		return r.open(pause)
	}
	switch {
	case t.era != b.era:
		return false
	case works:
		was := b.state
		if b.worked(r.delivery.Concurrency) {
			r.fill()
		}
		r.tell(was)
		return false
	case t.probe || b.count(sequence, failure.Unsent):
		return r.open(0)
	}
	return false
}

// open opens the breaker, or keeps it open, for at least a time. Whoever waits
// for a lease leaves. It reports whether it was closed, and had not been opened
// since attempts last ran without limit. The caller holds mu.
func (r *Runner) open(least time.Duration) bool {
	b, wait := &r.breaker, least
	was := b.state
	if was != Open {
		b.opened++
		s := r.delivery
		s.MaxBackoff.Duration = min(s.MaxBackoff.Duration, breakerMaxWait)
		wait = max(wait, r.backoff(s, b.opened-1))
	}
	until := r.now().Add(wait)
	if was == Open && !until.After(b.until) {
		return false
	}
	b.stop()
	era := b.era + 1
	*b = breaker{state: Open, era: era, until: until, opened: b.opened, paused: b.paused}
	b.timer = time.AfterFunc(wait, func() { r.halfOpen(era) })
	r.tell(was)
	r.renewLeases()
	return was == Closed && b.opened == 1
}

// halfOpen lets one attempt begin, unless the breaker was touched since.
func (r *Runner) halfOpen(era int) {
	r.change(func() {
		if b := &r.breaker; b.state == Open && b.era == era {
			b.state, b.until = HalfOpen, time.Time{}
			r.tell(Open)
		}
	})
}

// closeBreaker forgets all trouble: the sink is another now. The caller holds mu.
func (r *Runner) closeBreaker() {
	b := &r.breaker
	b.stop()
	was := b.state
	*b = breaker{state: Closed, era: b.era + 1}
	r.tell(was)
}

func (b *breaker) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// tell tells the observer of a change. The caller holds mu, so that the observer
// learns of changes in their order.
func (r *Runner) tell(was Breaker) {
	if r.breaker.state != was {
		r.observer.Breaker(r.name, r.breaker.state)
	}
}
