package embedded

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

var _ queue.Consumer = (*sink)(nil)

// Bounds of what is kept with a delivery that failed.
const (
	maxReason = 512
	maxAnswer = 2048
)

// lease is a delivery with its event, made in one piece.
type lease struct {
	delivery queue.Delivery
	event    event.Event
}

// Lease waits for a delivery that is due and takes it.
func (s *sink) Lease(ctx context.Context) (*queue.Delivery, error) {
	for {
		if ctx.Err() != nil {
			s.leaveLine(nil) // it may have been woken just now
			return nil, context.Cause(ctx)
		}
		l, raw, wait, err := s.claim()
		switch {
		case err != nil:
			return nil, err
		case l != nil:
			if err := s.load(l, raw); err != nil {
				s.unloadable(&l.delivery, err)
				continue
			}
			return &l.delivery, nil
		case wait == nil:
			if err := s.readAhead(); err != nil {
				s.pauseReading(ctx, err)
			}
			continue
		}
		select {
		case <-wait:
		case <-ctx.Done():
			s.leaveLine(wait)
			return nil, context.Cause(ctx)
		}
	}
}

// readPause is how long to wait when the disk cannot be read.
const readPause = time.Second

// pauseReading waits before the log is read again.
func (s *sink) pauseReading(ctx context.Context, err error) {
	if s.isClosed() {
		return
	}
	s.q.opts.Logger.Error("The log cannot be read; deliveries wait", "sink", s.name, "error", err)
	t := time.NewTimer(readPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.q.stopped:
	case <-ctx.Done():
	}
}

// claim takes a delivery, with its record if that is at hand, or gets in line, or
// returns nothing at all when the log must be read first.
func (s *sink) claim() (l *lease, raw []byte, wait chan struct{}, err error) {
	now := s.q.elapsed()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, nil, nil, queue.ErrClosed
	case !s.active:
		return nil, nil, nil, fmt.Errorf("leasing for %q: %w", s.name, queue.ErrUnknownSink)
	}
	it := s.pick(now)
	if it != nil {
		l = &lease{delivery: queue.Delivery{Sequence: it.seq, Attempts: it.attempts}}
		l.delivery.Event = &l.event
		raw, it.raw, it.held = it.raw, nil, &l.delivery
		s.leased.add(it.size)
		if it.failed {
			s.leasedRetries++
		}
		s.passOn(now)
		return l, raw, nil, nil
	}
	if s.hasUnread() {
		return nil, nil, nil, nil
	}
	wait = make(chan struct{})
	s.waiters = append(s.waiters, wait)
	s.armTimer(now)
	return nil, nil, wait, nil
}

// pick takes the next delivery off its line: a retry that is due, or the first of
// those that have not failed yet, what was given back before what was never
// leased. It returns nil if there is none, or if the next must be read from the
// log first. The caller holds mu.
func (s *sink) pick(now int64) *item {
	if s.retryDue(now) && !(s.freshTurn() && s.hasFresh()) {
		s.freshNext = true
		return heap.Pop(&s.due).(*item)
	}
	s.freshNext = false
	if len(s.returned) > 0 {
		it := s.returned[0]
		s.returned = slices.Delete(s.returned, 0, 1)
		return it
	}
	for len(s.ready) > 0 && s.mayStart() {
		it := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		if s.enterLane(it) {
			s.holes[it.seq] = it
			return it
		}
	}
	return nil
}

func (s *sink) retryDue(now int64) bool { return len(s.due) > 0 && s.due[0].due <= now }

// hasFresh reports whether there are deliveries that have not failed and can be
// leased now. The caller holds mu.
func (s *sink) hasFresh() bool {
	return len(s.returned) > 0 || len(s.ready) > 0 && s.mayStart() || s.hasUnread()
}

// freshTurn reports whether deliveries that have not failed come before retries
// that are due. Retries may hold half of the leases: ones that fail slowly must not
// keep all of the sink's workers from what would succeed. The caller holds mu.
func (s *sink) freshTurn() bool {
	switch fresh := s.leased.n - s.leasedRetries; {
	case s.leasedRetries > fresh:
		return true
	case s.leasedRetries < fresh:
		return false
	}
	return s.freshNext
}

// mayStart reports whether deliveries that were never leased may be. The caller
// holds mu.
func (s *sink) mayStart() bool { return len(s.retries) < s.q.opts.MaxRetries }

// hasUnread reports whether the log holds deliveries that can be read now. The
// caller holds mu.
func (s *sink) hasUnread() bool {
	return s.mayStart() && len(s.ready) == 0 && s.fresh.n > 0 && s.read <= s.q.synced.Load()
}

// passOn wakes another one in line if there is more to lease. The caller holds mu.
func (s *sink) passOn(now int64) {
	if len(s.waiters) == 0 {
		return
	}
	if s.retryDue(now) || s.hasFresh() {
		s.signal(1)
		return
	}
	s.armTimer(now)
}

