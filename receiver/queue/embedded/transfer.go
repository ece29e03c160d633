package embedded

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

var _ queue.Transfers = (*Queue)(nil)

// Unfinished calls f with what is left in the queue.
func (q *Queue) Unfinished(f func(*queue.Transfer) bool) error {
	more, err := q.unfinishedEvents(f)
	if err != nil {
		return fmt.Errorf("reading what is not finished: %w", err)
	}
	if !more {
		return nil
	}
	return q.DeadLetters(queue.DeadLetterID{}, func(l *queue.DeadLetter) bool {
		death := &queue.Death{Reason: l.Reason, Answer: l.Answer, At: l.DeadAt}
		return f(&queue.Transfer{Sequence: l.Sequence, Event: l.Event, Deliveries: []queue.TransferDelivery{
			{Sink: l.Sink, Attempts: l.Attempts, Dead: death},
		}})
	})
}

// unfinishedEvents goes through the deliveries that are in memory, and then
// through the log from where the first sink has not read it.
func (q *Queue) unfinishedEvents(f func(*queue.Transfer) bool) (more bool, err error) {
	known, from := q.begun()
	p := transferPage{q: q}
	for len(known) > 0 {
		if err := q.read(func() error { known, err = p.some(known); return err }); err != nil {
			return false, err
		}
		if !p.give(f) {
			return false, nil
		}
	}
	for from <= q.synced.Load() {
		if err := q.read(func() error { from, err = p.behind(from, q.synced.Load()); return err }); err != nil {
			return false, err
		}
		if !p.give(f) {
			return false, nil
		}
	}
	return true, nil
}

// begun returns the sequences of the deliveries in memory that wait, in order, and
// the first sequence from which on the log must be read to know what waits.
func (q *Queue) begun() (known []uint64, from uint64) {
	from = q.floor()
	for _, s := range *q.sinks.Load() {
		known = s.appendWaiting(known)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	i, _ := slices.BinarySearch(known, from)
	return known[:i], from
}

// appendWaiting appends the sequences of the deliveries in memory that are not
// leased.
func (s *sink) appendWaiting(list []uint64) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active {
		return list
	}
	add := func(it *item) {
		if it.held == nil && !it.ended {
			list = append(list, it.seq)
		}
	}
	for it := range s.allBegun {
		add(it)
	}
	for _, it := range s.ready {
		add(it)
	}
	return list
}

// transferPage is some of the events with deliveries that wait.
type transferPage struct {
	page[*queue.Transfer]
	q *Queue
}

// some reads the first events of a list, and returns the others.
func (p *transferPage) some(seqs []uint64) (rest []uint64, err error) {
	for len(seqs) > 0 && !p.full() {
		raw, err := p.q.intact(seqs[0])
		if err != nil {
			return seqs, err
		}
		if raw != nil {
			p.consider(seqs[0], raw)
		}
		seqs = seqs[1:]
	}
	return seqs, nil
}

// behind reads the log, and returns the first sequence that was not looked at.
func (p *transferPage) behind(from, last uint64) (next uint64, err error) {
	next = last + 1
	err = p.q.records(from, last, func(seq uint64, raw []byte, err error) bool {
		if p.full() {
			next = seq
			return false
		}
		if err == nil {
			p.consider(seq, slices.Clone(raw))
		}
		return true
	})
	if err != nil {
		next = from
	}
	return next, err
}

// consider keeps an event with those of its deliveries that wait. One that cannot
// be read stays.
func (p *transferPage) consider(seq uint64, raw []byte) {
	h, err := parseHeader(raw)
	if err != nil {
		return
	}
	t := &queue.Transfer{Sequence: seq}
	for _, s := range *p.q.sinks.Load() {
		before, ok := h.targets.find(s.ordinal)
		if !ok {
			continue
		}
		if attempts, ok := s.waits(seq, before); ok {
			t.Deliveries = append(t.Deliveries, queue.TransferDelivery{Sink: s.name, Attempts: attempts})
		}
	}
	if len(t.Deliveries) == 0 {
		return
	}
	if t.Event, err = decodeRecord(raw); err == nil {
		p.add(t, len(raw))
	}
}

// waits reports whether a delivery that the log has for the sink is queued and not
// leased, and how many attempts were made. before is how many were made before it
// was stored.
func (s *sink) waits(seq uint64, before int) (attempts int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active {
		return 0, false
	}
	if seq >= s.read {
		return before, true
	}
	it := s.waiting(seq)
	if it == nil {
		return 0, false
	}
	return it.attempts, true
}

// Forget ends deliveries as handed over. Those behind what the sink has read are
// read first, so it is best called in the order in which Unfinished gave them.
func (q *Queue) Forget(ctx context.Context, transfers []queue.Transfer) error {
	var dead []queue.DeadLetterID
	for _, t := range slices.SortedFunc(slices.Values(transfers), func(a, b queue.Transfer) int { return cmp.Compare(a.Sequence, b.Sequence) }) {
		for _, d := range t.Deliveries {
			if d.Dead != nil {
				dead = append(dead, queue.DeadLetterID{Sink: d.Sink, Sequence: t.Sequence})
				continue
			}
			if s := q.sinkNamed(d.Sink); s != nil {
				if err := s.handOver(t.Sequence); err != nil {
					return fmt.Errorf("forgetting what was handed over to another queue: %w", err)
				}
			}
		}
	}
	err := q.control(ctx, &control{run: func(g *group) error {
		_, err := q.endLetters(g, dead, func(l *letters) *int64 { return &l.handedOver })
		return err
	}})
	if err != nil {
		return fmt.Errorf("forgetting what was handed over to another queue: %w", err)
	}
	return nil
}
