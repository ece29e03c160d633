package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/filter"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/respond"
	"github.com/fairlead-dev/fairlead/receiver/source"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "a-secret-of-the-intake-tests"
	listed = "34.225.10.29:4711" // of stream-chat's us-east
	body   = `{"type":"message.new","cid":"messaging:fun","created_at":"2020-03-30T07:54:46.295138Z","message":{"text":"hi"}}`
)

// bench is a handler with everything around it recorded.
type bench struct {
	t       *testing.T
	handler *intake.Handler
	config  *v1alpha1.Config
	entries []verify.Entry

	mu     sync.Mutex
	stored []event.Event
	keys   map[string]bool
	// responders are those of synchronous hooks.
	responders *respond.Set
	fail       error
	outcomes   []string
	notes      []string
}

func newBench(t *testing.T, profile string, edit func(*v1alpha1.Config)) *bench {
	t.Helper()
	p, err := provider.Get(profile)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, keys: map[string]bool{}, entries: []verify.Entry{{Name: "current", Value: []byte(secret)}}}
	b.config = &v1alpha1.Config{
		Path: "/hooks", Signatures: p.Spec.Signatures, Event: p.Spec.Event, Ignore: p.Spec.Ignore, Replies: p.Spec.Replies, Hooks: p.Spec.Hooks,
		Sources: v1alpha1.Sources{Mode: api.SourceEnforce, Ranges: []netip.Prefix{netip.MustParsePrefix("34.225.10.29/32")}},
		Limits:  v1alpha1.Limits{MaxBodyBytes: 64 << 10},
		Suspend: api.SuspendNone,
	}
	if edit != nil {
		edit(b.config)
	}
	b.handler = intake.New(intake.Options{Append: b.append, Route: b.route, Observer: b, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	b.update()
	return b
}

func (b *bench) update() {
	b.t.Helper()
	s, err := verify.New(b.config.Signatures, b.config.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	keys, _ := s.Keys(b.entries)
	if err := b.handler.Update(b.config, s, keys, b.responders); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) append(_ context.Context, e *event.Event, d queue.Dedup, _ []string) (queue.Outcome, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return 0, b.fail
	}
	key := e.ID + string(e.Body)
	if d.Key != queue.NoDedup && b.keys[key] {
		return queue.Duplicate, nil
	}
	b.keys[key] = true
	c := *e
	c.Body = bytes.Clone(e.Body)
	b.stored = append(b.stored, c)
	return queue.Stored, nil
}

func (b *bench) route(dst []string, _ *filter.Facts) []string { return append(dst, "app") }

func (b *bench) note(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, s)
}

func (b *bench) Request(hook string, o intake.Outcome, _ time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes = append(b.outcomes, hook+" "+o.String())
}
func (b *bench) Appended(time.Duration)                      {}
func (b *bench) Entry(string, time.Time)                     {}
func (b *bench) Ignored(rule string)                         { b.note("ignored " + rule) }
func (b *bench) Copied(hook string, ok bool)                 { b.note(fmt.Sprintf("copied %s %t", hook, ok)) }
func (b *bench) Conflict()                                   { b.note("conflict") }
func (b *bench) Misrouted(h, o string, _ time.Time)          { b.note("misrouted " + h + " " + o) }
func (b *bench) AddressUnknown(r source.Reason, _ time.Time) { b.note("unknown " + string(r)) }
func (b *bench) Verified(netip.Addr, bool, time.Time)        {}
func (b *bench) Unverified(intake.Unverified)                {}
func (b *bench) Unlisted(_ netip.Addr, valid bool, _ time.Time) {
	b.note(map[bool]string{true: "unlisted valid", false: "unlisted invalid"}[valid])
}

func (b *bench) Challenged(name string) { b.note("challenged " + name) }
func (b *bench) Shed(s intake.Shed)     { b.note("shed " + string(s)) }

func (b *bench) send(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w.Result()
}

