package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// While the secret is rotated under load, by way of an overlap, nothing is
// refused and nothing is lost.
func TestRotationUnderLoad(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
	var current atomic.Value
	current.Store(servertest.OldSecret)
	c := servertest.NewCrowd(t, 8, r.url, "e", func() string { return current.Load().(string) })
	for step, s := range []struct {
		entries []string
		sign    string
	}{
		{[]string{servertest.OldSecret, servertest.NewSecret}, servertest.NewSecret},
		{[]string{servertest.NewSecret}, servertest.NewSecret},
		{[]string{servertest.NewSecret, servertest.OldSecret + "\n"}, servertest.OldSecret},
	} {
		before := c.Count()
		r.source.Set(servertest.Encode(t, servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Endpoint.Generation = int64(step + 2) })), servertest.Secrets(s.entries...))
		servertest.Until(t, "the new secrets", func() bool { return r.status().Config.Generation == int64(step+2) })
		current.Store(s.sign)
		servertest.Until(t, "more events", func() bool { return c.Count() > before+100 })
	}
	accepted := c.Stop()
	r.end()
	if len(c.Other) > 0 {
		t.Errorf("answers other than 200: %v", c.Other)
	}
	servertest.EqualSets(t, "delivered", accepted, sink.IDs())
}

// A configuration that does not load leaves the last good one working, and is
// told.
func TestBadConfigurationIsNotTaken(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
	good := servertest.Encode(t, servertest.Config(t, sink.URL, nil))
	edited := func(part, instead string) []byte { return []byte(strings.Replace(string(good), part, instead, 1)) }
	for name, tt := range map[string]struct {
		config []byte
		says   string // a part of what is told
	}{
		"syntax":        {[]byte("{"), ""},
		"unknown field": {edited(`"path"`, `"paht"`), `unknown field "paht"`},
		"other version": {edited("/v1alpha1", "/v9"), "this receiver reads"},
		"later schema":  {edited(`"path"`, `"schema": 99, "colour": "red", "path"`), "it has schema 99, and this program reads schemas up to"},
		"other endpoint": {servertest.Encode(t, servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
			c.Endpoint.Name = "other"
		})), "this receiver serves"},
		"nobody may send": {servertest.Encode(t, servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Sources.Ranges = nil })), "everybody would be refused"},
	} {
		t.Run(name, func(t *testing.T) {
			r.source.Set(tt.config, servertest.Secrets(servertest.OldSecret))
			servertest.Until(t, "the refusal", func() bool { return r.status().Config.Error != "" })
			if says := r.status().Config.Error; !strings.Contains(says, tt.says) {
				t.Errorf("/statusz says %q, want %q", says, tt.says)
			}
			if got := servertest.Post(t, servertest.NewClient(t), r.url, name, servertest.OldSecret, servertest.BodyOf(name)); got != 200 {
				t.Errorf("status = %d, want 200", got)
			}
			r.source.Set(good, servertest.Secrets(servertest.OldSecret))
			servertest.Until(t, "the good one", func() bool { return r.status().Config.Error == "" })
		})
	}
}

// A sink that is dead, in whichever way, delays no other; and a sink that lacks
// its secret is pending, and gets its events when the secret comes.
func TestSinksAreIndependent(t *testing.T) {
	good := servertest.NewSinkhole(t, nil)
	late := servertest.NewSinkhole(t, nil)
	hanging := servertest.NewSinkhole(t, func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return false })
	refusing := servertest.NewSinkhole(t, func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return false })
	dripping := servertest.NewSinkhole(t, func(w http.ResponseWriter, r *http.Request) bool {
		drip(w, r)
		return false
	})
	c := servertest.Config(t, good.URL, func(c *v1alpha1.Config) {
		for name, url := range map[string]string{"hanging": hanging.URL, "refusing": refusing.URL, "dripping": dripping.URL, "gone": "http://127.0.0.1:1"} {
			c.Sinks = append(c.Sinks, servertest.HTTPSink(name, url))
		}
		pending := servertest.HTTPSink("late", late.URL)
		pending.HTTP.Headers = []v1alpha1.SinkHeader{{Name: "Authorization", File: "app/token"}}
		c.Sinks = append(c.Sinks, pending)
		c.Drain.Grace.Duration = 0
	})
	r := start(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret))
	crowd := servertest.NewCrowd(t, 4, r.url, "e", func() string { return servertest.OldSecret })
	servertest.Until(t, "500 events", func() bool { return crowd.Count() > 500 })
	accepted := crowd.Stop()
	servertest.UntilAll(t, accepted, good)
	servertest.EqualSets(t, "delivered to the good sink", accepted, good.IDs())
	if len(late.IDs()) != 0 {
		t.Error("a sink without its secret got events")
	}
	withToken := servertest.Secrets(servertest.OldSecret)
	withToken["app/token"] = []byte("Bearer something")
	r.source.Set(servertest.Encode(t, c), withToken)
	servertest.UntilAll(t, accepted, late)
	servertest.EqualSets(t, "delivered to the late sink", accepted, late.IDs())
}

