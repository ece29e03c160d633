package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// call asks the admin API at a base, and returns the status.
func call(t *testing.T, base, method, path string, body, into any) int {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if into != nil && resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode
}

// The admin API has a listener of its own, or shares that of telemetry, or is not
// there; telemetry alone never serves it.
func TestAdminListener(t *testing.T) {
	own := servertest.Listen(t)
	for name, tt := range map[string]struct {
		listen func(*server.ServeOptions)
		base   string // empty: telemetry's
		telem  int
	}{
		"none":   {func(*server.ServeOptions) {}, "", 404},
		"own":    {func(o *server.ServeOptions) { o.Admin = own }, "http://" + own.Addr().String(), 404},
		"shared": {withAdmin, "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := startWith(t, t.TempDir(), servertest.Config(t, "http://127.0.0.1:1", nil), servertest.Secrets(servertest.OldSecret), tt.listen)
			if tt.base != "" {
				if got := call(t, tt.base, "GET", "/v1/queue", nil, nil); got != 200 {
					t.Errorf("admin: status = %d", got)
				}
			}
			if got := call(t, r.admin, "GET", "/v1/queue", nil, nil); got != tt.telem {
				t.Errorf("telemetry: status = %d, want %d", got, tt.telem)
			}
		})
	}
}

// withAdmin has telemetry's listener serve the admin API too.
func withAdmin(o *server.ServeOptions) { o.Admin = o.Telemetry }

// marks are what a sink got: the event's id and the replay's name, as often as it
// came.
type marks struct {
	mu   sync.Mutex
	seen map[string]int
}

func (m *marks) count(id, replay string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[id+" "+replay]
}

// A replayed event reaches the sink with the replay's name and is no duplicate,
// while the provider's repetition of it still is one.
func TestReplayReachesTheSink(t *testing.T) {
	got := &marks{seen: map[string]int{}}
	sink := servertest.NewSinkhole(t, func(_ http.ResponseWriter, r *http.Request) bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		got.seen[r.Header.Get("Ce-Id")+" "+r.Header.Get("Ce-Fairleadreplay")]++
		return true
	})
	r := startWith(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret), withAdmin)
	client := servertest.NewClient(t)
	post := func() {
		if s := servertest.Post(t, client, r.url, "a", servertest.OldSecret, servertest.BodyOf("a")); s != 200 {
			t.Errorf("status = %d", s)
		}
	}
	post()
	servertest.Until(t, "the event", func() bool { return got.count("a", "") == 1 })
	var events v1.EventPage
	if s := call(t, r.admin, "GET", "/v1/events", nil, &events); s != 200 || len(events.Items) != 1 {
		t.Fatalf("status = %d, events = %+v", s, events)
	}
	for n := range 2 {
		order := v1.ReplayEvents{Replay: fmt.Sprint("again-", n), Events: []v1.EventReplay{{Sequence: events.Items[0].Sequence, Sinks: []string{"app"}}}}
		if s := call(t, r.admin, "POST", "/v1/replays", order, nil); s != 200 {
			t.Fatalf("status = %d", s)
		}
	}
	servertest.Until(t, "both replays", func() bool { return got.count("a", "again-0") == 1 && got.count("a", "again-1") == 1 })
	post() // the provider sends it once more
	if n := sink.Times()["a"]; n != 3 {
		t.Errorf("the sink had it %d times, want 3", n)
	}
	if s := r.receiver.Status().Queue.StoredEvents; s != 3 {
		t.Errorf("%d events are stored, want 3", s)
	}
}

// An event that is older than maxAge is attempted all the same when it is
// replayed: a person asks for it.
func TestReplayOfOldEvents(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	c := servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Sinks[0].Delivery.MaxAge.Duration = 300 * time.Millisecond
		c.Sinks[0].HTTP.URL = "http://127.0.0.1:1"
	})
	r := startWith(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret), withAdmin)
	servertest.Post(t, servertest.NewClient(t), r.url, "a", servertest.OldSecret, servertest.BodyOf("a"))
	servertest.Until(t, "a dead letter", func() bool { return r.receiver.Status().Sinks[0].DeadLetters == 1 })
	c.Sinks[0].HTTP.URL, c.Endpoint.Generation = sink.URL, 2
	r.source.Set(servertest.Encode(t, c), servertest.Secrets(servertest.OldSecret))
	servertest.Until(t, "the new configuration", func() bool { return r.receiver.Status().Config.Generation == 2 })
	if s := call(t, r.admin, "POST", "/v1/deadletters/replay", v1.ReplayDeadLetters{IDs: []string{"app/1"}}, nil); s != 200 {
		t.Fatalf("status = %d", s)
	}
	servertest.Until(t, "the replayed event", func() bool { return sink.IDs()["a"] })
}
