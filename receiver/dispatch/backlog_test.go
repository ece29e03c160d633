package dispatch_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// backlog is an embedded queue with one sink, app, and the Runner of that.
type backlog struct {
	*embedded.Queue
	runner   *dispatch.Runner
	appended atomic.Int64
	leased   leases
}

// leases is a consumer that counts how often a delivery was leased after a younger
// one.
type leases struct {
	queue.Consumer
	last, unordered atomic.Uint64
}

// Lease implements queue.Consumer.
func (l *leases) Lease(ctx context.Context) (*queue.Delivery, error) {
	d, err := l.Consumer.Lease(ctx)
	if err == nil && l.last.Swap(d.Sequence) > d.Sequence {
		l.unordered.Add(1)
	}
	return d, err
}

var roomy = queue.Limits{Capacity: 16 << 30, Retention: time.Hour}

// openBacklog opens a queue, and runs its sink until the test ends or end is
// called.
func openBacklog(t testing.TB, o embedded.Options) (b *backlog, end func()) {
	o.Limits = roomy
	q, err := embedded.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.SetSinks([]string{"app"}); err != nil {
		t.Fatal(err)
	}
	c, err := q.Consumer("app")
	if err != nil {
		t.Fatal(err)
	}
	b = &backlog{Queue: q}
	b.leased.Consumer = c
	b.runner = dispatch.New(dispatch.Options{Sink: "app", Consumer: &b.leased, Rand: func() float64 { return 0 }})
	done := make(chan struct{})
	go func() { b.runner.Run(context.Background()); close(done) }()
	end = sync.OnceFunc(func() {
		b.runner.Stop(context.Background())
		<-done
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return b, end
}

// app is the ledger of the only sink.
func (b *backlog) app() queue.SinkStats { return b.Stats().Sinks["app"] }

// append stores the next event, whose id is its number.
func (b *backlog) append(t testing.TB, body []byte) {
	e := event.Event{
		ID: fmt.Sprintf("%012d", b.appended.Add(1)), Hook: "push", Type: "message.new", Subject: "messaging:fun",
		ContentType: "application/json", Headers: []event.Header{{Name: "X-Webhook-Id", Value: "x"}}, ReceivedAt: time.Now(), Body: body,
	}
	out, err := b.Append(context.Background(), &e, queue.Dedup{Key: queue.ByID, Window: 10 * time.Minute}, []string{"app"})
	if err != nil || out != queue.Stored {
		t.Errorf("appending: %v, %v", out, err)
	}
}

// fill appends until there are n, as many requests at once do.
func (b *backlog) fill(t testing.TB, n int64, body []byte) {
	var next atomic.Int64
	next.Store(b.appended.Load())
	var all sync.WaitGroup
	for range producers {
		all.Go(func() {
			for next.Add(1) <= n {
				b.append(t, body)
			}
		})
	}
	all.Wait()
}

const producers = 64

// hours are settings with which an open breaker stays open while a test runs.
func hours() config.Delivery {
	d := settings()
	d.MaxAttempts, d.MinBackoff.Duration, d.MaxBackoff.Duration, d.MaxAge.Duration = 20, time.Hour, time.Hour, 100*time.Hour
	d.Concurrency = 16
	return d
}

// With a sink down, what is queued stays on disk: no attempt is used up, nothing
// waits for a retry but what failed before the breaker opened, and memory does
// not grow. When the sink is back all is delivered, oldest first.
func TestBacklogOfSinkThatIsDown(t *testing.T) {
	const n, before = 50_000, 5_000
	b, _ := openBacklog(t, embedded.Options{Dir: "data", FS: vfs.NewMem()})
	down := &fake{t: t, deliver: failing}
	b.runner.Update(down, hours())
	b.fill(t, before, []byte("{}"))
	eventually(t, "an open breaker", b.runner.Stalled)
	b.fill(t, n, []byte("{}"))
	most := int64(10 + hours().Concurrency)
	if tried := down.calls.Load(); tried > most {
		t.Errorf("%d attempts at a sink that is down, want at most %d", tried, most)
	}
	if got := b.app(); got.Queued != n || got.Retrying > most {
		t.Errorf("%d queued and %d of them retrying, want %d and at most %d", got.Queued, got.Retrying, n, most)
	}

	// Those that failed wait for an hour; all others come in their order.
	retrying := b.app().Retrying
	b.leased.last.Store(0)
	b.leased.unordered.Store(0)
	one := hours()
	one.Concurrency = 1
	b.runner.Update(&fake{t: t, deliver: accepting}, one)
	eventually(t, "the backlog's end", func() bool { return b.app().Queued == retrying })
	if n := b.leased.unordered.Load(); n > 0 {
		t.Errorf("%d deliveries came after a younger one", n)
	}
	if got := b.app(); got.Accepted != n || got.Delivered != n-retrying || got.Dead+got.Dropped != 0 {
		t.Errorf("ledger %+v", got)
	}
}

// The heap of a queue that nobody takes from does not depend on what is in it.
func TestBacklogTakesNoMemory(t *testing.T) {
	b, _ := openBacklog(t, embedded.Options{Dir: t.TempDir()})
	b.runner.Update(&fake{t: t, deliver: failing}, hours())
	b.fill(t, 2_000, make([]byte, 1280))
	eventually(t, "an open breaker", b.runner.Stalled)
	before := heap()
	b.fill(t, 40_000, make([]byte, 1280))
	if grown := heap() - before; grown > 24<<20 { // the cache fills up
		t.Errorf("38000 more queued deliveries, of 50 MiB, take %d MiB of memory", grown>>20)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An event that always fails keeps none behind it from being delivered.
func TestPoisonBlocksNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		unsent bool
	}{
		{"for now", errRefused, false},
		{"busy", &sink.Error{Err: errRefused, Busy: true}, false},
		{"unsent", &sink.Error{Err: errRefused, Unsent: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n, attempts = 2000, 20
			b, _ := openBacklog(t, embedded.Options{Dir: "data", FS: vfs.NewMem()})
			b.fill(t, n, []byte("{}"))
			d := settings()
			d.MaxAttempts, d.Concurrency = attempts, 1
			var poisoned atomic.Int64
			b.runner.Update(&fake{t: t, deliver: func(_ context.Context, e *event.Event) error {
				if e.ID == "000000000001" {
					poisoned.Add(1)
					return tt.err
				}
				return nil
			}}, d)
			eventually(t, "all others", func() bool { return b.app().Delivered == n-1 })
			if tt.unsent { // no connection is not the event's fault: alone in the queue, it dies of age only
				return
			}
			eventually(t, "the poison's end", func() bool { return b.app().Dead == 1 })
			if got := poisoned.Load(); got != attempts {
				t.Errorf("%d attempts at the poison, want %d", got, attempts)
			}
		})
	}
}
