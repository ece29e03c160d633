package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/handoff"
)

// stop is the way out; see Serve.
func (s *process) stop(webhooks, local *http.Server) error {
	delay, grace := s.drain()
	s.o.Logger.Info("Stopping: requests are still taken for a while", "delay", delay)
	s.wait(delay)
	err := s.door.Close()
	s.waitQuiet()
	err = errors.Join(err, shutDown(webhooks), s.closeSisters())
	s.o.Logger.Info("No more requests are taken; delivering what is queued", "grace", grace, "queued", s.queued())
	deadline := s.o.Now().Add(grace)
	s.waitEmpty(grace)
	for _, r := range s.o.Receivers {
		r.stopDelivering(s.patience(deadline))
	}
	err = errors.Join(err, local.Close()) // nobody orders a replay of what is just going
	var handed handoff.Result
	var why error
	if s.o.Sisters != nil {
		handed, why = s.handOver()
	}
	for _, r := range s.o.Receivers {
		err = errors.Join(err, r.close())
	}
	return errors.Join(err, s.part(handed, why))
}

// drain has everybody asked to go elsewhere, and returns how long to wait for
// that, and then for deliveries.
func (s *process) drain() (delay, grace time.Duration) {
	s.draining.Store(true)
	if s.sister != nil {
		s.sister.Drain()
	}
	for _, r := range s.o.Receivers {
		r.Drain()
		d := r.Config().Drain
		delay, grace = max(delay, d.Delay.Duration), max(grace, d.Grace.Duration)
	}
	return delay, grace
}

// shutDown closes a listener and waits for what is under way.
func shutDown(h *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("waiting for requests under way: %w", err), h.Close())
	}
	return nil
}

// patience is how long attempts under way may go on: until the grace is over,
// but at least a moment, so that an answer that is on its way is not lost and
// the event delivered twice.
func (s *process) patience(deadline time.Time) time.Duration {
	select {
	case <-s.o.Hurry:
		return leastPatience
	default:
		return max(leastPatience, deadline.Sub(s.o.Now()))
	}
}

const leastPatience = 2 * time.Second

func (s *process) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.o.Hurry:
	}
}

const (
	// speakingPatience bounds the wait for requests that have begun to arrive: one
	// that nobody completes must not hold up a stop.
	speakingPatience = 3 * time.Second
	// interval is how often it is looked for what is waited for, and quietLooks how often in
	// a row no request must be there, at once and after 20, 40 and 60 ms: what has
	// arrived may not have been read yet, on a machine with much else to do.
	interval   = 20 * time.Millisecond
	quietLooks = 4
)

// waitQuiet returns when no request is on its way on a connection that the HTTP
// server believes idle: to shut it down before would cut the client off without an
// answer, and most providers do not send again.
func (s *process) waitQuiet() {
	quiet := 0
	s.until(speakingPatience, func() bool {
		if quiet++; s.limit.Speaking() > 0 {
			quiet = 0
		}
		return quiet == quietLooks
	})
}

// waitEmpty returns when nothing is queued or it is pointless to wait, at the
// latest after d.
func (s *process) waitEmpty(d time.Duration) {
	s.until(d, func() bool { return s.queued() == 0 || s.pointless() })
}

// until returns when over returns true, which is asked at once and then every interval;
// at the latest after d, or when there is no more time.
func (s *process) until(d time.Duration, over func() bool) {
	end := time.NewTimer(d)
	defer end.Stop()
	again := time.NewTicker(interval)
	defer again.Stop()
	for !over() {
		select {
		case <-end.C:
			return
		case <-s.o.Hurry:
			return
		case <-again.C:
		}
	}
}

func (s *process) queued() int64 {
	var n int64
	for _, r := range s.o.Receivers {
		n += r.Queued()
	}
	return n
}
