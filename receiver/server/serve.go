package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/admin"
)

// Bounds of a connection to the webhook listener. Providers wait 1 to 15 s for
// an answer, so a request that takes longer to arrive helps nobody.
const (
	readTimeout    = 15 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 90 * time.Second
	maxHeaderBytes = 16 << 10
	// shutdownTimeout bounds the wait for requests under way when the listener is
	// closed: each has at most readTimeout to arrive, and then is stored.
	shutdownTimeout = readTimeout + 5*time.Second
)

// ServeOptions say what a process serves, and where.
type ServeOptions struct {
	// Webhooks takes the providers' requests.
	Webhooks net.Listener
	// Telemetry takes probes and scrapes.
	Telemetry net.Listener
	// Admin takes what people ask and order: a listener on loopback, or that of
	// Telemetry, which then serves both. Nil means that there is no admin API.
	Admin     net.Listener
	Receivers []*Receiver
	Gatherer  prometheus.Gatherer
	Logger    *slog.Logger
	Version   string
	Now       func() time.Time
	// ReadTimeout bounds how long a request may take to arrive, headers and body
	// together. 0 means 15 s.
	ReadTimeout time.Duration
	// Hurry, when it is closed, ends the waits of a stop: what is queued stays so.
	Hurry <-chan struct{}
	// Ready is called once, when both listeners are served.
	Ready func()
}

// Serve works until ctx ends, and then stops in an order that loses nothing:
// it stays open for the drain delay, while every answer asks the client to go
// elsewhere; closes the listener and answers what is under way; delivers until
// the queue is empty or the grace is over; stops attempts; syncs; leaves. It
// returns nil after such a stop.
func Serve(ctx context.Context, o ServeOptions) error {
	o.ReadTimeout = cmp.Or(o.ReadTimeout, readTimeout)
	s := &process{o: o, started: o.Now()}
	webhooks := s.webhooks()
	telemetry, local := s.telemetry(), s.local(s.adminAPI())
	failed := make(chan error, 3)
	go func() { failed <- serve(webhooks, o.Webhooks) }()
	go func() { failed <- serve(telemetry, o.Telemetry) }()
	if o.Admin != nil && o.Admin != o.Telemetry {
		go func() { failed <- serve(local, o.Admin) }()
	}
	if o.Ready != nil {
		o.Ready()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, s.stop(webhooks), local.Close(), telemetry.Close())
}

func serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}

type process struct {
	o        ServeOptions
	started  time.Time
	draining atomic.Bool
}

func (s *process) webhooks() *http.Server {
	return &http.Server{
		Handler:     Route(s.o.Receivers),
		ReadTimeout: s.o.ReadTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true,
		// What the library says here is caused by clients, and anybody can be one.
		ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
}

func (s *process) telemetry() *http.Server {
	h := admin.NewHandler(admin.Source{
		Gatherer: s.o.Gatherer,
		Status: func() statusz.Page {
			return ProcessStatus(s.o.Version, s.started, s.draining.Load(), s.o.Receivers)
		},
		Live: s.live,
	})
	if s.o.Admin != nil && s.o.Admin == s.o.Telemetry {
		mux := http.NewServeMux()
		mux.Handle("/", h)
		mux.Handle("/v1/", s.adminAPI())
		h = mux
	}
	return s.local(h)
}

func (s *process) live() error {
	var errs []error
	for _, r := range s.o.Receivers {
		errs = append(errs, r.Live())
	}
	return errors.Join(errs...)
}

// Route returns a handler that gives each request to the receiver whose path it
// lies at or below; the longest path wins. A request below none goes to the
// receiver with the shortest path, which counts and refuses it.
func Route(receivers []*Receiver) http.Handler {
	if len(receivers) == 1 {
		return receivers[0]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var best, shortest *Receiver
		for _, r := range receivers {
			p := r.Config().Path
			if shortest == nil || len(p) < len(shortest.Config().Path) {
				shortest = r
			}
			if below(req.URL.Path, p) && (best == nil || len(p) > len(best.Config().Path)) {
				best = r
			}
		}
		if best == nil {
			best = shortest
		}
		best.ServeHTTP(w, req)
	})
}

func below(path, base string) bool {
	return base == "/" || path == base || strings.HasPrefix(path, base) && path[len(base)] == '/'
}

// stop is the way out; see Serve.
func (s *process) stop(webhooks *http.Server) error {
	s.draining.Store(true)
	var delay, grace time.Duration
	for _, r := range s.o.Receivers {
		r.Drain()
		d := r.Config().Drain
		delay, grace = max(delay, d.Delay.Duration), max(grace, d.Grace.Duration)
	}
	s.o.Logger.Info("Stopping: requests are still taken for a while", "delay", delay)
	s.wait(delay)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := webhooks.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("waiting for requests under way: %w", err), webhooks.Close())
	}
	s.o.Logger.Info("No more requests are taken; delivering what is queued", "grace", grace, "queued", s.queued())
	deadline := s.o.Now().Add(grace)
	s.waitEmpty(grace)
	var left int64
	for _, r := range s.o.Receivers {
		err = errors.Join(err, r.Stop(s.patience(deadline)))
		left += r.Queued()
	}
	if left > 0 {
		s.o.Logger.Warn("Stopped with deliveries in the queue; they are made after the next start on the same data directory", "queued", left)
	}
	return err
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

// waitEmpty returns when nothing is queued, at the latest after d.
func (s *process) waitEmpty(d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for s.queued() > 0 {
		select {
		case <-end.C:
			return
		case <-s.o.Hurry:
			return
		case <-look.C:
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
