package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// BenchmarkAccept is the accept path with a signature, dedup and a synced append
// for each request, 64 at once, without the network: what the handler itself
// costs.
func BenchmarkAccept(b *testing.B) {
	c := servertest.Config(b, "http://127.0.0.1:1", func(c *v1alpha1.Config) {
		c.Suspend = api.SuspendDeliveries
		c.Queue.CapacityBytes = 8 << 30
		c.Drain.Grace.Duration = 0
	})
	r := start(b, b.TempDir(), c, servertest.Secrets(servertest.OldSecret))
	body := `{"type":"message.new","cid":"messaging:fun","created_at":"2020-03-30T07:54:46.295138Z","message":{"text":"` + strings.Repeat("text ", 220) + `"}}`
	signature := servertest.Request(b, r.url, "x", servertest.OldSecret, body).Header.Get("X-Signature")
	var id atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		rec := &discard{header: http.Header{}}
		for pb.Next() {
			req, err := http.NewRequest(http.MethodPost, r.url, strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			req.RemoteAddr = "127.0.0.1:4711"
			req.Header["X-Signature"] = []string{signature}
			req.Header["X-Webhook-Id"] = []string{fmt.Sprintf("id-%d", id.Add(1))}
			r.receiver.ServeHTTP(rec, req)
			if rec.status != http.StatusOK {
				b.Errorf("status = %d", rec.status)
				return
			}
		}
	})
}

// discard is a ResponseWriter that keeps the status only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkServe is the whole way over loopback: 64 connections that each send
// when they have their answer, and a sink that takes every event meanwhile. It
// is for profiling (-cpuprofile). Clients and sink
// are in the same process, so its figures are of all of them together.
func BenchmarkServe(b *testing.B) {
	sink := servertest.Listen(b)
	srv := &http.Server{ReadHeaderTimeout: servertest.Wait, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})}
	go func() { _ = srv.Serve(sink) }()
	b.Cleanup(func() { _ = srv.Close() })
	r := start(b, b.TempDir(), servertest.Config(b, "http://"+sink.Addr().String(), func(c *v1alpha1.Config) {
		c.Queue.CapacityBytes = 8 << 30
		c.Sinks[0].Delivery.Concurrency = 64
	}), servertest.Secrets(servertest.OldSecret))
	var id atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/hooks"))
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		head, body := rawParts(b)
		answers := bufio.NewReader(c)
		for pb.Next() {
			if _, err := fmt.Fprintf(c, "%sX-Webhook-Id: id-%d\r\n\r\n%s", head, id.Add(1), body); err != nil {
				b.Error(err)
				return
			}
			resp, err := http.ReadResponse(answers, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				b.Errorf("answer: %v, %v", resp, err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	})
}

// rawParts is a signed request of 1.25 KiB as text, in two parts: between them
// goes the id.
func rawParts(b *testing.B) (head, body string) {
	body = `{"type":"message.new","cid":"messaging:fun","message":{"text":"` + strings.Repeat("text ", 220) + `"},"user":{"id":"u"},"created_at":"2020-03-30T07:54:46.295138Z"}`
	signature := servertest.Request(b, "http://x/hooks", "x", servertest.OldSecret, body).Header.Get("X-Signature")
	return fmt.Sprintf("POST /hooks HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\nContent-Type: application/json\r\nX-Signature: %s\r\nContent-Length: %d\r\n", signature, len(body)), body
}
