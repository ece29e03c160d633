package server_test

import (
	"fmt"
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
