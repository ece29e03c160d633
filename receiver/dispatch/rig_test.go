package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// fake is a sink made of a function. Deliver after Close fails the test.
type fake struct {
	t       testing.TB
	deliver func(ctx context.Context, e *event.Event) error
	closed  atomic.Int64
	active  atomic.Int64
	most    atomic.Int64
	calls   atomic.Int64
}

func (f *fake) Deliver(ctx context.Context, e *event.Event, _ int) error {
	f.calls.Add(1)
	n := f.active.Add(1)
	defer f.active.Add(-1)
	for m := f.most.Load(); n > m && !f.most.CompareAndSwap(m, n); m = f.most.Load() {
	}
	if f.closed.Load() > 0 {
		f.t.Error("an attempt began with a closed sink")
	}
	return f.deliver(ctx, e)
}

func (f *fake) Close() error {
	if f.active.Load() > 0 {
		f.t.Error("the sink was closed during an attempt")
	}
	f.closed.Add(1)
	return nil
}

func accepting(context.Context, *event.Event) error { return nil }

func failing(context.Context, *event.Event) error { return errRefused }

func hanging(ctx context.Context, _ *event.Event) error {
	<-ctx.Done()
	return fmt.Errorf("waiting: %w", ctx.Err())
}

var errRefused = errors.New("sink refused")

// seen counts what an observer is told.
type seen struct {
	mu      sync.Mutex
	counts  map[string]int
	breaker []dispatch.Breaker
}

func (s *seen) count(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[key]++
}

func (s *seen) all() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for k, n := range s.counts {
		out[k] = n
	}
	return out
}

func (s *seen) Attempt(sink, outcome string, _ time.Duration) { s.count(sink + " " + outcome) }
func (s *seen) Delivered(sink string, _ time.Duration)        { s.count(sink + " arrived") }
func (s *seen) Dead(sink, class string)                       { s.count(sink + " dead of " + class) }

func (s *seen) Breaker(_ string, state dispatch.Breaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaker = append(s.breaker, state)
}

// states returns the breaker's states so far.
func (s *seen) states() []dispatch.Breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.breaker)
}

// rig is a Runner that runs, and what is around it.
type rig struct {
	*dispatch.Runner
	queue *consumer
	seen  *seen
	log   *sinktest.Log
}

// start runs a Runner until the test ends, and then checks the ledger.
func start(t testing.TB, edit func(*dispatch.Options)) *rig {
	g := &rig{queue: newConsumer(t), seen: &seen{}, log: &sinktest.Log{}}
	o := dispatch.Options{Sink: "app", Consumer: g.queue, Observer: g.seen, Logger: slog.New(slog.NewTextHandler(g.log, nil))}
	if edit != nil {
		edit(&o)
	}
	g.Runner = dispatch.New(o)
	done := make(chan struct{})
	go func() { g.Run(context.Background()); close(done) }()
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		g.Stop(now)
		<-done
		g.queue.balanced()
	})
	return g
}

func settings() config.Delivery {
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	return config.Delivery{
		MaxAttempts: 3, MinBackoff: d(time.Millisecond), MaxBackoff: d(4 * time.Millisecond), MaxAge: d(time.Hour),
		Timeout: d(10 * time.Second), Concurrency: 4,
	}
}

func ids(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("evt-%03d", i))
	}
	return all
}
