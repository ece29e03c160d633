package server_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// While attempts at a sink that is taken out are waited for, the status page and
// readiness answer.
func TestStatusDoesNotWaitForSinks(t *testing.T) {
	begun := make(chan struct{}, 64)
	hanging := servertest.NewSinkhole(t, func(_ http.ResponseWriter, r *http.Request) bool {
		begun <- struct{}{}
		<-r.Context().Done()
		return false
	})
	good := servertest.NewSinkhole(t, nil)
	c := servertest.Config(t, good.URL, func(c *v1alpha1.Config) {
		slow := servertest.HTTPSink("hanging", hanging.URL)
		slow.Delivery.Timeout.Duration = 4 * time.Second
		c.Sinks, c.Drain.Grace.Duration = append(c.Sinks, slow), 0
	})
	r := start(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret))
	if got := servertest.Post(t, servertest.NewClient(t), r.url, "a", servertest.OldSecret, servertest.BodyOf("a")); got != 200 {
		t.Fatalf("status = %d", got)
	}
	<-begun
	c.Sinks, c.Endpoint.Generation = c.Sinks[:1], 2
	r.source.Set(servertest.Encode(t, c), servertest.Secrets(servertest.OldSecret))
	servertest.Until(t, "the new configuration", func() bool { return r.receiver.Config().Endpoint.Generation == 2 })
	before := time.Now()
	for range 20 {
		r.get("/readyz")
		r.get("/statusz")
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("40 looks took %s", took)
	}
	servertest.Until(t, "the status of it", func() bool { return r.status().Config.Generation == 2 })
}

// A sink with whenFull DropOldest loses its oldest deliveries when the queue is
// full, and the provider is answered 200; without one, it is answered 503.
func TestWhenFull(t *testing.T) {
	for name, tt := range map[string]struct {
		whenFull api.WhenFull
		want     int
	}{"reject": {api.WhenFullReject, 503}, "drop oldest": {api.WhenFullDropOldest, 200}} {
		t.Run(name, func(t *testing.T) {
			c := servertest.Config(t, "http://127.0.0.1:1", func(c *v1alpha1.Config) {
				c.Sinks[0].WhenFull, c.Queue.CapacityBytes, c.Drain.Grace.Duration = tt.whenFull, 16<<10, 0
			})
			r := start(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret))
			client, last := servertest.NewClient(t), 0
			for i := range 200 {
				id := fmt.Sprint("e-", i)
				if last = servertest.Post(t, client, r.url, id, servertest.OldSecret, servertest.BodyOf(id)); last != 200 {
					break
				}
			}
			if last != tt.want {
				t.Errorf("the last status = %d, want %d", last, tt.want)
			}
			s := r.status()
			if dropped := s.Sinks[0].Dropped > 0; dropped != (tt.want == 200) || len(s.Queue.Alerts) == 0 {
				t.Errorf("sink %+v, queue %+v", s.Sinks[0], s.Queue)
			}
		})
	}
}

// With a quarantine, requests that fail verification are kept; without one, they
// are not.
func TestQuarantine(t *testing.T) {
	for _, kept := range []int64{0, 3} {
		c := servertest.Config(t, "http://127.0.0.1:1", func(c *v1alpha1.Config) {
			if kept > 0 {
				c.Queue.Quarantine = &v1alpha1.Quarantine{MaxRequests: 3, CapacityBytes: 1 << 20, MaxAge: metav1.Duration{Duration: time.Hour}}
			}
		})
		r := start(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret))
		for i := range 4 {
			id := fmt.Sprint("e-", i)
			if got := servertest.Post(t, servertest.NewClient(t), r.url, id, servertest.NewSecret, servertest.BodyOf(id)); got != 401 {
				t.Errorf("status = %d, want 401", got)
			}
		}
		servertest.Until(t, fmt.Sprint(kept, " requests in quarantine"), func() bool { return r.status().Queue.Quarantined == kept })
		r.end()
	}
}
