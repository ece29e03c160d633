package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// runningSink is one sink's dispatcher and what it was last given.
type runningSink struct {
	runner *dispatch.Runner
	done   sync.WaitGroup
	// digest tells whether the sink must be made anew.
	digest [sha256.Size]byte
	// pending says why there is no sink.
	pending string
}

// setSinks starts and changes dispatchers so that they are those of a snapshot,
// and returns those that are to be stopped. The queue knows the names already. A
// sink that cannot be made is pending and stops nothing else.
func (r *Receiver) setSinks(snap *reload.Snapshot) (removed []*runningSink, err error) {
	wanted := map[string]bool{}
	for _, cfg := range snap.Config.Sinks {
		wanted[cfg.Name] = true
		if r.sinks[cfg.Name] == nil {
			s, err := r.newSink(cfg.Name)
			if err != nil {
				return nil, err
			}
			r.sinks[cfg.Name] = s
		}
		if err := r.updateSink(r.sinks[cfg.Name], cfg, snap); err != nil {
			return nil, err
		}
	}
	for name, s := range r.sinks {
		if !wanted[name] {
			removed = append(removed, s)
			delete(r.sinks, name)
		}
	}
	return removed, nil
}

// cfgPatience is how long attempts at a sink that is removed may go on.
const cfgPatience = 5 * time.Second

func (r *Receiver) newSink(name string) (*runningSink, error) {
	c, err := r.queue.Consumer(name)
	if err != nil {
		return nil, fmt.Errorf("preparing sink %q: %w", name, err)
	}
	s := &runningSink{runner: dispatch.New(dispatch.Options{
		Sink: name, Consumer: c, Logger: r.o.Logger, Observer: r.metrics, Now: r.o.Now,
	})}
	s.done.Go(func() { s.runner.Run(context.Background()) })
	return s, nil
}

// updateSink gives a dispatcher its sink and settings, unless nothing of them
// has changed: a change of another sink must not close this one's connections.
func (r *Receiver) updateSink(s *runningSink, cfg v1alpha1.Sink, snap *reload.Snapshot) error {
	s.runner.Suspend(snap.Config.Suspend == api.SuspendDeliveries)
	digest, err := sinkDigest(cfg, snap)
	if err != nil {
		return err
	}
	if digest == s.digest {
		return nil
	}
	made, err := sink.New(cfg, r.sinkOptions(snap))
	s.digest, s.pending = digest, ""
	if err != nil {
		s.pending = pendingReason(err)
		r.o.Logger.Warn("A sink is pending; its events wait", "sink", cfg.Name, "reason", s.pending)
	}
	s.runner.Update(made, cfg.Delivery)
	return nil
}

// sinkOptions is what all sinks and responders of a snapshot are made with.
func (r *Receiver) sinkOptions(snap *reload.Snapshot) sink.Options {
	return sink.Options{
		Source: snap.Config.Endpoint.Source(), TypePrefix: snap.Config.Event.TypePrefix, ReadFile: snap.ReadFile,
		AllowLoopback: r.o.AllowLoopback, DenyAddrs: r.o.DenyAddrs, Stdout: r.o.Stdout,
	}
}

func pendingReason(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "a Secret's entry is missing: " + err.Error()
	}
	return err.Error()
}

// sinkDigest covers everything that a sink is made of.
func sinkDigest(cfg v1alpha1.Sink, snap *reload.Snapshot) ([sha256.Size]byte, error) {
	cfg.Filter = "" // of the router
	digest, err := digestOf(cfg, cfg.HTTP, snap)
	if err != nil {
		return digest, fmt.Errorf("comparing sink %q: %w", cfg.Name, err)
	}
	return digest, nil
}

// digestOf covers a part of the configuration, the files that h names, and what all
// sinks and responders are made with.
func digestOf(part any, h *v1alpha1.HTTPSink, snap *reload.Snapshot) ([sha256.Size]byte, error) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode([]any{part, snap.Config.Endpoint.Source(), snap.Config.Event.TypePrefix}); err != nil {
		return [sha256.Size]byte{}, err
	}
	if h != nil {
		for _, name := range h.Files() {
			content, err := snap.ReadFile(name)
			fmt.Fprintf(&b, "%q %t %x\n", name, err == nil, sha256.Sum256(content))
		}
	}
	return sha256.Sum256(b.Bytes()), nil
}

func (s *runningSink) stop(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.runner.Stop(ctx)
	s.done.Wait()
}

// stopAll stops dispatchers at once.
func stopAll(sinks []*runningSink, patience time.Duration) {
	var all sync.WaitGroup
	for _, s := range sinks {
		all.Go(func() { s.stop(patience) })
	}
	all.Wait()
}

// stopSinks stops all dispatchers. They stay on the status page.
func (r *Receiver) stopSinks(patience time.Duration) {
	r.mu.Lock()
	sinks := slices.Collect(maps.Values(r.sinks))
	r.mu.Unlock()
	stopAll(sinks, patience)
}

// failingReason says why a sink is failing. It becomes a condition's message, so
// it tells no times: those have fields of their own.
func failingReason(st dispatch.State) string {
	if st.Breaker == dispatch.Closed {
		return st.LastError
	}
	return "circuit breaker is open; last error: " + st.LastError
}

func (s *runningSink) status(name string, q queue.SinkStats, now time.Time) statusz.Sink {
	st := s.runner.State()
	out := statusz.Sink{Name: name, State: string(st.Phase), Reason: s.pending, ConsecutiveFailures: int(st.ConsecutiveFailures),
		LastSuccess: statusz.When(st.LastSuccess), Queued: q.Queued, QueuedBytes: q.QueuedBytes, DeadLetters: q.DeadLetters,
		Breaker: string(st.Breaker), BreakerUntil: statusz.When(st.Until),
		Retrying: q.Retrying, Dropped: q.Dropped, DeadLettersDropped: q.DeadLettersDropped}
	if st.Phase == dispatch.Failing {
		out.Reason = failingReason(st)
	}
	if !q.OldestQueued.IsZero() {
		out.OldestAgeSeconds = max(0, now.Sub(q.OldestQueued).Seconds())
	}
	return out
}
