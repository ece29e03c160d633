// Package servertest has what tests of a whole receiver need: configurations,
// signed requests, crowds of clients, and sinks that remember.
package servertest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Two signing secrets.
const (
	OldSecret = "the-old-secret-of-the-tests"
	NewSecret = "the-new-secret-of-the-tests"
)

// Wait bounds every wait of a test.
const Wait = 20 * time.Second

// Config is an endpoint of stream-chat that delivers to url, with everything at
// the speed of a test.
func Config(t testing.TB, url string, edit func(*v1alpha1.Config)) *v1alpha1.Config {
	t.Helper()
	return ConfigOf(t, "stream-chat", url, edit)
}

// ConfigOf is the same for another provider.
func ConfigOf(t testing.TB, of, url string, edit func(*v1alpha1.Config)) *v1alpha1.Config {
	t.Helper()
	p, err := provider.Get(of)
	if err != nil {
		t.Fatal(err)
	}
	c := &v1alpha1.Config{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.Kind, Path: "/hooks",
		Endpoint:   v1alpha1.Endpoint{Namespace: "community", Name: "chat", Generation: 1},
		Provider:   v1alpha1.Provider{Name: p.Name, Revision: provider.Revision(p)},
		Signatures: p.Spec.Signatures, Event: p.Spec.Event, Ignore: p.Spec.Ignore, Replies: p.Spec.Replies, Hooks: p.Spec.Hooks,
		Secret:  v1alpha1.Secret{Dir: "signing"},
		Sources: v1alpha1.Sources{Mode: api.SourceEnforce, Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Limits:  v1alpha1.Limits{MaxBodyBytes: 64 << 10},
		Queue: v1alpha1.Queue{CapacityBytes: 64 << 20, Retention: metav1.Duration{Duration: time.Hour},
			DeadLetters: v1alpha1.DeadLetters{CapacityBytes: 1 << 20, WhenFull: api.WhenFullReject}},
		Drain:   v1alpha1.Drain{Grace: metav1.Duration{Duration: Wait}},
		Suspend: api.SuspendNone,
		Sinks:   []v1alpha1.Sink{HTTPSink("app", url)},
	}
	if edit != nil {
		edit(c)
	}
	return c
}

// HTTPSink is a sink at url that is tried again at once and for ever.
func HTTPSink(name, url string) v1alpha1.Sink {
	return v1alpha1.Sink{Name: name, HTTP: &v1alpha1.HTTPSink{URL: url}, Delivery: v1alpha1.Delivery{
		MaxAttempts: 1000, Concurrency: 8, MinBackoff: metav1.Duration{Duration: time.Millisecond}, MaxBackoff: metav1.Duration{Duration: 50 * time.Millisecond},
		MaxAge: metav1.Duration{Duration: time.Hour}, Timeout: metav1.Duration{Duration: 2 * time.Second}}}
}

// Encode writes a configuration as the receiver reads it.
func Encode(t testing.TB, c *v1alpha1.Config) []byte {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Secrets returns the files of a Secret with these values.
func Secrets(values ...string) map[string][]byte {
	m := map[string][]byte{}
	for i, v := range values {
		m[fmt.Sprintf("signing/entry-%d", i)] = []byte(v)
	}
	return m
}

// Listen returns a listener on a free port of loopback.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Request is a signed one, as Stream sends it.
func Request(t testing.TB, url, id, secret, body string) *http.Request {
	t.Helper()
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Signature", hex.EncodeToString(m.Sum(nil)))
	req.Header.Set("X-Webhook-Id", id)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// Post sends a signed request and returns the status, or 0 if there was no
// answer.
func Post(t testing.TB, client *http.Client, url, id, secret, body string) int {
	resp, err := client.Do(Request(t, url, id, secret, body))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// NewClient returns a client whose connections end with the test.
func NewClient(t testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: Wait}
}

// BodyOf returns the body of the event with an id.
func BodyOf(id string) string {
	return fmt.Sprintf(`{"type":"message.new","cid":"messaging:fun","message":{"id":%q}}`, id)
}

// Sinkhole is an HTTP sink that remembers what came.
type Sinkhole struct {
	URL string
	t   testing.TB
	// idOf finds an event's id, and bodyOf says what its body must be.
	idOf   func(r *http.Request, body string) string
	bodyOf func(id string) string
	mu     sync.Mutex
	got    map[string][]string // bodies by id
}

// NewSinkhole starts a sink that takes every event; or, with answer, those for
// which it returns true, having answered the others itself.
func NewSinkhole(t testing.TB, answer func(w http.ResponseWriter, r *http.Request) bool) *Sinkhole {
	l := Listen(t)
	s := &Sinkhole{URL: "http://" + l.Addr().String(), t: t, got: map[string][]string{}, bodyOf: BodyOf}
	s.idOf = func(r *http.Request, _ string) string { return r.Header.Get("Ce-Id") }
	srv := &http.Server{ReadHeaderTimeout: Wait, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || answer != nil && !answer(w, r) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		id := s.idOf(r, string(body))
		s.got[id] = append(s.got[id], string(body))
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return s
}

// Expect says what the body of an event must be, in place of BodyOf.
func (s *Sinkhole) Expect(bodyOf func(id string) string) { s.bodyOf = bodyOf }

// IDs returns the ids of the events that came. Each of them must have come with
// its body, byte for byte.
func (s *Sinkhole) IDs() map[string]bool {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]bool{}
	for id, bodies := range s.got {
		ids[id] = true
		for _, b := range bodies {
			if b != s.bodyOf(id) {
				s.t.Errorf("event %s came with the body %q", id, b)
			}
		}
	}
	return ids
}

// Count returns how many different events came.
func (s *Sinkhole) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// Times returns how often each event came.
func (s *Sinkhole) Times() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for id, bodies := range s.got {
		n[id] = len(bodies)
	}
	return n
}

// Until waits for a condition.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(Wait)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited %s in vain for %s", Wait, what)
		case <-look.C:
		}
	}
}