// drip answers a byte at a time, for as long as somebody reads.
func drip(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(200)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			if http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	}
}

// A receiver that is asked to stop answers everything that was sent to it, says
// that clients should go elsewhere, and delivers what it holds.
func TestTermination(t *testing.T) {
	slow := make(chan struct{})
	sink := servertest.NewSinkhole(t, func(http.ResponseWriter, *http.Request) bool { <-slow; return true })
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Drain.Delay.Duration = 500 * time.Millisecond }), servertest.Secrets(servertest.OldSecret))
	client := servertest.NewClient(t)
	accepted := map[string]bool{}
	send := func(id string) bool {
		resp, err := client.Do(servertest.Request(t, r.url, id, servertest.OldSecret, servertest.BodyOf(id)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: status = %d, want 200", id, resp.StatusCode)
		}
		accepted[id] = true
		return resp.Close
	}
	if send("before") {
		t.Error("a connection was closed before the stop")
	}
	ended := make(chan struct{})
	go func() { r.end(); close(ended) }()
	closing := false
	for i := 0; !closing; i++ {
		closing = send(fmt.Sprintf("during-%d", i))
	}
	close(slow)
	<-ended
	servertest.EqualSets(t, "delivered", accepted, sink.IDs())
}

// What is queued when a receiver stops is delivered after the next start.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	var up atomic.Bool
	sink := servertest.NewSinkhole(t, func(w http.ResponseWriter, _ *http.Request) bool {
		if !up.Load() {
			w.WriteHeader(503)
		}
		return up.Load()
	})
	c := servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Drain.Grace.Duration = 0 })
	r := start(t, dir, c, servertest.Secrets(servertest.OldSecret))
	crowd := servertest.NewCrowd(t, 4, r.url, "e", func() string { return servertest.OldSecret })
	servertest.Until(t, "200 events", func() bool { return crowd.Count() > 200 })
	accepted := maps.Clone(crowd.Stop())
	r.end()
	up.Store(true)
	r = start(t, dir, c, servertest.Secrets(servertest.OldSecret))
	servertest.UntilAll(t, accepted, sink)
	if len(crowd.Other) == 0 { // else what was not answered may have been stored all the same
		servertest.EqualSets(t, "delivered", accepted, sink.IDs())
	}
	// The same events again are known, across the restart.
	for id := range accepted {
		if got := servertest.Post(t, servertest.NewClient(t), r.url, id, servertest.OldSecret, servertest.BodyOf(id)); got != 200 {
			t.Errorf("status = %d, want 200", got)
		}
		break
	}
	servertest.Until(t, "a duplicate", func() bool {
		return strings.Contains(r.get("/metrics"), `fairlead_receiver_requests_total{hook="push",outcome="duplicate"} 1`)
	})
}

// One event sent many times at once is one event.
func TestConcurrentDuplicates(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
	var all sync.WaitGroup
	client := servertest.NewClient(t)
	for range 50 {
		all.Go(func() {
			if got := servertest.Post(t, client, r.url, "one", servertest.OldSecret, servertest.BodyOf("one")); got != 200 {
				t.Errorf("status = %d, want 200", got)
			}
		})
	}
	all.Wait()
	// Another body under the same id is another event.
	if got := servertest.Post(t, client, r.url, "one", servertest.OldSecret, `{"type":"message.new"}`); got != 200 {
		t.Errorf("status = %d, want 200", got)
	}
	r.end()
	if got := sink.Times(); len(got) != 2 || got["one"] != 1 {
		t.Errorf("delivered %v, want one and one more with a suffix, once each", got)
	}
}

// Suspending deliveries leaves intake going; suspending intake leaves
// deliveries going.
func TestSuspend(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	suspend := func(m api.SuspendMode, generation int64) []byte {
		return servertest.Encode(t, servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Suspend, c.Endpoint.Generation = m, generation }))
	}
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Suspend = api.SuspendDeliveries }), servertest.Secrets(servertest.OldSecret))
	client := servertest.NewClient(t)
	if got := servertest.Post(t, client, r.url, "a", servertest.OldSecret, servertest.BodyOf("a")); got != 200 {
		t.Errorf("status = %d, want 200", got)
	}
	if s := r.status().Sinks[0]; s.State != "suspended" || s.Queued != 1 {
		t.Errorf("sink is %+v, want one delivery that waits", s)
	}
	r.source.Set(suspend(api.SuspendIntake, 2), servertest.Secrets(servertest.OldSecret))
	servertest.Until(t, "the delivery", func() bool { return sink.IDs()["a"] })
	if got := servertest.Post(t, client, r.url, "b", servertest.OldSecret, servertest.BodyOf("b")); got != 503 {
		t.Errorf("status = %d, want 503", got)
	}
}
