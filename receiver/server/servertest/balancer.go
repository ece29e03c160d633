package servertest

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Balancer forwards connections to receivers in turn, as kube-proxy does: to those
// that are ready, and for a while still to those that are about to go.
type Balancer struct {
	// Addr is where it listens.
	Addr string
	t    testing.TB
	stop context.CancelFunc
	all  sync.WaitGroup
	ctx  context.Context //nolint:containedctx // it is that of the test

	mu    sync.Mutex
	ready []string
	next  int
}

// NewBalancer starts a Balancer without receivers.
func NewBalancer(t testing.TB) *Balancer {
	l := Listen(t)
	b := &Balancer{Addr: l.Addr().String(), t: t}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.all.Go(func() { b.forward(c) })
		}
	})
	t.Cleanup(func() {
		b.stop()
		_ = l.Close()
		b.all.Wait()
	})
	return b
}

// look is how often a receiver is asked whether it is ready.
const look = 20 * time.Millisecond

// Add has connections go to addr as soon and as long as telemetry says that it is
// ready, until leave is called and lag has passed since. leave may be called once.
func (b *Balancer) Add(addr, telemetry string, lag time.Duration) (leave func()) {
	ctx, cancel := context.WithCancel(b.ctx)
	b.all.Go(func() {
		defer b.set(addr, false)
		tick := time.NewTicker(look)
		defer tick.Stop()
		for {
			b.set(addr, isReady(ctx, telemetry))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() { time.AfterFunc(lag, cancel) }
}

func isReady(ctx context.Context, telemetry string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+telemetry+"/readyz", nil)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (b *Balancer) set(addr string, ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = slices.DeleteFunc(b.ready, func(a string) bool { return a == addr })
	if ready {
		b.ready = append(b.ready, addr)
	}
}

// Has reports whether connections go to addr.
func (b *Balancer) Has(addr string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.ready, addr)
}

func (b *Balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ready) == 0 {
		return ""
	}
	b.next++
	return b.ready[b.next%len(b.ready)]
}

// forward connects one client with a receiver until one of them ends.
func (b *Balancer) forward(client net.Conn) {
	defer client.Close()
	to := b.pick()
	if to == "" {
		return
	}
	var d net.Dialer
	backend, err := d.DialContext(b.ctx, "tcp", to)
	if err != nil {
		return
	}
	defer backend.Close()
	stop := context.AfterFunc(b.ctx, func() { _ = client.Close(); _ = backend.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { pipe(backend, client) })
	both.Go(func() { pipe(client, backend) })
	both.Wait()
}

// pipe copies until src ends, and tells dst so.
func pipe(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	if c, ok := dst.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
}
