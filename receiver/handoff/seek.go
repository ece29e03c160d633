package handoff

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// connect finds a sister that takes something, until ctx ends.
func (s *sender) connect(ctx context.Context) error {
	for wait := firstPause; s.sister == nil; wait = min(2*wait, longestPause) {
		if s.ask(ctx); s.sister != nil {
			return nil
		}
		if pause(ctx, wait); ctx.Err() != nil {
			return errors.Join(ErrNoSister, s.last)
		}
	}
	return nil
}

// ask asks every sister once, in any order, until one takes something.
func (s *sender) ask(ctx context.Context) {
	addrs, err := s.o.Sisters(ctx)
	if err != nil {
		s.last = err
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] }) //nolint:gosec // G404: it only spreads the load
	for _, a := range addrs {
		if slices.Contains(s.useless, a) || s.o.Now().Before(s.passed[a]) {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		one, err := begin(ctx, s.client, a, s.o.Endpoint, s.keys, s.o.Now())
		s.observe(err)
		if err == nil {
			s.sister = one
			return
		}
		s.passed[a], s.last = s.o.Now().Add(passPause), err
		if why := err.Error(); s.told[a] != why { // once for each reason: she is asked every so often
			s.told[a] = why
			s.o.Logger.Info("A sister takes nothing at the moment", "sister", a.String(), "err", err)
		}
	}
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
	// passPause is how long a sister is left alone that refused or did not answer.
	passPause = 500 * time.Millisecond
)

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// passOver ends the session with a sister who is of no use now.
func (s *sender) passOver(ctx context.Context, err error) {
	s.o.Logger.Warn("A sister ceased to take what is handed over; another one is looked for", "sister", s.sister.addr.String(), "err", err)
	s.passed[s.sister.addr], s.last = s.o.Now().Add(passPause), err
	var r refusal
	if errors.As(err, &r) {
		s.leave(ctx) // she is there, and has only so many sessions
	}
	s.sister = nil
}

// leave ends the session in good manners: it makes room for another one's. If that
// is lost, the session ends by itself.
func (s *sender) leave(ctx context.Context) {
	if s.sister == nil {
		return
	}
	_, err := s.sister.offer(ctx, encode(nil))
	s.observe(err)
	s.sister = nil
}

func (s *sender) observe(err error) {
	if s.o.Observer == nil {
		return
	}
	var r refusal
	switch {
	case err == nil:
		s.o.Observer.Sent(Acknowledged)
	case errors.As(err, &r):
		s.o.Observer.Sent(Refused)
	case errors.Is(err, errForged):
		s.o.Observer.Sent(Forged)
	default:
		s.o.Observer.Sent(Unanswered)
	}
}
