package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/handoff"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// ford lets connections to an address through at a bounded speed.
type ford struct {
	addr string
	to   string
	all  sync.WaitGroup
	ctx  context.Context //nolint:containedctx // it is that of the test
}

func newFord(t *testing.T, to string) *ford {
	l := servertest.Listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	f := &ford{addr: l.Addr().String(), to: to, ctx: ctx}
	f.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.all.Go(func() { f.pass(c) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		f.all.Wait()
	})
	return f
}

func (f *ford) pass(client net.Conn) {
	defer client.Close()
	var d net.Dialer
	server, err := d.DialContext(f.ctx, "tcp", f.to)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(f.ctx, func() { _ = client.Close(); _ = server.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	both.Go(func() { f.wade(server, client); _ = server.Close() })
	both.Wait()
}

// wade copies 16 KiB every 10 ms.
func (f *ford) wade(dst io.Writer, src io.Reader) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.CopyN(dst, src, 16<<10); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-f.ctx.Done():
			return
		}
	}
}

// TestSisterKilled kills the sister in the middle of a hand-over. What she has
// acknowledged is in her data directory; another sister has the rest; nothing is
// lost.
func TestSisterKilled(t *testing.T) {
	const many = 6000
	var up atomic.Bool
	sink := servertest.NewSinkhole(t, func(w http.ResponseWriter, _ *http.Request) bool {
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return up.Load()
	})
	f := newFleet(t, 4, servertest.Config(t, sink.URL, nil))
	fords := map[int]*ford{}
	for slot := range f.slots {
		fords[slot] = newFord(t, f.hosts(slot))
	}
	f.through = func(slot int) string { return fords[slot].addr }
	going, first, second := f.start(), f.start(), f.start()
	crowd := servertest.NewCrowd(t, 16, going.url, "e-", func() string { return servertest.OldSecret })
	servertest.Until(t, "events", func() bool { return crowd.Count() >= many })
	accepted := crowd.Stop()
	going.terminate()
	dying, heir := first, second
	servertest.Until(t, "a part of them at a sister", func() bool {
		if second.metric("handoff_transfers_received_total", "new") > 0 {
			dying, heir = second, first
			return true
		}
		return first.metric("handoff_transfers_received_total", "new") > 0
	})
	dying.kill()
	f.remove(going)
	if got := going.parting(); got.HandedOver != int64(len(accepted)) || got.Left != 0 {
		t.Errorf("the receiver said at its end: %+v, want all of %d handed over", got, len(accepted))
	}
	if heir.metric("received_deliveries_total", "") == 0 {
		t.Error("the other sister has got nothing: the test tests nothing")
	}
	f.startAt(dying) // on what is left of her
	kept := dying.metric("received_deliveries_total", "")
	up.Store(true)
	servertest.Until(t, "every event at the sink", func() bool { return sink.Count() >= len(accepted) })
	servertest.EqualSets(t, "delivered", accepted, sink.IDs())
	again := 0
	for _, n := range sink.Times() {
		again += n - 1
	}
	servertest.Until(t, "empty queues", func() bool {
		return heir.metric("queue_deliveries", "")+dying.metric("queue_deliveries", "") == 0
	})
	all := f.close(heir, dying)
	if twice := all.Received - all.HandedOver; twice < 0 || twice > 256 || int64(again) != twice {
		t.Errorf("%d deliveries are in two queues, and %d were made twice; at most a batch of 256 may be", twice, again)
	}
	if all.HandedOver != int64(len(accepted)) || all.Delivered != all.Received || all.Queued != 0 {
		t.Errorf("the books say %+v", all)
	}
	t.Logf("of %d deliveries the sister had %d when she died, and the other one got the rest; %d were delivered twice", len(accepted), kept, again)
}

// TestForgedHandOver has somebody without the endpoint's secret hand something over
// to a receiver. Nothing of it is stored, and it is counted.
func TestForgedHandOver(t *testing.T) {
	f := newFleet(t, 5, servertest.Config(t, "http://127.0.0.1:1", func(c *v1alpha1.Config) { c.Drain.Grace.Duration = 0 }))
	p := f.start()
	left := queue.Transfer{Sequence: 1, Event: &event.Event{ID: "forged", Hook: "push", Body: []byte("{}")}, Deliveries: []queue.TransferDelivery{{Sink: "app"}}}
	o := handoff.Options{
		Endpoint: handoff.Endpoint{Namespace: "community", Name: "chat"}, Secrets: []handoff.Secret{{Name: "mine", Value: []byte("a secret of my own")}},
		Unfinished: func(f func(*queue.Transfer) bool) error { f(&left); return nil },
		Forget: func(context.Context, []queue.Transfer) error {
			t.Error("something was forgotten")
			return nil
		},
		Sisters: func(context.Context) ([]netip.AddrPort, error) {
			return []netip.AddrPort{netip.MustParseAddrPort(f.hosts(p.slot))}, nil
		},
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := handoff.HandOver(ctx, o); err == nil {
		t.Error("it was taken")
	}
	for path, want := range map[string]int{"/v1/handoff/begin": 400, "/v1/handoff/batch": 400, "/metrics": 404} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.hosts(p.slot)+path, bytes.NewReader([]byte("\x01\x00")))
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, resp.StatusCode, want)
		}
	}
	if unproven, malformed := p.metric("handoff_requests_total", `"unproven"`), p.metric("handoff_requests_total", `"malformed"`); unproven == 0 || malformed != 2 {
		t.Errorf("counted: %d unproven, %d malformed", unproven, malformed)
	}
	if a := f.close(p); a != (account{}) {
		t.Errorf("the books say %+v, want nothing", a)
	}
}
