// Package dispatch takes one sink's deliveries from the queue, makes attempts
// at them, and decides what becomes of each: delivered, tried again later, or
// dead. Every sink has a Runner of its own, so that one sink's trouble stays its
// own.
//
// A circuit breaker stands between the queue and the sink. While it is open,
// nothing is leased: a sink may be down for hours, and what is queued for it
// costs no memory and loses no attempt but for a probe now and then.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// Options is what a Runner is made with.
type Options struct {
	// Sink is the sink's name.
	Sink string
	// Consumer is the sink's side of the queue. No other Runner may lease from it.
	Consumer queue.Consumer
	// Logger gets the first failure of a sink, its recovery, and dead letters, at a
	// bounded rate. It gets no body, URL or header.
	Logger *slog.Logger
	// Observer is told of every attempt; nil means nobody.
	Observer Observer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand returns a number in [0, 1); nil means math/rand/v2. It is called from
	// many goroutines at once.
	Rand func() float64
}

// Runner makes the attempts at one sink. All its methods may be called from many
// goroutines at once. It begins with no sink: pending.
type Runner struct {
	name     string
	consumer queue.Consumer
	observer Observer
	now      func() time.Time
	rand     func() float64
	journal  *journal

	attempts context.Context    // parent of every attempt's context
	abort    context.CancelFunc // ends them all

	mu        sync.Mutex
	current   *inUse // nil: pending
	delivery  config.Delivery
	suspended bool
	stopping  bool
	running   bool               // Run was called
	workers   int                // goroutines in work
	lease     context.Context    // what waiting leases wait with; nil while none may
	endLease  context.CancelFunc // wakes all who wait for a lease
	finished  bool               // idle is closed, or about to be
	idle      chan struct{}      // closed when stopping and no worker is left
	health    health
	breaker   breaker
}

// inUse is a sink and the number of attempts that run with it.
type inUse struct {
	sink     sink.Sink
	attempts int
	retired  bool // closed with its last attempt
}

// New returns a Runner that does nothing until Run is called.
func New(o Options) *Runner {
	r := &Runner{
		name: o.Sink, consumer: o.Consumer, observer: o.Observer, now: o.Now, rand: o.Rand,
		idle: make(chan struct{}), breaker: breaker{state: Closed},
	}
	if r.observer == nil {
		r.observer = nobody{}
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.rand == nil {
		r.rand = rand.Float64
	}
	r.journal = newJournal(o.Logger, o.Sink, r.now)
	r.attempts, r.abort = context.WithCancel(context.Background())
	r.observer.Breaker(r.name, Closed)
	return r
}

// Run makes attempts until ctx ends or Stop is called, and returns when the last
// attempt has ended, each within its own timeout, and the sink is closed. It is
// called once.
func (r *Runner) Run(ctx context.Context) {
	r.change(func() { r.running = true })
	stop := context.AfterFunc(ctx, r.halt)
	defer stop()
	<-r.idle
}

// Stop makes no new attempt and waits for those under way. When ctx ends before
// them, they are called off and their deliveries given back as they were. When
// Stop returns, every delivery is settled and the sink is closed. Deliveries
// that were not leased stay queued.
func (r *Runner) Stop(ctx context.Context) {
	r.halt()
	stop := context.AfterFunc(ctx, r.abort)
	defer stop()
	<-r.idle
}

// Update gives the Runner a sink and its settings. Attempts that begin later use
// them; those under way go on with the sink that they began with, which is
// closed after the last of them. A nil sink means pending: deliveries wait. The
// circuit breaker closes: another sink deserves an attempt at once.
// The Runner owns the sink from now on and closes it.
func (r *Runner) Update(s sink.Sink, d config.Delivery) {
	var old *inUse
	r.change(func() {
		old, r.current, r.delivery = r.current, nil, d
		r.closeBreaker()
		if s != nil {
			r.current = &inUse{sink: s}
		}
	})
	r.retire(old)
}

// Suspend says whether new attempts wait. Those under way go on.
func (r *Runner) Suspend(suspended bool) {
	r.change(func() { r.suspended = suspended })
}

func (r *Runner) halt() {
	r.change(func() {
		r.stopping = true
		r.breaker.stop()
	})
}

// change alters what the workers depend on, wakes those who wait for a lease,
// and starts those that are missing. A worker that is one too many ends by
// itself, in next.
func (r *Runner) change(alter func()) {
	r.mu.Lock()
	alter()
	r.renewLeases()
	r.fill()
	done := r.stopping && r.workers == 0
	r.mu.Unlock()
	if done {
		r.finish()
	}
}

// renewLeases wakes those who wait for a lease. The caller holds mu.
func (r *Runner) renewLeases() {
	if r.endLease != nil {
		r.endLease()
	}
	r.lease, r.endLease = context.WithCancel(r.attempts)
}

// fill starts the workers that are missing. The caller holds mu.
func (r *Runner) fill() {
	for r.workers < r.wanted() {
		r.workers++
		go r.work()
	}
}

// wanted is how many workers there should be.
func (r *Runner) wanted() int {
	if !r.working() {
		return 0
	}
	return r.breaker.allowed(r.delivery.Concurrency)
}

// working reports whether there may be attempts, but for the breaker.
func (r *Runner) working() bool {
	return r.running && !r.stopping && !r.suspended && r.current != nil
}

// Stalled reports whether no attempt can begin now, however much is queued: there
// is no sink, deliveries are suspended, the circuit breaker is open, or the Runner
// does not run.
func (r *Runner) Stalled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted() == 0
}

