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
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/receiver/admin"
	"github.com/fairlead-dev/fairlead/receiver/handoff"
	"github.com/fairlead-dev/fairlead/receiver/listen"
)

// Bounds of a connection to the webhook listener. Providers wait 1 to 15 s for
// an answer, so a request that takes longer to arrive helps nobody.
const (
	readTimeout    = 15 * time.Second
	headerTimeout  = 10 * time.Second // a TLS handshake has as long
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
	// TLSDir holds tls.crt and tls.key of Webhooks, which are taken live; empty means
	// plain HTTP. Without a certificate handshakes fail until there is one.
	TLSDir string
	// Telemetry takes probes and scrapes.
	Telemetry net.Listener
	// Admin takes what people ask and order: a listener on loopback, or that of
	// Telemetry, which then serves both. Nil means that there is no admin API.
	Admin     net.Listener
	Receivers []*Receiver
	Gatherer  prometheus.Gatherer
	// Registerer takes the metrics of the process's own; nil means that there are none.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Version    string
	Now        func() time.Time
	// ReadTimeout bounds how long a request may take to arrive, headers and body
	// together. 0 means 15 s.
	ReadTimeout time.Duration
	// Sisters say who gets what is left in the queue at a stop; nil means that it
	// stays. Only for a process with one receiver.
	Sisters *Sisters
	// TerminationMessage is the file that tells, at the end, what was left behind and
	// handed over (statusz.Parting); empty means none.
	TerminationMessage string
	// Hurry, when it is closed, ends the waits of a stop: what is queued stays so.
	Hurry <-chan struct{}
	// Ready is called once, when both listeners are served.
	Ready func()
}

// Serve works until ctx ends, and then stops in an order that loses nothing:
// it stays open for the drain delay, while every answer asks the client to go
// elsewhere; closes the listener and answers what is under way, or has begun to
// arrive; delivers until the queue is empty, or the grace is over, or nothing more
// can be delivered now and a sister is there; stops attempts; hands what is left
// over to sisters, if there are any; syncs; leaves. From the beginning of it sisters
// hand nothing over to this process. Telemetry is served to the end. It returns nil
// after such a stop.
func Serve(ctx context.Context, o ServeOptions) error {
	o.ReadTimeout = cmp.Or(o.ReadTimeout, readTimeout)
	s := &process{o: o, started: o.Now(), metrics: newSisterMetrics()}
	err := errors.Join(s.openTLS(), s.limitConnections(), s.countPanics())
	defer s.closeTLS()
	webhooks := s.webhooks()
	s.door = &door{Listener: s.listener()}
	telemetry, local := s.telemetry(), s.local(s.adminAPI())
	failed := make(chan error, 4)
	go func() { failed <- s.serveWebhooks(webhooks) }()
	go func() { failed <- serve(telemetry, o.Telemetry) }()
	if o.Admin != nil && o.Admin != o.Telemetry {
		go func() { failed <- serve(local, o.Admin) }()
	}
	err = errors.Join(err, s.serveSisters(failed))
	if o.Ready != nil && err == nil {
		o.Ready()
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	return errors.Join(err, s.stop(webhooks, local), telemetry.Close())
}

func serve(s *http.Server, l net.Listener) error {
	return served(s.Serve(l), l)
}

// served is what became of a server that was to serve a listener: nil if it was
// shut down.
func served(err error, l net.Listener) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving %s: %w", l.Addr(), err)
}

type process struct {
	o        ServeOptions
	started  time.Time
	draining atomic.Bool

	// sister takes hand-overs, served by sisters; nil if there are none.
	sister  *handoff.Receiver
	sisters *http.Server
	metrics *sisterMetrics
	// nextLook is when sisters are looked for again during a stop.
	nextLook time.Time

	// limit bounds the connections of Webhooks, which come in by the door.
	limit *listen.Limit
	door  *door
	// panics counts the handlers of Webhooks that panicked.
	panics prometheus.Counter
	// certificate is nil if webhooks come by plain HTTP; watching is what keeps it.
	certificate *listen.Certificate
	stopTLS     context.CancelFunc
	watching    sync.WaitGroup
}

func (s *process) telemetry() *http.Server {
	h := admin.NewHandler(admin.Source{
		Gatherer: s.o.Gatherer,
		Status:   s.status,
		Live:     s.live,
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
