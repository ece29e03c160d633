package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/handoff"
)

// Sisters say how a process hands over what is left in its queue when it ends, and
// takes what others have left.
type Sisters struct {
	// Listener takes what sisters hand over. Serve closes it.
	Listener net.Listener
	// Find returns where the sisters are now, without this process.
	Find func(context.Context) ([]netip.AddrPort, error)
	// Timeout bounds the hand-over; 0 means 30 s.
	Timeout time.Duration
}

const (
	handOverTimeout = 30 * time.Second
	// hurriedTimeout is what is left of that once somebody is in a hurry: what an
	// Ephemeral queue keeps goes with the pod.
	hurriedTimeout = 5 * time.Second
	// findTimeout bounds a look for somebody to hand over to.
	findTimeout = time.Second
)

// serveSisters takes what sisters hand over from now on.
func (s *process) serveSisters(failed chan<- error) error {
	if s.o.Sisters == nil {
		return nil
	}
	r := s.o.Receivers[0]
	if err := s.metrics.register(r.o.Registerer); err != nil {
		return errors.Join(err, s.o.Sisters.Listener.Close())
	}
	s.sister = r.sister(s.metrics)
	s.sisters = s.sister.Server()
	go func() { failed <- serve(s.sisters, handoff.Limit(s.o.Sisters.Listener)) }()
	return nil
}

// closeSisters waits until what a sister is handing over is stored or refused.
func (s *process) closeSisters() error {
	if s.sisters == nil {
		return nil
	}
	return shutDown(s.sisters)
}

// sister returns what takes hand-overs for this receiver.
func (r *Receiver) sister(m *sisterMetrics) *handoff.Receiver {
	return handoff.NewReceiver(handoff.ReceiverOptions{
		Endpoint: r.handoffEndpoint(), Secrets: r.sharedSecrets, Receive: r.queue.Receive, NotReady: r.unready,
		MaxBody: func() int64 { return r.Config().Limits.MaxBodyBytes }, Observer: m, Logger: r.o.Logger, Now: r.o.Now,
	})
}

func (r *Receiver) handoffEndpoint() handoff.Endpoint {
	e := r.Config().Endpoint
	return handoff.Endpoint{Namespace: e.Namespace, Name: e.Name}
}

// sharedSecrets are the secrets that sisters prove themselves by.
func (r *Receiver) sharedSecrets() []handoff.Secret {
	r.mu.Lock()
	defer r.mu.Unlock()
	shared := r.state.keys.Shared()
	var out []handoff.Secret
	for _, e := range r.state.snapshot.Entries {
		if slices.Contains(shared, e.Name) {
			out = append(out, handoff.Secret{Name: e.Name, Value: e.Value})
		}
	}
	return out
}

func (r *Receiver) unready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if why := r.notReady(); why != "" {
		return errors.New(why)
	}
	return nil
}

// stalled reports whether none of what is queued can be delivered now: each sink
// that has something is pending, suspended, or left alone because it is down.
func (r *Receiver) stalled() bool {
	stats := r.queue.Stats()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, s := range stats.Sinks {
		if run := r.sinks[name]; s.Queued > 0 && run != nil && !run.runner.Stalled() {
			return false
		}
	}
	return true
}

// pointless reports whether there is no use in waiting on for deliveries: none can
// be made, and there is somebody to hand them over to.
func (s *process) pointless() bool {
	if s.o.Sisters == nil || s.o.Now().Before(s.nextLook) || !s.o.Receivers[0].stalled() {
		return false
	}
	s.nextLook = s.o.Now().Add(findTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	found, _ := s.o.Sisters.Find(ctx) // the hand-over tells the trouble
	return len(found) > 0
}

// handOver gives what is left to sisters. No sister hands anything over to us any
// more, and nobody leases.
func (s *process) handOver() (handoff.Result, error) {
	r := s.o.Receivers[0]
	queued, dead := r.left()
	if queued+dead == 0 {
		return handoff.Result{}, nil
	}
	s.o.Logger.Info("Handing over what is left to sisters", "queued", queued, "deadLetters", dead)
	ctx, cancel := s.handOverContext()
	defer cancel()
	return handoff.HandOver(ctx, handoff.Options{
		Endpoint: r.handoffEndpoint(), Secrets: r.sharedSecrets(), Unfinished: r.queue.Unfinished, Forget: r.queue.Forget,
		Sisters: s.o.Sisters.Find, Observer: s.metrics, Logger: s.o.Logger, Now: s.o.Now,
	})
}

// handOverContext ends when the time for handing over is up.
func (s *process) handOverContext() (context.Context, context.CancelFunc) {
	d := s.o.Sisters.Timeout
	if d == 0 {
		d = handOverTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-s.o.Hurry:
		}
		t := time.NewTimer(hurriedTimeout)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
			cancel()
		}
	}()
	return ctx, cancel
}
