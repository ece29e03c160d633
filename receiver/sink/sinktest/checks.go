package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// prompt is how soon a sink must let go of an attempt whose context has ended.
const prompt = 2 * time.Second

func newEvent(id string) *event.Event {
	return &event.Event{
		ID: id, Hook: "push", Type: "message.new", Subject: "messaging:general",
		Time: "2026-07-01T10:11:12.5Z", ContentType: "application/json",
		Headers:    []event.Header{{Name: "X-Webhook-Id", Value: id}, {Name: "X-Webhook-Attempt", Value: "1"}},
		ReceivedAt: time.Date(2026, 7, 1, 10, 11, 13, 0, time.UTC),
		Body:       []byte(`{"type":"message.new","text":"ahoy"}`),
	}
}

func deliver(t *testing.T, f *Fixture, e *event.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := f.Sink.Deliver(ctx, e, 1); err != nil {
		t.Fatalf("delivering %q: %v", e.ID, err)
	}
}

// arrived returns the one event that was received under an id.
func arrived(t *testing.T, f *Fixture, id string) Received {
	t.Helper()
	var found []Received
	for _, r := range f.Received() {
		if r.ID == id {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("event %q was received %d times, want once", id, len(found))
	}
	return found[0]
}

func exactBytes(t *testing.T, f *Fixture) {
	large := bytes.Repeat([]byte(`{"n":[1.0,2e3, 0]},`), (1<<20)/19+1)[:1<<20]
	for name, body := range map[string][]byte{
		"json":              []byte(`{"b":1.0,"a":"\u00e9\/","a":2e+1}`),
		"spaced json":       []byte("{ \"a\" :\t1 }"),
		"json of lines":     []byte("{\n  \"a\": 1\r\n}"),
		"newline at end":    []byte("{\"a\":1}\n"),
		"space around":      []byte("  [1] \t"),
		"markup":            []byte(`{"a":"<b>&\u2028` + "\u2028" + `"}`),
		"text":              []byte("no json at all"),
		"scalar":            []byte(`"just a string"`),
		"not utf-8":         {0xff, 0xfe, 0, '\n', '"', 0x80},
		"not utf-8 in json": []byte("{\"a\":\"\xff\xfe\"}"),
		"nul":               {0},
		"empty":             {},
		"1 MiB":             large,
	} {
		for _, contentType := range []string{"application/json", "text/plain; charset=utf-8", ""} {
			e := newEvent(fmt.Sprintf("%s as %q", name, contentType))
			e.Body, e.ContentType = body, contentType
			deliver(t, f, e)
			if got := arrived(t, f, e.ID).Body; !bytes.Equal(got, body) {
				t.Errorf("%s as %q: %d bytes arrived as %d others: %.80q", name, contentType, len(body), len(got), got)
			}
		}
	}
}

func oddAttributes(t *testing.T, f *Fixture) {
	for i, s := range []string{
		"plain", "with space", " outer spaces ", `double"quote`, "per%cent", "%41", "100%", "a+b", "a=b&c;d,e", `back\slash`, "<tag>",
		"été", "日本語", "🪢", "{}|^~`[]#?/:@!$'()*", "a\u00a0b", "a\u2028b", "é\u0301", strings.Repeat("x", event.MaxID-2),
	} {
		e := newEvent(fmt.Sprint(i, s))
		e.Type, e.Subject = s, s
		deliver(t, f, e)
		got := arrived(t, f, e.ID)
		want := Received{ID: e.ID, Source: Source, Type: TypePrefix + s, Subject: s, ContentType: e.ContentType, Body: e.Body}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q arrived as %+v, want %+v", s, got, want)
		}
	}
	e := newEvent("no subject")
	e.Subject, e.Time = "", ""
	deliver(t, f, e)
	if got := arrived(t, f, e.ID); got.Subject != "" {
		t.Errorf("no subject arrived as %q", got.Subject)
	}
}

func contentTypes(t *testing.T, f *Fixture) {
	for _, tt := range []struct{ name, sent, body, want string }{
		{"as the provider says", "application/x-www-form-urlencoded", "a=1", "application/x-www-form-urlencoded"},
		{"with parameter", "application/json; charset=utf-8", "{}", "application/json; charset=utf-8"},
		{"none and json", "", `{"a":1}`, "application/json"},
		{"none and no json", "", "a", "application/octet-stream"},
		{"none and nothing", "", "", "application/octet-stream"},
		{"envelope of the provider", "application/cloudevents+json", `{"specversion":"1.0"}`, "application/json"},
		{"batch of the provider", "Application/CloudEvents-Batch+JSON; charset=utf-8", `[]`, "application/json"},
		{"other envelope", "application/cloudevents+protobuf", "\x01", "application/octet-stream"},
		{"line break", "text/plain\r\nce-id: forged", "a", "application/octet-stream"},
	} {
		e := newEvent(tt.name)
		e.ContentType, e.Body = tt.sent, []byte(tt.body)
		deliver(t, f, e)
		if got := arrived(t, f, e.ID).ContentType; got != tt.want {
			t.Errorf("%s: content type %q, want %q", tt.name, got, tt.want)
		}
	}
}

