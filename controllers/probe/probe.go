// Package probe reads the status pages of receivers' pods in the background, so
// that no reconcile waits for HTTP. It knows nothing of the cluster: it is told
// which pods there are, and tells when something on their pages has changed.
package probe

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// What Options that are left out become.
const (
	defaultInterval     = 30 * time.Second
	defaultFastInterval = 5 * time.Second
	defaultTimeout      = 2 * time.Second
	defaultConcurrency  = 32
)

// Target is a receiver's pod.
type Target struct {
	Pod string
	UID types.UID
	// IP is where the pod is asked. While it is empty the pod is not asked.
	IP string
}

// Report is what a pod said last. What it points to is shared: do not change it.
type Report struct {
	Pod string
	// Page is what the pod says of the endpoint in question; nil if the pod cannot
	// be asked or says nothing of it.
	Page *statusz.Endpoint
	// TLS is what the pod says of its certificate; nil if it says nothing of it.
	TLS *statusz.TLS
	// Err is why Page is nil. Its text is a phrase for people, which names no
	// address and repeats nothing that was answered.
	Err error
	// At is when the pod had answered, or not.
	At time.Time
}

// Options are what a Poller works with.
type Options struct {
	// Client asks the pods; nil is Client(). It must not follow redirects.
	Client *http.Client
	// Port is the one at which pods serve /statusz. It must be set.
	Port int
	// Interval is between two reads of a pod (30 s), and FastInterval is too, while
	// something is wrong with its endpoint (5 s). Both are varied by a fifth.
	Interval, FastInterval time.Duration
	// Timeout is for one read, from dialling to the last byte (2 s).
	Timeout time.Duration
	// Concurrency is how many reads there are at once at most, over all endpoints
	// (32).
	Concurrency int
	// Clock is for the time between reads; nil is the real one.
	Clock clock.WithTicker
	// Changed is called when what Reports returns for the endpoint has come to differ
	// in a way that matters: not for times and counters that change all the time, and
	// not for what Watch and Forget do. It may be called from several goroutines at
	// once, and a read of another pod may wait for it. Nil is allowed.
	Changed func(types.NamespacedName)
	// Registerer takes the metrics; nil leaves them out.
	Registerer prometheus.Registerer
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	if o.Client == nil {
		o.Client = Client()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Changed == nil {
		o.Changed = func(types.NamespacedName) {}
	}
	o.Interval = cmp.Or(o.Interval, defaultInterval)
	o.FastInterval = cmp.Or(o.FastInterval, defaultFastInterval)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.Concurrency = cmp.Or(o.Concurrency, defaultConcurrency)
	return o
}

// Poller reads the pages of the pods that it is told to watch. Its methods may be
// called from any goroutine, before Start too.
type Poller struct {
	o       Options
	metrics *metrics
	wake    chan struct{} // the first turn may have moved

	mu        sync.Mutex
	endpoints map[types.NamespacedName]*endpoint
	turns     turns // targets that are not being asked, by when they shall be
}

// New makes a Poller, which asks nobody before Start. It panics if its metrics are
// registered already.
func New(o Options) *Poller {
	return &Poller{
		o:         o.withDefaults(),
		metrics:   newMetrics(o.Registerer),
		wake:      make(chan struct{}, 1),
		endpoints: map[types.NamespacedName]*endpoint{},
	}
}

// NeedLeaderElection returns true: only the leader reconciles, so only it asks.
func (p *Poller) NeedLeaderElection() bool { return true }

// Start asks pods until ctx ends, and returns nil when no request is under way any
// more. It is to be called once.
func (p *Poller) Start(ctx context.Context) error {
	next := make(chan *target)
	var workers sync.WaitGroup
	for range p.o.Concurrency {
		workers.Go(func() {
			for t := range next {
				p.ask(ctx, t)
			}
		})
	}
	p.deal(ctx, next)
	close(next)
	workers.Wait()
	p.o.Client.CloseIdleConnections()
	return nil
}

// Watch says which pods an endpoint has, in place of those said before, and
// whether to ask them more often. It is cheap, and does not wait for anybody. Pods
// that are new are asked at once; of the others the last report stays.
func (p *Poller) Watch(key types.NamespacedName, targets []Target, fast bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoints[key]
	if e == nil {
		e = &endpoint{key: key, targets: map[identity]*target{}}
		p.endpoints[key] = e
	}
	wanted := map[identity]Target{}
	for _, t := range targets {
		if t.IP != "" {
			wanted[identity{t.UID, t.IP}] = t
		}
	}
	for id, t := range e.targets {
		if _, still := wanted[id]; !still {
			p.drop(t)
		}
	}
	p.setPace(e, fast)
	for id, t := range wanted {
		p.add(e, id, t)
	}
	p.release(e)
	p.signal()
}

// Forget lets go of an endpoint: Reports are empty, and Changed is not called,
// unless a call of it has begun.
func (p *Poller) Forget(key types.NamespacedName) { p.Watch(key, nil, false) }

// Reports returns what the pods of an endpoint said last, sorted by pod. Those that
// have not been asked yet are not among them.
func (p *Poller) Reports(key types.NamespacedName) []Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoints[key]
	if e == nil {
		return nil
	}
	var all []Report
	for _, t := range e.targets {
		if t.wanted && t.report != nil {
			all = append(all, *t.report)
		}
	}
	slices.SortFunc(all, func(a, b Report) int { return cmp.Compare(a.Pod, b.Pod) })
	return all
}

// Awaits reports whether the endpoint has a pod that has not been asked yet. It
// soon will have been, and Changed is called then.
func (p *Poller) Awaits(key types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoints[key]
	if e == nil {
		return false
	}
	for _, t := range e.targets {
		if t.wanted && t.report == nil {
			return true
		}
	}
	return false
}

// ask reads the page of a target whose turn it is.
func (p *Poller) ask(ctx context.Context, t *target) {
	start := p.o.Clock.Now()
	page, tls, err := p.read(ctx, t.IP, t.endpoint.key)
	if ctx.Err() != nil {
		return // the operator stops: that the read failed says nothing of the pod
	}
	p.metrics.count(err, p.o.Clock.Since(start))
	if p.finish(t, Report{Pod: t.Pod, Page: page, TLS: tls, Err: err, At: p.o.Clock.Now()}) {
		p.o.Changed(t.endpoint.key)
	}
}
