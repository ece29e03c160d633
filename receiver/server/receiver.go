package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/admin"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/filter"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/source"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// Options are what one endpoint's receiver works with.
type Options struct {
	// Source is where configuration and secrets come from.
	Source reload.Source
	// DataDir is the queue's directory; it belongs to this process alone.
	DataDir string
	// DataMaxBytes is what the directory may take; 0 means what the disk has.
	DataMaxBytes int64
	// QueueType is shown on the status page.
	QueueType string
	// Registerer takes the metrics.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Now        func() time.Time
	// Stdout is where stdout sinks print.
	Stdout io.Writer
	// AllowLoopback lets sinks be on this machine, for trying out.
	AllowLoopback bool
	// DenyAddrs are addresses that no sink may resolve to.
	DenyAddrs []netip.Addr
	// HostAddrs and PodAddrs are the addresses of the node and of the pod, by which
	// it is found out whether clients' addresses are seen. They may be empty.
	HostAddrs, PodAddrs []netip.Addr
	// Fatal is called when the disk cannot be trusted any more. It must end the
	// process.
	Fatal func(error)
}

// Receiver serves one endpoint. Its handler may be used as soon as Open has
// returned; events are delivered until Stop.
type Receiver struct {
	o       Options
	queue   *embedded.Queue
	intake  *intake.Handler
	metrics *admin.Metrics
	router  atomic.Pointer[filter.Router]
	// responders are those in use. Only apply changes them.
	responders atomic.Pointer[responders]
	config     atomic.Pointer[v1alpha1.Config]
	// trusted are all trusted proxies.
	trusted atomic.Pointer[source.Set]
	appends appendWatch
	// leaving is set when no more attempts are made.
	leaving atomic.Bool

	// mu guards what a reload replaces.
	mu    sync.Mutex
	state state
	sinks map[string]*runningSink

	stopWatch context.CancelFunc
	watching  sync.WaitGroup
}

// state is what the newest configuration that works says.
type state struct {
	snapshot *reload.Snapshot
	keys     *verify.Keys
	problems []verify.Problem
	loadedAt time.Time
	// refused says why the newest configuration is not the one in use.
	refused string
}

// Open reads the configuration, opens the queue and starts delivering. A
// configuration that cannot be used is an error: there is no last good one yet.
func Open(o Options) (*Receiver, error) {
	snap, err := reload.Read(o.Source)
	if err != nil {
		return nil, err
	}
	q, err := embedded.Open(embedded.Options{Dir: o.DataDir, MaxBytes: o.DataMaxBytes, Logger: o.Logger, Now: o.Now, Fatal: o.Fatal, Limits: queueLimits(snap.Config)})
	if err != nil {
		return nil, fmt.Errorf("opening queue: %w", err)
	}
	r := &Receiver{o: o, queue: q, metrics: admin.NewMetrics(source.NewFindings(o.HostAddrs, o.PodAddrs)), sinks: map[string]*runningSink{}}
	r.intake = intake.New(intake.Options{Append: r.append, Route: r.route, Isolate: q.Isolate, Observer: r.metrics, Logger: o.Logger, Now: o.Now})
	if err := r.start(snap); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return r, nil
}