// finish closes the sink and, the first time, lets Run and Stop return. A sink
// that comes after the end is closed here too.
func (r *Runner) finish() {
	r.mu.Lock()
	old, first := r.current, !r.finished
	r.current, r.finished = nil, true
	r.mu.Unlock()
	r.retire(old)
	if first {
		r.abort()
		r.observer.Breaker(r.name, "")
		close(r.idle)
	}
}

// work takes deliveries until there are more workers than wanted.
func (r *Runner) work() {
	for {
		ctx, ok := r.next()
		if !ok {
			return
		}
		d, err := r.consumer.Lease(ctx)
		switch {
		case err == nil:
			r.attempt(d)
		case errors.Is(err, queue.ErrClosed):
			r.halt()
		case ctx.Err() == nil:
			r.journal.leaseFailed(err)
			pause(ctx, leasePause)
		}
	}
}

// leasePause is how long a worker waits when the queue failed to give a lease.
const leasePause = time.Second

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// next returns what a worker waits for its next lease with, or false when the
// worker must end.
func (r *Runner) next() (context.Context, bool) {
	r.mu.Lock()
	if r.workers <= r.wanted() {
		defer r.mu.Unlock()
		return r.lease, true
	}
	r.workers--
	done := r.stopping && r.workers == 0
	r.mu.Unlock()
	if done {
		r.finish()
	}
	return nil, false
}

// ticket is what an attempt begins with.
type ticket struct {
	use      *inUse
	settings config.Delivery
	era      int  // of the breaker
	probe    bool // of the breaker, half open
}

// What may be done with a delivery that was leased.
type permission int

const (
	mayAttempt permission = iota // and end must be called
	mustWait
	isTooOld
)

// begin says what to do with a delivery. One that is too old needs no attempt, and
// so no sink that works.
func (r *Runner) begin(d *queue.Delivery, now time.Time) (ticket, permission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.working():
		return ticket{}, mustWait
	case now.Sub(d.Event.Since()) > r.delivery.MaxAge.Duration:
		r.breaker.sweeping = r.breaker.state == HalfOpen
		r.fill()
		return ticket{}, isTooOld
	}
	probe, ok := r.breaker.admit()
	if !ok {
		return ticket{}, mustWait
	}
	r.current.attempts++
	return ticket{r.current, r.delivery, r.breaker.era, probe}, mayAttempt
}

// end closes a sink that was replaced, after its last attempt.
func (r *Runner) end(u *inUse) {
	r.mu.Lock()
	u.attempts--
	last := u.retired && u.attempts == 0
	r.mu.Unlock()
	if last {
		r.close(u)
	}
}

// retire closes a sink that gets no new attempts, unless one is under way.
func (r *Runner) retire(u *inUse) {
	if u == nil {
		return
	}
	r.mu.Lock()
	u.retired = true
	unused := u.attempts == 0
	r.mu.Unlock()
	if unused {
		r.close(u)
	}
}

func (r *Runner) close(u *inUse) {
	if err := u.sink.Close(); err != nil {
		r.journal.closeFailed(err)
	}
}