func attemptAndReplay(t *testing.T, f *Fixture) {
	for _, tt := range []struct {
		name, replay string
		attempt      int
		want         Received
	}{
		{"first", "", 1, Received{}},
		{"second", "", 2, Received{Attempt: "2"}},
		{"many", "", 12345, Received{Attempt: "12345"}},
		{"replay", "2026-07-01T10:11:12Z-5eb1", 1, Received{Replay: "2026-07-01T10:11:12Z-5eb1"}},
		{"odd replay, again", `é "50%"`, 3, Received{Attempt: "3", Replay: `é "50%"`}},
	} {
		e := newEvent(tt.name)
		e.Replay = tt.replay
		e.Headers = append(e.Headers, event.Header{Name: "ce-fairleadattempt", Value: "7"}, event.Header{Name: "Ce-FairleadReplay", Value: "forged"})
		if err := f.Sink.Deliver(t.Context(), e, tt.attempt); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := arrived(t, f, e.ID); got.Attempt != tt.want.Attempt || got.Replay != tt.want.Replay {
			t.Errorf("%s: attempt %q and replay %q, want %q and %q", tt.name, got.Attempt, got.Replay, tt.want.Attempt, tt.want.Replay)
		}
	}
}

func unchanged(t *testing.T, f *Fixture) {
	e, want := newEvent("unchanged"), newEvent("unchanged")
	deliver(t, f, e)
	if !reflect.DeepEqual(e, want) {
		t.Errorf("the sink changed the event: %+v", e)
	}
}

func refusedForNow(t *testing.T, f *Fixture) {
	for _, b := range []Behaviour{RefuseForNow, Gone} {
		if !f.Behave(b) {
			continue
		}
		err := f.Sink.Deliver(t.Context(), newEvent("later"), 1)
		if err == nil || sink.IsPermanent(err) {
			t.Errorf("behaviour %d: error %v, want one that is retried", b, err)
		}
	}
}

func refusedForGood(t *testing.T, f *Fixture) {
	if !f.Behave(RefuseForGood) {
		t.Skip("this sink's system refuses nothing for good")
	}
	if err := f.Sink.Deliver(t.Context(), newEvent("never"), 1); !sink.IsPermanent(err) {
		t.Errorf("error %v, want a permanent one", err)
	}
}

func contextEnds(t *testing.T, f *Fixture) {
	if !f.Behave(Hang) {
		t.Skip("this sink's system cannot hang")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	mustLetGo(ctx, t, f, context.DeadlineExceeded)
	ctx, cancel = context.WithCancel(t.Context())
	stop := time.AfterFunc(50*time.Millisecond, cancel)
	defer stop.Stop()
	mustLetGo(ctx, t, f, context.Canceled)
}

func contextEnded(t *testing.T, f *Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mustLetGo(ctx, t, f, context.Canceled)
}

// mustLetGo makes an attempt that ctx ends, and checks that it ends soon, with
// the context's error and not for good.
func mustLetGo(ctx context.Context, t *testing.T, f *Fixture, want error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f.Sink.Deliver(ctx, newEvent("let go"), 1) }()
	select {
	case err := <-done:
		if !errors.Is(err, want) || sink.IsPermanent(err) {
			t.Errorf("error %v, want %v, to be retried", err, want)
		}
	case <-time.After(prompt):
		t.Fatalf("the attempt still runs %v after it began", prompt)
	}
}

func worksAgain(t *testing.T, f *Fixture) {
	for _, b := range []Behaviour{RefuseForNow, RefuseForGood, Hang} {
		if !f.Behave(b) {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := f.Sink.Deliver(ctx, newEvent("refused"), 1); err == nil {
			t.Errorf("behaviour %d: the event was taken", b)
		}
		cancel()
		f.Behave(Accept)
		id := fmt.Sprintf("after behaviour %d", b)
		deliver(t, f, newEvent(id))
		arrived(t, f, id)
	}
}

func manyAtOnce(t *testing.T, f *Fixture) {
	const goroutines, each = 32, 20
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				e := newEvent(fmt.Sprintf("%d-%d", g, i))
				e.Body = fmt.Appendf(nil, `{"id":%q}`, e.ID)
				if err := f.Sink.Deliver(t.Context(), e, 1); err != nil {
					t.Errorf("delivering %q: %v", e.ID, err)
				}
			}
		})
	}
	wg.Wait()
	got := f.Received()
	seen := map[string]bool{}
	for _, r := range got {
		seen[r.ID] = true
		if want := fmt.Sprintf(`{"id":%q}`, r.ID); string(r.Body) != want {
			t.Errorf("event %q arrived with body %q", r.ID, r.Body)
		}
	}
	if len(got) != goroutines*each || len(seen) != len(got) {
		t.Errorf("%d events arrived with %d ids, want %d", len(got), len(seen), goroutines*each)
	}
}

func closes(t *testing.T, f *Fixture) {
	deliver(t, f, newEvent("before"))
	if err := f.Sink.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if err := f.Sink.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
