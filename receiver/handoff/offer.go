package handoff

import (
	"context"
	"fmt"
	"slices"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// piece is a part of what is gathered, and how often a sister failed to take it.
type piece struct {
	batch []queue.Transfer
	fails int
}

// flush offers what is gathered until a sister has it.
func (s *sender) flush(ctx context.Context) error {
	work := []piece{{batch: s.batch}}
	s.batch, s.bytes = nil, 0
	for len(work) > 0 {
		if err := s.connect(ctx); err != nil {
			return err
		}
		first := work[0]
		if first.batch = s.without(first.batch); len(first.batch) == 0 {
			work = work[1:]
			continue
		}
		more, err := s.offer(ctx, first)
		if err != nil {
			return err
		}
		work = append(more, work[1:]...)
	}
	return nil
}

// without leaves out deliveries for sinks that the sister does not know. Dead
// letters are kept for any.
func (s *sender) without(batch []queue.Transfer) []queue.Transfer {
	if len(s.sister.unknown) == 0 {
		return batch
	}
	var out []queue.Transfer
	for _, t := range batch {
		ds := slices.DeleteFunc(slices.Clone(t.Deliveries), func(d queue.TransferDelivery) bool { return d.Dead == nil && s.sister.unknown[d.Sink] })
		if len(ds) < len(t.Deliveries) {
			s.skipped++
		}
		if len(ds) > 0 {
			t.Deliveries = ds
			out = append(out, t)
		}
	}
	return out
}

// maxFails is how often a sister, or several, may fail at a batch before it is
// made smaller. One transfer that fails everywhere must not hold up all others.
const maxFails = 3

// offer offers a batch to the sister. more is what is still to be offered of it,
// in which order; the error is one that ends the hand-over.
func (s *sender) offer(ctx context.Context, p piece) (more []piece, err error) {
	body := encode(p.batch)
	if len(p.batch) == 1 && int64(len(body)) > s.sister.limit {
		s.skipped++
		return nil, nil
	}
	stored, err := s.sister.offer(ctx, body)
	s.observe(err)
	switch {
	case err == nil:
		return nil, s.forget(ctx, p.batch, int(stored))
	case refused(err, UnknownSink):
		return s.narrow(ctx, p), nil
	case refused(err, Full) && len(p.batch) > 1:
		return p.halves(0), nil
	}
	s.passOver(ctx, err)
	if refused(err, Failed) || refused(err, Malformed) || refused(err, TooLarge) {
		p.fails++
	}
	switch {
	case p.fails < maxFails:
		return []piece{p}, nil
	case len(p.batch) > 1:
		return p.halves(maxFails - 1), nil
	}
	s.skipped++
	return nil, nil
}

// halves makes two smaller batches.
func (p piece) halves(fails int) []piece {
	n := len(p.batch) / 2
	return []piece{{p.batch[:n], fails}, {p.batch[n:], fails}}
}

// forget ends what a sister has proven to hold. It is done even if the time is
// up just now: else it would be delivered by both.
func (s *sender) forget(ctx context.Context, batch []queue.Transfer, stored int) error {
	if err := s.o.Forget(context.WithoutCancel(ctx), batch); err != nil {
		return fmt.Errorf("forgetting %d transfers that a sister has: %w", len(batch), err)
	}
	s.result.Known += len(batch) - min(stored, len(batch))
	for _, t := range batch {
		for _, d := range t.Deliveries {
			if d.Dead != nil {
				s.result.DeadLetters++
			} else {
				s.result.Deliveries++
			}
		}
	}
	return nil
}

// narrow finds out which sink the sister does not know: it halves the sinks of a
// batch until one is left.
func (s *sender) narrow(ctx context.Context, p piece) []piece {
	sinks := sinksOf(p.batch)
	switch len(sinks) {
	case 0: // she knows no reason to refuse dead letters; somebody else may take them
		s.passOver(ctx, refusal{UnknownSink})
		return []piece{p}
	case 1:
		s.o.Logger.Info("A sister does not know a sink; what is queued for it is not handed over to her", "sink", sinks[0])
		s.sister.unknown[sinks[0]] = true
		return []piece{p}
	}
	first := sinks[:len(sinks)/2]
	return []piece{{batch: part(p.batch, first, true)}, {batch: part(p.batch, first, false)}}
}

// sinksOf lists the sinks of a batch's deliveries, without dead letters.
func sinksOf(batch []queue.Transfer) []string {
	var sinks []string
	for _, t := range batch {
		for _, d := range t.Deliveries {
			if d.Dead == nil && !slices.Contains(sinks, d.Sink) {
				sinks = append(sinks, d.Sink)
			}
		}
	}
	return sinks
}

// part returns the deliveries of a batch for these sinks, or all but these and the
// dead letters.
func part(batch []queue.Transfer, sinks []string, in bool) []queue.Transfer {
	var out []queue.Transfer
	for _, t := range batch {
		t.Deliveries = slices.DeleteFunc(slices.Clone(t.Deliveries), func(d queue.TransferDelivery) bool {
			return (d.Dead == nil && slices.Contains(sinks, d.Sink)) != in
		})
		if len(t.Deliveries) > 0 {
			out = append(out, t)
		}
	}
	return out
}