// TestAnswers is the table of what a request is answered, and what of it is
// stored.
func TestAnswers(t *testing.T) {
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	before := `{"message":{"text":"x"},"user":{"id":"u"},"channel":{"cid":"messaging:fun"}}`
	big := strings.Repeat("x", 64<<10+1)
	for name, tt := range map[string]struct {
		config  func(*v1alpha1.Config)
		fail    error
		entries []verify.Entry
		request *http.Request
		status  int
		outcome string
		stored  []string // bodies
		notes   []string
	}{
		"plain":             {request: stream(body, body, nil), status: 200, outcome: "push accepted", stored: []string{body}},
		"slash at the end":  {request: stream(body, body, func(r *http.Request) { r.URL.Path = "/hooks/" }), status: 200, outcome: "push accepted", stored: []string{body}},
		"gzip":              {request: stream(body, zipped(body), header("Content-Encoding", "gzip")), status: 200, outcome: "push accepted", stored: []string{body}},
		"gzip unannounced":  {request: stream(body, zipped(body), nil), status: 200, outcome: "push accepted", stored: []string{body}},
		"gzip two members":  {request: stream(body, zipped(body[:20])+zipped(body[20:]), nil), status: 200, outcome: "push accepted", stored: []string{body}},
		"other type":        {request: stream(body, body, header("Content-Type", "application/x-www-form-urlencoded")), status: 200, outcome: "push accepted", stored: []string{body}},
		"no content type":   {request: stream(body, body, func(r *http.Request) { r.Header.Del("Content-Type") }), status: 200, outcome: "push accepted", stored: []string{body}},
		"unknown event":     {request: stream(`{"type":"never.heard.of"}`, `{"type":"never.heard.of"}`, nil), status: 200, outcome: "push accepted", stored: []string{`{"type":"never.heard.of"}`}},
		"not JSON":          {request: stream("\xff\x00 no", "\xff\x00 no", nil), status: 200, outcome: "push accepted", stored: []string{"\xff\x00 no"}},
		"empty body":        {request: stream("", "", nil), status: 200, outcome: "push accepted", stored: []string{""}},
		"chunked":           {request: stream(body, body, func(r *http.Request) { r.ContentLength = -1 }), status: 200, outcome: "push accepted", stored: []string{body}},
		"wrong signature":   {request: stream("other", body, nil), status: 401, outcome: "push unauthenticated"},
		"signed compressed": {request: stream(zipped(body), zipped(body), nil), status: 401, outcome: "push unauthenticated"},
		"missing signature": {request: stream(body, body, func(r *http.Request) { r.Header.Del("X-Signature") }), status: 401, outcome: "push unauthenticated"},
		"empty signature":   {request: stream(body, body, header("X-Signature", "")), status: 401, outcome: "push unauthenticated"},
		"doubled signature": {request: stream(body, body, func(r *http.Request) { r.Header.Add("X-Signature", hexSignature(body)) }), status: 401, outcome: "push unauthenticated"},
		"no usable secret":  {entries: []verify.Entry{{Name: "empty", Value: []byte("\n")}}, request: stream(body, body, nil), status: 503, outcome: "push failed"},
		"no secret":         {entries: []verify.Entry{}, request: stream(body, body, nil), status: 503, outcome: "push failed"},
		"store failed":      {fail: errors.New("disk on fire"), request: stream(body, body, nil), status: 503, outcome: "push failed"},
		"queue closed":      {fail: queue.ErrClosed, request: stream(body, body, nil), status: 503, outcome: "push failed"},
		"queue full":        {fail: queue.ErrFull, request: stream(body, body, nil), status: 503, outcome: "push overloaded"},
		"disk full":         {fail: queue.ErrNoSpace, request: stream(body, body, nil), status: 503, outcome: "push overloaded"},
		"suspended intake": {config: func(c *v1alpha1.Config) { c.Suspend = api.SuspendIntake }, request: stream(body, body, nil),
			status: 503, outcome: "push suspended"},
		"suspended deliveries": {config: func(c *v1alpha1.Config) { c.Suspend = api.SuspendDeliveries }, request: stream(body, body, nil),
			status: 200, outcome: "push accepted", stored: []string{body}},
		"unlisted":             {request: stream(body, body, func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1" }), status: 403, outcome: "push unlisted"},
		"unlisted, wrong path": {request: stream(body, body, func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1"; r.URL.Path = "/no" }), status: 403, outcome: " unlisted"},
		"unlisted in Observe": {config: func(c *v1alpha1.Config) { c.Sources.Mode = api.SourceObserve },
			request: stream(body, body, func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1" }), status: 200, outcome: "push accepted", stored: []string{body},
			notes: []string{"unlisted valid"}},
		"mapped address":          {request: stream(body, body, func(r *http.Request) { r.RemoteAddr = "[::ffff:34.225.10.29]:1" }), status: 200, outcome: "push accepted", stored: []string{body}},
		"forwarded by a stranger": {request: stream(body, body, func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1"; r.Header.Set("X-Forwarded-For", "34.225.10.29") }), status: 403, outcome: "push unlisted"},
		"forwarded by a proxy": {config: trust, request: stream(body, body, forwarded("10.0.0.1:1", "1.2.3.4, 34.225.10.29")),
			status: 200, outcome: "push accepted", stored: []string{body}},
		"forwarded, spoofed": {config: trust, request: stream(body, body, forwarded("10.0.0.1:1", "34.225.10.29, 203.0.113.7")),
			status: 403, outcome: "push unlisted"},
		"proxy says nothing": {config: trust, request: stream(body, body, func(r *http.Request) { r.RemoteAddr = "10.0.0.1:1" }),
			status: 403, outcome: "push unlisted", notes: []string{"unknown header_missing"}},
		"too large":          {request: stream(big, big, nil), status: 413, outcome: "push too_large"},
		"too large, chunked": {request: stream(big, big, func(r *http.Request) { r.ContentLength = -1 }), status: 413, outcome: "push too_large"},
		"too large inflated": {request: stream(big, zipped(big), nil), status: 413, outcome: "push too_large"},
		"just fits": {request: stream(big[1:], big[1:], func(r *http.Request) { r.ContentLength = -1 }), status: 200, outcome: "push accepted",
			stored: []string{big[1:]}},
		"just fits inflated": {request: stream(big[1:], zipped(big[1:]), nil), status: 200, outcome: "push accepted", stored: []string{big[1:]}},
		"gzip cut off":       {request: stream(body, zipped(body)[:40], nil), status: 400, outcome: "push malformed"},
		"gzip flipped":       {request: stream(body, flip(zipped(body), 30), nil), status: 400, outcome: "push malformed"},
		"gzip and garbage":   {request: stream(body, zipped(body)+"x", nil), status: 400, outcome: "push malformed"},
		"wrong method":       {request: stream(body, body, func(r *http.Request) { r.Method = http.MethodPut }), status: 405, outcome: "push method_not_allowed"},
		"wrong path":         {request: stream(body, body, func(r *http.Request) { r.URL.Path = "/hook" }), status: 404, outcome: " not_found"},
		"sync hook":          {request: stream(before, before, func(r *http.Request) { r.URL.Path = "/hooks/before-message-send" }), status: 404, outcome: "before-message-send not_found"},
		"misrouted":          {request: stream(before, before, nil), status: 404, outcome: "push misrouted", notes: []string{"misrouted push before-message-send"}},
		"misrouted, forged":  {request: stream("other", before, nil), status: 401, outcome: "push unauthenticated"},
		"long id":            {request: stream(body, body, header("X-Webhook-Id", strings.Repeat("i", 257))), status: 400, outcome: "push malformed"},
		"control in type":    {request: stream(`{"type":"a\nb"}`, `{"type":"a\nb"}`, nil), status: 400, outcome: "push malformed"},
		"rate of a source": {config: func(c *v1alpha1.Config) { c.Limits.RequestsPerSecondPerSource = 1 }, request: stream(body, body, nil),
			status: 200, outcome: "push accepted", stored: []string{body}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "stream-chat", tt.config)
			b.fail = tt.fail
			if tt.entries != nil {
				b.entries = tt.entries
				b.update()
			}
			resp := b.send(tt.request)
			if resp.StatusCode != tt.status {
				t.Errorf("status = %d, want %d", resp.StatusCode, tt.status)
			}
			checkReply(t, resp)
			if diff := cmp.Diff([]string{tt.outcome}, b.outcomes); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			var stored []string
			for _, e := range b.stored {
				stored = append(stored, string(e.Body))
			}
			if diff := cmp.Diff(tt.stored, stored); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, b.notes); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
		})
	}
}

// checkReply holds for every answer: success is {}, trouble is short JSON, what
// should be sent again says when, and nothing of the request comes back.
func checkReply(t *testing.T, resp *http.Response) {
	t.Helper()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case resp.StatusCode == 200 && string(got) != "{}":
		t.Errorf("body = %q, want {}", got)
	case resp.StatusCode != 200 && (!bytes.HasPrefix(got, []byte(`{"error":"`)) || len(got) > 200):
		t.Errorf("body = %q, want a short JSON error", got)
	case resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "":
		t.Error("503 without Retry-After")
	case resp.StatusCode == 405 && resp.Header.Get("Allow") != "POST":
		t.Error("405 without Allow: POST")
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type = %q", ct)
	}
}

func TestDuplicate(t *testing.T) {
	b := newBench(t, "stream-chat", nil)
	for range 2 {
		if resp := b.send(stream(body, body, nil)); resp.StatusCode != 200 {
			t.Errorf("status = %d, want 200", resp.StatusCode)
		}
	}
	if diff := cmp.Diff([]string{"push accepted", "push duplicate"}, b.outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestEventFields(t *testing.T) {
	b := newBench(t, "stream-chat", nil)
	b.send(stream(body, body, nil))
	if len(b.stored) != 1 {
		t.Fatalf("%d events stored, want 1", len(b.stored))
	}
	got := b.stored[0]
	if time.Since(got.ReceivedAt) > time.Minute {
		t.Errorf("received at %s", got.ReceivedAt)
	}
	got.ReceivedAt = time.Time{}
	want := event.Event{ID: "id-1", Hook: "push", Type: "message.new", Subject: "messaging:fun", Time: "2020-03-30T07:54:46.295138Z",
		Attempt: 2, ContentType: "application/json", Body: []byte(body), Headers: []event.Header{
			{Name: "X-Signature", Value: hexSignature(body)}, {Name: "X-Webhook-Id", Value: "id-1"}, {Name: "X-Webhook-Attempt", Value: "2"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestEventsWithoutID(t *testing.T) {
	b := newBench(t, "stream-chat", nil)
	for range 2 {
		b.send(stream(body, body, func(r *http.Request) { r.Header.Del("X-Webhook-Id") }))
	}
	if len(b.stored) != 2 || b.stored[0].ID == b.stored[1].ID || len(b.stored[0].ID) != 36 {
		t.Errorf("want two events with UUIDs of their own, got %+v", b.stored)
	}
}

func TestLegacyTwin(t *testing.T) {
	send := func(b *bench, name, value string) int {
		r := httptest.NewRequest(http.MethodPost, "/hooks", strings.NewReader(body))
		r.RemoteAddr = listed
		r.Header.Set(name, value)
		return b.send(r).StatusCode
	}
	b := newBench(t, "social-plus", nil)
	for _, tt := range []struct {
		header, value string
		status        int
	}{
		{"x-eko-signature", base64Signature(body), 200},
		{"x-eko-signature", "anything", 200},
		{"x-amity-signature", base64Signature(body), 200},
		{"x-amity-signature", "anything", 401},
	} {
		if got := send(b, tt.header, tt.value); got != tt.status {
			t.Errorf("%s: status = %d, want %d", tt.header, got, tt.status)
		}
	}
	if diff := cmp.Diff([]string{"events ignored", "events ignored", "events accepted", "events unauthenticated"}, b.outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ignored legacy-twin", "ignored legacy-twin"}, b.notes); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	if len(b.stored) != 1 {
		t.Errorf("%d events stored, want 1", len(b.stored))
	}
}