// Crowd sends events from several clients until it is told to end, and keeps
// the ids that were answered 200 and the statuses of all others.
type Crowd struct {
	mu       sync.Mutex
	accepted map[string]bool
	// Other counts the answers that were not 200; 0 stands for none at all. It may
	// be read after Stop.
	Other map[int]int
	end   atomic.Bool
	all   sync.WaitGroup
}

// NewCrowd starts clients that send events to url, with ids that begin with
// prefix, each signed with what secret returns.
func NewCrowd(t *testing.T, clients int, url, prefix string, secret func() string) *Crowd {
	c := &Crowd{accepted: map[string]bool{}, Other: map[int]int{}}
	for n := range clients {
		c.all.Go(func() {
			client := NewClient(t)
			for i := 0; !c.end.Load(); i++ {
				id := fmt.Sprintf("%s%d-%d", prefix, n, i)
				status := Post(t, client, url, id, secret(), BodyOf(id))
				c.mu.Lock()
				if status == http.StatusOK {
					c.accepted[id] = true
				} else {
					c.Other[status]++
				}
				c.mu.Unlock()
			}
		})
	}
	return c
}

// Count returns how many events were answered 200.
func (c *Crowd) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.accepted)
}

// Stop ends the clients and returns the ids that were answered 200.
func (c *Crowd) Stop() map[string]bool {
	c.end.Store(true)
	c.all.Wait()
	return c.accepted
}

// UntilAll waits until every one of the ids has come to a sink, and names those that
// have not if it takes too long.
func UntilAll(t testing.TB, ids map[string]bool, sink *Sinkhole) {
	t.Helper()
	missing := func() (list []string) {
		got := sink.IDs()
		for id := range ids {
			if !got[id] {
				list = append(list, id)
			}
		}
		return list
	}
	defer func() {
		if list := missing(); len(list) > 0 {
			slices.Sort(list)
			t.Errorf("%d of %d events were never delivered: %v", len(list), len(ids), list)
		}
	}()
	// Counting holds up the sink less than looking at each.
	Until(t, "all events at the sink", func() bool { return sink.Count() >= len(ids) && len(missing()) == 0 })
}

// EqualSets fails the test if two sets of ids differ.
func EqualSets(t testing.TB, what string, want, got map[string]bool) {
	t.Helper()
	if maps.Equal(want, got) {
		return // cmp would take long to find that out
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