// armTimer has one of those in line woken when the next retry is due. The caller
// holds mu.
func (s *sink) armTimer(now int64) {
	if len(s.due) == 0 || s.closed {
		return
	}
	wait := max(time.Duration(s.due[0].due-now), 0)
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.wakeForRetry)
		return
	}
	s.timer.Reset(wait)
}

func (s *sink) wakeForRetry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(min(1, len(s.waiters)))
}

// leaveLine is for one who waits no longer. If it was woken meanwhile, another
// one is in its stead.
func (s *sink) leaveLine(wait chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiters, wait); i >= 0 {
		s.waiters = slices.Delete(s.waiters, i, i+1)
		return
	}
	s.signal(min(1, len(s.waiters)))
}

// load reads and decodes the event of a delivery.
func (s *sink) load(l *lease, raw []byte) error {
	if raw == nil {
		err := s.q.read(func() (err error) {
			raw, err = s.q.get(appendEventKey(nil, l.delivery.Sequence))
			return err
		})
		if err != nil {
			return fmt.Errorf("reading the event: %w", err)
		}
	}
	if raw == nil {
		return fmt.Errorf("reading the event: it is gone: %w", errRecord)
	}
	return decodeRecordInto(&l.event, raw)
}

// take returns the item of a delivery that is leased, or nil. The caller holds mu.
func (s *sink) take(d *queue.Delivery) *item {
	it := s.begun(d.Sequence)
	if it == nil || it.held != d || s.closed {
		return nil
	}
	it.held = nil
	s.leased.minus(tally{1, it.size})
	if it.failed {
		s.leasedRetries--
	}
	return it
}

// push gives the committer something to write. The caller holds mu.
func (s *sink) push(o op) {
	s.ops = append(s.ops, o)
	s.touch()
}

// touch has the state written soon. The caller holds mu.
func (s *sink) touch() {
	s.dirty = true
	s.q.flushLater()
}

// Ack ends a leased delivery as delivered.
func (s *sink) Ack(d *queue.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.take(d)
	if it == nil {
		return
	}
	s.end(it, &s.ledger.delivered)
	if it.failed || s.lanes != nil {
		s.passOn(s.q.elapsed())
	}
}

// Nack gives a leased delivery back, to be leased again at until or soon after.
func (s *sink) Nack(d *queue.Delivery, until time.Time, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.take(d)
	if it == nil {
		return
	}
	delete(s.holes, it.seq)
	it.attempts++
	s.addRetry(it, s.q.until(until), reason)
	if !s.yield(it) {
		heap.Push(&s.due, it)
	}
	s.passOn(s.q.elapsed())
}

// Release gives a leased delivery back as it was.
func (s *sink) Release(d *queue.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.take(d)
	if it == nil {
		return
	}
	switch {
	case s.yield(it):
	case it.failed:
		heap.Push(&s.due, it)
	default:
		i, _ := slices.BinarySearchFunc(s.returned, it.seq, bySequence)
		s.returned = slices.Insert(s.returned, i, it)
	}
	s.passOn(s.q.elapsed())
}

// DeadLetter ends a leased delivery as dead. It returns when the dead letter can
// be listed.
func (s *sink) DeadLetter(d *queue.Delivery, reason string, answer []byte) {
	if written := s.kill(d, reason, answer); written != nil {
		s.q.flushNow()
		<-written
	}
}

// kill ends a leased delivery as dead, and returns what is closed when that is
// written; nil if it is not leased.
func (s *sink) kill(d *queue.Delivery, reason string, answer []byte) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.take(d)
	if it == nil {
		return nil
	}
	it.ended = true
	s.ledger.dead.add(it.size)
	s.q.queued.Add(-it.size)
	s.leaveLane(it)
	s.push(op{
		kind: opDead, failed: it.failed, seq: it.seq, attempts: it.attempts, due: s.q.now(),
		reason: clip(reason, maxReason), answer: slices.Clone(answer[:min(len(answer), maxAnswer)]),
	})
	s.passOn(s.q.elapsed())
	written := make(chan struct{})
	s.settling = append(s.settling, written)
	return written
}

// unloadable ends a delivery whose event is damaged, and puts off one that could
// not be read for another reason.
func (s *sink) unloadable(d *queue.Delivery, err error) {
	switch {
	case s.isClosed():
		return
	case !errors.Is(err, errRecord) && !pebble.IsCorruptionError(err):
		s.q.opts.Logger.Error("A stored event cannot be read; it is tried again", "sink", s.name, "sequence", d.Sequence, "error", err)
		s.Nack(d, s.q.opts.Now().Add(readPause), "stored event cannot be read: "+err.Error())
		return
	}
	s.q.unreadable.Add(1)
	s.q.opts.Logger.Error("A stored event is damaged; it becomes a dead letter", "sink", s.name, "sequence", d.Sequence, "error", err)
	s.DeadLetter(d, "stored event is damaged: "+err.Error(), nil)
}

func (s *sink) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// clip cuts a text to at most n bytes, and copies it.
func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.Clone(s)
}
