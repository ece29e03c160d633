package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// BenchmarkFlood sends valid webhooks at a steady rate while strangers send forged
// ones, twenty times as many or as fast as they can, over real sockets of loopback.
// It reports how long the valid ones took, how many of them were refused or got no
// answer (refused), how many were forged a second, and how many forged ones came to
// each valid one.
//
// Senders, receiver and its disk share this machine's cores, so what the forged
// requests cost their senders is in the figures too.
//
//	go test ./receiver/server -run '^$' -bench Flood -benchtime 5s
func BenchmarkFlood(b *testing.B) {
	for name, f := range map[string]flood{
		"none":                         {},
		"20to1":                        {senders: 64, sources: 200, each: 20 * validPerSecond},
		"full speed":                   {senders: 64, sources: 200},
		"full speed, per-source limit": {senders: 64, sources: 200, perSource: 200},
		"one source":                   {senders: 64, sources: 1},
		"shared with provider":         {senders: 64, sources: 1, shared: true},
		"shared, 20to1":                {senders: 64, sources: 1, shared: true, each: 20 * validPerSecond},
		"slow bodies":                  {slow: 3000, sources: 3000, senders: 16, each: 20 * validPerSecond},
		"slow headers":                 {silent: 4000, sources: 3000, senders: 16, each: 20 * validPerSecond},
	} {
		b.Run(name, func(b *testing.B) { f.run(b) })
	}
}

// validPerSecond is how many valid webhooks are sent.
const validPerSecond = 100

// flood is what strangers do.
type flood struct {
	senders   int  // connections that send forged requests and read the answers
	sources   int  // addresses that they and the others come from
	each      int  // forged requests a second, of all senders; 0: as fast as they can
	slow      int  // connections with a body that never comes
	silent    int  // connections with headers that never end
	shared    bool // they have the provider's address
	perSource int  // requestsPerSecondPerSource
}

const provider = "127.77.0.1"

// from is the address of a stranger.
func (f *flood) from(n int) string {
	if f.shared {
		return provider
	}
	n %= f.sources
	return fmt.Sprintf("127.88.%d.%d", n/250, 1+n%250)
}

func (f *flood) run(b *testing.B) {
	r := startWith(b, b.TempDir(), servertest.Config(b, "http://127.0.0.1:1", func(c *v1alpha1.Config) {
		c.Sources = v1alpha1.Sources{Mode: api.SourceObserve} // so that nobody is refused for an address
		c.Suspend = api.SuspendDeliveries
		c.Queue.CapacityBytes = 8 << 30
		c.Drain.Grace.Duration = 0
		c.Limits.RequestsPerSecondPerSource = f.perSource
	}), servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) { o.ReadTimeout = 15 * time.Second })
	valid := newCaller(b, r, provider)
	if valid.send(b, "first", servertest.OldSecret) != http.StatusOK {
		b.Fatal("the first webhook is refused")
	}
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	var forged atomic.Int64
	began := time.Now()
	for n := range f.senders {
		all.Go(func() { f.forge(ctx, r, n, &forged) })
	}
	for n := range f.slow {
		all.Go(func() { f.hang(ctx, r, n, "Content-Length: 1000\r\n\r\n{") })
	}
	for n := range f.silent {
		all.Go(func() { f.hang(ctx, r, n, "X-Slow: ") })
	}
	b.ResetTimer()
	var took []time.Duration
	refused := 0
	tick := time.NewTicker(time.Second / validPerSecond)
	defer tick.Stop()
	for i := 0; b.Loop(); i++ {
		<-tick.C
		start := time.Now()
		if valid.send(b, fmt.Sprintf("valid-%d", i), servertest.OldSecret) != http.StatusOK {
			refused++
		}
		took = append(took, time.Since(start))
	}
	rate := float64(forged.Load()) / time.Since(began).Seconds()
	cancel()
	all.Wait()
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(refused), "refused")
	b.ReportMetric(rate, "forged/s")
	b.ReportMetric(float64(forged.Load())/float64(len(took)), "forged/valid")
}

// forge sends forged requests until ctx ends, by one connection at a time.
func (f *flood) forge(ctx context.Context, r *receiver, n int, sent *atomic.Int64) {
	c := &caller{host: r.host(), from: f.from(n)}
	defer c.close()
	var pace <-chan time.Time
	if f.each > 0 {
		t := time.NewTicker(time.Second * time.Duration(f.senders) / time.Duration(f.each))
		defer t.Stop()
		pace = t.C
	}
	body := servertest.BodyOf("forged")
	head := fmt.Sprintf("POST /hooks HTTP/1.1\r\nHost: x\r\nX-Signature: %s\r\nContent-Length: %d\r\nX-Webhook-Id: ", strings.Repeat("0", 64), len(body))
	for i := 0; ctx.Err() == nil; i++ {
		if pace != nil {
			select {
			case <-pace:
			case <-ctx.Done():
				return
			}
		}
		if _, err := c.exchange(fmt.Sprintf("%s%d-%d\r\n\r\n%s", head, n, i, body)); err == nil {
			sent.Add(1)
		}
	}
}

// hang begins a request, never ends it, and begins again a second after the
// connection was closed.
func (f *flood) hang(ctx context.Context, r *receiver, n int, rest string) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for ; ctx.Err() == nil; <-again.C {
		c := &caller{host: r.host(), from: f.from(n)}
		if err := c.open(); err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, c.close)
		_, err := io.WriteString(c.conn, "POST /hooks HTTP/1.1\r\nHost: x\r\nX-Signature: "+strings.Repeat("0", 64)+"\r\n"+rest)
		if err == nil {
			_, _ = io.Copy(io.Discard, c.conn)
		}
		stop()
		c.close()
	}
}

// caller sends requests by a connection from an address, and opens it again when it
// is closed.
type caller struct {
	host, from string
	conn       net.Conn
	answers    *bufio.Reader
}

func newCaller(b *testing.B, r *receiver, from string) *caller {
	c := &caller{host: r.host(), from: from}
	b.Cleanup(c.close)
	return c
}

func (c *caller) open() error {
	if c.conn != nil {
		return nil
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.from)}, Timeout: servertest.Wait}
	conn, err := d.Dial("tcp", c.host)
	if err != nil {
		return err
	}
	c.conn, c.answers = conn, bufio.NewReader(conn)
	return nil
}

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// exchange sends a request and returns the answer's status. It is tried once more on
// a connection of its own if the one in use was closed before any answer came.
func (c *caller) exchange(request string) (int, error) {
	for tries := 0; ; tries++ {
		kept := c.conn != nil
		status, err := c.once(request)
		if err != nil {
			c.close()
			c.conn = nil
		}
		if err == nil || !kept || tries > 0 {
			return status, err
		}
	}
}

func (c *caller) once(request string) (int, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	if err := c.conn.SetDeadline(time.Now().Add(servertest.Wait)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c.conn, request); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	if resp.Close {
		c.close()
		c.conn = nil
	}
	return resp.StatusCode, nil
}

// send sends a signed webhook and returns the answer's status.
func (c *caller) send(b *testing.B, id, secret string) int {
	body := servertest.BodyOf(id)
	signature := servertest.Request(b, "http://x/hooks", id, secret, body).Header.Get("X-Signature")
	status, err := c.exchange(fmt.Sprintf("POST /hooks HTTP/1.1\r\nHost: x\r\nX-Signature: %s\r\nX-Webhook-Id: %s\r\nContent-Length: %d\r\n\r\n%s", signature, id, len(body), body))
	if err != nil {
		return 0
	}
	return status
}
