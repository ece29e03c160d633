package handoff_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/handoff"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	chat   = handoff.Endpoint{Namespace: "community", Name: "chat"}
	secret = handoff.Secret{Name: "current", Value: []byte("the secret of the tests")}
	other  = handoff.Secret{Name: "next", Value: []byte("another secret of the tests")}
)

// fake is a queue in memory.
type fake struct {
	mu    sync.Mutex
	left  []queue.Transfer
	got   []queue.Transfer
	known map[string]bool
	sinks []string // those that are known; nil: all
	err   func(batch []queue.Transfer) error
}

func (f *fake) Unfinished(yield func(*queue.Transfer) bool) error {
	f.mu.Lock()
	left := slices.Clone(f.left)
	f.mu.Unlock()
	for i := range left {
		if !yield(&left[i]) {
			return nil
		}
	}
	return nil
}

func (f *fake) Forget(_ context.Context, gone []queue.Transfer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range gone {
		for i := range f.left {
			if f.left[i].Sequence != g.Sequence {
				continue
			}
			f.left[i].Deliveries = slices.DeleteFunc(slices.Clone(f.left[i].Deliveries), func(d queue.TransferDelivery) bool {
				return slices.ContainsFunc(g.Deliveries, func(e queue.TransferDelivery) bool { return e.Sink == d.Sink })
			})
		}
	}
	f.left = slices.DeleteFunc(f.left, func(t queue.Transfer) bool { return len(t.Deliveries) == 0 })
	return nil
}

func (f *fake) Receive(_ context.Context, batch []queue.Transfer) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		if err := f.err(batch); err != nil {
			return 0, err
		}
	}
	for _, t := range batch {
		for _, d := range t.Deliveries {
			if d.Dead == nil && f.sinks != nil && !slices.Contains(f.sinks, d.Sink) {
				return 0, queue.ErrUnknownSink
			}
		}
	}
	n := 0
	for _, t := range batch {
		if f.known[key(t)] {
			continue
		}
		if f.known == nil {
			f.known = map[string]bool{}
		}
		f.known[key(t)] = true
		f.got, n = append(f.got, t), n+1
	}
	return n, nil
}

func key(t queue.Transfer) string {
	s := fmt.Sprint(t.Sequence)
	if t.Event != nil {
		s = t.Event.ID
	}
	for _, d := range t.Deliveries {
		s += " " + d.Sink
	}
	return s
}

// ids lists the deliveries of transfers, as id@sink.
func (f *fake) ids(of func(*fake) []queue.Transfer) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, t := range of(f) {
		for _, d := range t.Deliveries {
			id := "?"
			if t.Event != nil {
				id = t.Event.ID
			}
			out = append(out, id+"@"+d.Sink)
		}
	}
	slices.Sort(out)
	return out
}

func (f *fake) rest() []string     { return f.ids(func(f *fake) []queue.Transfer { return f.left }) }
func (f *fake) received() []string { return f.ids(func(f *fake) []queue.Transfer { return f.got }) }

// full returns a queue with n events for the sinks.
func full(n int, sinks ...string) *fake {
	f := &fake{}
	for i := range n {
		t := queue.Transfer{Sequence: uint64(i + 1), Event: &event.Event{ID: fmt.Sprintf("e-%05d", i), Hook: "push", Type: "message.new",
			ReceivedAt: time.Unix(1700000000, int64(i)).UTC(), Headers: []event.Header{{Name: "X-A", Value: "b"}}, Body: fmt.Appendf(nil, `{"n":%d}`, i)}}
		for _, s := range sinks {
			t.Deliveries = append(t.Deliveries, queue.TransferDelivery{Sink: s, Attempts: i % 7})
		}
		f.left = append(f.left, t)
	}
	return f
}

// counts observes both sides.
type counts struct {
	mu   sync.Mutex
	n    map[string]int
	seen func(what string)
}

func newCounts() *counts { return &counts{n: map[string]int{}} }

func (c *counts) add(what string) {
	c.mu.Lock()
	c.n[what]++
	c.mu.Unlock()
	if c.seen != nil {
		c.seen(what)
	}
}
func (c *counts) Asked(r handoff.Reason)     { c.add("asked:" + string(r)) }
func (c *counts) Received(_, stored int)     { c.add(fmt.Sprint("received:", stored)) }
func (c *counts) Sent(o handoff.SentOutcome) { c.add("sent:" + string(o)) }
func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// sisterRig is a sister that listens.
type sisterRig struct {
	*counts
	queue    *fake
	receiver *handoff.Receiver
	addr     netip.AddrPort
	stop     func()
}

// listen starts a sister; edit may be nil.
func listen(t testing.TB, q *fake, edit func(*handoff.ReceiverOptions)) *sisterRig {
	t.Helper()
	s := &sisterRig{counts: newCounts(), queue: q}
	o := handoff.ReceiverOptions{Endpoint: chat, Secrets: func() []handoff.Secret { return []handoff.Secret{secret} }, Receive: q.Receive,
		NotReady: func() error { return nil }, MaxBody: func() int64 { return 1 << 20 }, Observer: s.counts, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	if edit != nil {
		edit(&o)
	}
	s.receiver = handoff.NewReceiver(o)
	s.addr, s.stop = serve(t, s.receiver.Server())
	return s
}

// serve serves on a free port of loopback, until stop or the end of the test.
func serve(t testing.TB, srv *http.Server) (addr netip.AddrPort, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(handoff.Limit(l)) }()
	stop = sync.OnceFunc(func() { _ = srv.Close(); <-done })
	t.Cleanup(stop)
	return netip.MustParseAddrPort(l.Addr().String()), stop
}

// options hand q over to sisters.
func options(q *fake, c *counts, sisters ...netip.AddrPort) handoff.Options {
	return handoff.Options{Endpoint: chat, Secrets: []handoff.Secret{secret}, Unfinished: q.Unfinished, Forget: q.Forget,
		Sisters:  func(context.Context) ([]netip.AddrPort, error) { return slices.Clone(sisters), nil },
		Observer: c, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
}

// soon is enough for a hand-over that succeeds, brief for one that does not.
const (
	soon  = 20 * time.Second
	brief = 700 * time.Millisecond
)

func handOver(t testing.TB, d time.Duration, o handoff.Options) (handoff.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return handoff.HandOver(ctx, o)
}
