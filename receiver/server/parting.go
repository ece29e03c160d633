package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/handoff"
)

// left is how many deliveries and dead letters the queue holds.
func (r *Receiver) left() (queued, dead int64) {
	for _, s := range r.queue.Stats().Sinks {
		queued += s.Queued
		dead += s.DeadLetters
	}
	return queued, dead
}

// registerLeft shows what a receiver leaves behind. Both are 0 until its attempts
// have ended, and then what has not been handed over yet: the last scrape tells
// what stayed.
func (r *Receiver) registerLeft() error {
	gauge := func(name, help string, of func() int64) error {
		return r.o.Registerer.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "fairlead_receiver", Name: name, Help: help}, func() float64 {
			if !r.leaving.Load() {
				return 0
			}
			return float64(of())
		}))
	}
	err := gauge("left_behind_deliveries", "Queued deliveries that a receiver which ends has not handed over; 0 before.",
		func() int64 { queued, _ := r.left(); return queued })
	return errors.Join(err, gauge("left_behind_dead_letters", "Dead letters that a receiver which ends has not handed over; 0 before.",
		func() int64 { _, dead := r.left(); return dead }))
}

// part says what becomes of what is left, in the log and in the termination
// message. It is called when the queues are closed.
func (s *process) part(handed handoff.Result, why error) error {
	p := statusz.Parting{HandedOver: int64(handed.Deliveries + handed.DeadLetters)}
	for _, r := range s.o.Receivers {
		queued, dead := r.left()
		p.Left, p.DeadLettersLeft = p.Left+queued, p.DeadLettersLeft+dead
	}
	if why != nil {
		p.Reason = bounded(why.Error())
	}
	switch {
	case why != nil && p.Left+p.DeadLettersLeft > 0:
		s.o.Logger.Error("Stopped, and left behind what no sister took: it is lost with this pod's volume", "queued", p.Left,
			"deadLetters", p.DeadLettersLeft, "handedOver", p.HandedOver, "err", why)
	case p.Left > 0:
		s.o.Logger.Warn("Stopped with deliveries in the queue; they are made after the next start on the same data directory", "queued", p.Left)
	case p.HandedOver > 0:
		s.o.Logger.Info("Stopped; sisters have what was left", "handedOver", p.HandedOver)
	}
	if s.o.TerminationMessage == "" || p.Left+p.DeadLettersLeft+p.HandedOver == 0 {
		return nil
	}
	return writeParting(s.o.TerminationMessage, p)
}

// maxReason bounds what the termination message says of an error.
const maxReason = 512

func bounded(s string) string { return s[:min(len(s), maxReason)] }

// writeParting writes the termination message, unless its directory is not there:
// outside of a pod nobody reads it.
func writeParting(name string, p statusz.Parting) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	err = os.WriteFile(name, b, 0o644) //nolint:gosec // G306: the kubelet reads it, and others may
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	return nil
}