func (r *Receiver) start(snap *reload.Snapshot) error {
	if err := r.metrics.Register(r.o.Registerer); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := r.o.Registerer.Register(admin.NewQueueCollector(r.queue.Stats, r.intake.InFlight, r.o.Now)); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := r.o.Registerer.Register(admin.NewResponderCollector(r.responderStatus)); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := r.registerLeft(); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := r.apply(snap); err != nil {
		r.stopSinks(0)
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stopWatch = cancel
	r.watching.Go(func() {
		if err := r.o.Source.Watch(ctx, r.dirs, r.reload); err != nil {
			r.o.Logger.Error("Changes of configuration and secrets are not noticed any more; restart the receiver to apply them", "err", err)
		}
	})
	return nil
}

// ServeHTTP answers the provider.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.intake.ServeHTTP(w, req) }

// Config returns the configuration in use. It must not be changed. It takes no
// lock: requests ask for it, and must not wait for a sink that a change removes.
func (r *Receiver) Config() *v1alpha1.Config { return r.config.Load() }

func (r *Receiver) dirs() []string { return reload.Dirs(r.Config()) }

// route finds the sinks that get an event.
func (r *Receiver) route(dst []string, f *filter.Facts) []string {
	return r.router.Load().Sinks(dst, f)
}

// append stores an event for sinks.
func (r *Receiver) append(ctx context.Context, e *event.Event, d queue.Dedup, sinks []string) (queue.Outcome, error) {
	r.appends.begin(r.o.Now())
	defer func() { r.appends.end(r.o.Now()) }()
	return r.queue.Append(ctx, e, d, sinks)
}

// appendWatch notices a disk that has stopped answering.
type appendWatch struct{ pending, since atomic.Int64 }

func (w *appendWatch) begin(now time.Time) {
	if w.pending.Add(1) == 1 {
		w.since.Store(now.UnixNano())
	}
}

func (w *appendWatch) end(now time.Time) {
	w.since.Store(now.UnixNano())
	w.pending.Add(-1)
}

// stuckAfter is how long no event must have been stored, while some wait to be,
// for the process to call itself unhealthy.
const stuckAfter = time.Minute

// Live returns an error if events wait to be stored and none has been for a
// minute: the disk hangs, and only a restart (elsewhere, perhaps) can help.
func (r *Receiver) Live() error {
	if r.appends.pending.Load() > 0 && r.o.Now().UnixNano()-r.appends.since.Load() > int64(stuckAfter) {
		return fmt.Errorf("no event could be stored for %s: look at the disk", stuckAfter)
	}
	return nil
}

// Drain makes answers ask clients to go elsewhere. Everything still works.
func (r *Receiver) Drain() { r.intake.Drain() }

// Queued is the number of deliveries that are not finished, and of the copies of
// synchronous hooks' events that are about to become some.
func (r *Receiver) Queued() int64 {
	n := r.intake.Copying()
	for _, s := range r.queue.Stats().Sinks {
		n += s.Queued
	}
	return n
}

// Stop ends delivering, giving attempts under way until patience has passed, and
// closes the queue. What is left in the queue is delivered after the next start
// on the same data directory. No request may be under way any more.
func (r *Receiver) Stop(patience time.Duration) error {
	r.stopDelivering(patience)
	return r.close()
}

// stopDelivering is the first half of Stop. What is left can be handed over then.
func (r *Receiver) stopDelivering(patience time.Duration) {
	r.stopWatch()
	r.watching.Wait()
	r.waitCopies()
	r.stopSinks(patience)
	r.leaving.Store(true)
}

// copyPatience is how long copies of synchronous hooks' events may take to be
// stored at a stop. They take as long as a sync, unless the disk hangs.
const copyPatience = 5 * time.Second

// waitCopies waits until no copy is being stored any more.
func (r *Receiver) waitCopies() {
	end := time.NewTimer(copyPatience)
	defer end.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for r.intake.Copying() > 0 {
		select {
		case <-end.C:
			r.o.Logger.Error("Copies of synchronous hooks' events are not stored yet, and are not waited for any longer", "copies", r.intake.Copying())
			return
		case <-look.C:
		}
	}
}

// close is the second half.
func (r *Receiver) close() error {
	r.responders.Load().closeBut(nil)
	if err := r.queue.Close(); err != nil {
		return fmt.Errorf("closing queue: %w", err)
	}
	return nil
}

func queueLimits(c *v1alpha1.Config) queue.Limits {
	l := queue.Limits{
		Capacity: c.Queue.CapacityBytes, Retention: c.Queue.Retention.Duration,
		DeadLetterCapacity:   c.Queue.DeadLetters.CapacityBytes,
		DropOldestDeadLetter: dropsOldest(c.Queue.DeadLetters.WhenFull),
	}
	for _, s := range c.Sinks {
		if dropsOldest(s.WhenFull) {
			l.DropOldest = append(l.DropOldest, s.Name)
		}
		if s.Delivery.Ordering == api.OrderingBySubject {
			l.BySubject = append(l.BySubject, s.Name)
		}
	}
	if k := c.Queue.Quarantine; k != nil {
		l.Quarantine = queue.QuarantineLimits{Requests: k.MaxRequests, Bytes: k.CapacityBytes, Age: k.MaxAge.Duration}
	}
	return l
}
