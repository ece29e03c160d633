package v1_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/statusz"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

type statusPage = statusz.Endpoint

func TestQueue(t *testing.T) {
	r := newRig(t, nil)
	r.append("a", "x", "{}", "app", "audit")
	c, d := r.lease("audit")
	c.Ack(d)
	r.die("b", "x", "{}", "app", "refused") // takes a, the oldest
	q := get[v1.Queue](r, "/v1/queue")
	if q.Name != "chat" || q.Type != "Ephemeral" || q.StoredEvents != 2 || q.CapacityBytes != 1<<20 || len(q.Sinks) != 2 || !cmp.Equal(q.Alerts, []string{"disk"}) {
		t.Fatalf("queue = %+v", q)
	}
	app, audit := q.Sinks[0], q.Sinks[1]
	if app.Accepted != 2 || app.Dead != 1 || app.Queued != 1 || app.DeadLetters != 1 || app.State != "failing" || app.Breaker != "open" || app.OldestQueued == nil {
		t.Errorf("app = %+v", app)
	}
	if audit.Delivered != 1 || audit.Queued != 0 || audit.OldestQueued != nil {
		t.Errorf("audit = %+v", audit)
	}
	r.sinks("app")
	if s := get[v1.Queue](r, "/v1/queue").Sinks[1]; s.State != "removed" {
		t.Errorf("a sink that was taken out is %q", s.State)
	}
}

func TestDeadLetters(t *testing.T) {
	r := newRig(t, nil)
	r.die("a1", "message.new", body(1), "app", "Refused by the sink")
	r.die("a2", "message.read", body(2), "app", "attempts failed")
	r.pass(time.Hour)
	r.die("a3", "message.new", body(3), "app", "attempts failed")
	r.die("b1", "message.new", body(4), "audit", "refused too")
	for params, want := range map[string][]string{
		"":               {"app a1", "app a2", "app a3", "audit b1"},
		"sink=app":       {"app a1", "app a2", "app a3"},
		"sink=audit":     {"audit b1"},
		"sink=none":      {},
		"type=message.*": {"app a1", "app a2", "app a3", "audit b1"},
		"type=*.read":    {"app a2"},
		"reason=REFUSED": {"app a1", "audit b1"},
		"olderThan=30m":  {"app a1", "app a2"},
		"newerThan=30m":  {"app a3", "audit b1"},
	} {
		if diff := cmp.Diff(want, r.letters(params)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", params, diff)
		}
	}
	first := get[v1.DeadLetterPage](r, "/v1/deadletters?limit=1").Items[0]
	if first.DataBase64 != nil || first.Data != nil || first.Headers != nil || first.Answer != "" {
		t.Errorf("a body is shown that nobody asked for: %+v", first)
	}
}

func TestDeadLetter(t *testing.T) {
	r := newRig(t, nil)
	r.die("a1", "message.new", body(1), "app", "refused")
	want := v1.DeadLetter{
		DeadLetter: "app/1", Sink: "app", Reason: "refused", DeadAt: start, ID: "a1", Source: "/namespaces/community/webhookendpoints/chat",
		Type: "message.new", Subject: "messaging:fun", DataContentType: "application/json", Hook: "push", Attempt: 2, ReceivedAt: start,
		Headers: []v1.Header{{Name: "X-Webhook-Id", Value: "a1"}}, Answer: "no", Data: []byte(`{"n":1,"text":"<é>"}`), DataBase64: []byte(body(1)),
	}
	got := get[v1.DeadLetter](r, "/v1/deadletters/app/1")
	want.Size = got.Size
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letter (-want +got):\n%s", diff)
	}
	full := get[v1.DeadLetterPage](r, "/v1/deadletters?full=true").Items[0]
	if diff := cmp.Diff(got, full); diff != "" {
		t.Errorf("listed (-alone +listed):\n%s", diff)
	}
	for id, body := range map[string]string{"text": "hello", "binary": "\xff\x00", "empty": ""} {
		r.die(id, "t", body, "audit", id)
	}
	for _, d := range get[v1.DeadLetterPage](r, "/v1/deadletters?full=true&sink=audit").Items {
		if d.DataBase64 == nil || d.Data != nil || (d.Text == "hello") != (d.ID == "text") {
			t.Errorf("%s = %+v", d.ID, d)
		}
	}
}

// A page with bodies is bounded in bytes, and the next one goes on.
func TestFullPages(t *testing.T) {
	r := newRig(t, func(l *queue.Limits) { l.Capacity, l.DeadLetterCapacity = 64<<20, 64<<20 })
	for n := range 5 {
		r.die(fmt.Sprint("e", n), "t", strings.Repeat("x", 400<<10), "app", "r")
	}
	var pages []int
	ids, cursor := map[string]bool{}, ""
	for len(pages) == 0 || cursor != "" {
		page := get[v1.DeadLetterPage](r, "/v1/deadletters?full=true&cursor="+cursor)
		for _, d := range page.Items {
			ids[d.ID] = true
		}
		pages, cursor = append(pages, len(page.Items)), page.Next
	}
	if diff := cmp.Diff([]int{3, 2}, pages); diff != "" || len(ids) != 5 {
		t.Errorf("%d events, pages (-want +got):\n%s", len(ids), diff)
	}
}

func TestReplayDeadLetters(t *testing.T) {
	r := newRig(t, nil)
	r.die("a1", "t", body(1), "app", "r")
	r.die("a2", "t", body(2), "app", "r")
	got := post[v1.Replayed](r, "/v1/deadletters/replay", v1.ReplayDeadLetters{IDs: []string{"app/1", "app/1", "app/99"}, Replay: "mine"})
	if diff := cmp.Diff(v1.Replayed{Replay: "mine", Replayed: 1, Missing: 1}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	_, d := r.lease("app")
	if d.Event.ID != "a1" || d.Event.Replay != "mine" || string(d.Event.Body) != body(1) {
		t.Errorf("delivery = %+v", d.Event)
	}
	if diff := cmp.Diff([]string{"app a2"}, r.letters("")); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	named := post[v1.Replayed](r, "/v1/deadletters/replay", v1.ReplayDeadLetters{IDs: []string{"app/2"}})
	if !v1.IsReplayName(named.Replay) || !strings.HasPrefix(named.Replay, "20270131-") {
		t.Errorf("made-up name = %q", named.Replay)
	}
	if s := r.queue.Stats().Sinks["app"]; s.Accepted != s.Delivered+s.Dead+s.Dropped+s.HandedOver+s.Queued || s.Replayed != 2 {
		t.Errorf("ledger = %+v", s)
	}
}

// What there is no room for changes nothing, and says when to come again; a sink
// that was taken out is named.
func TestReplayRefused(t *testing.T) {
	r := newRig(t, func(l *queue.Limits) { l.Capacity, l.DeadLetterCapacity = 4<<10, 64<<10 })
	r.die("a1", "t", strings.Repeat("x", 2<<10), "app", "r")
	r.append("full", "t", strings.Repeat("x", 3<<10), "audit")
	replay := encode(t, v1.ReplayDeadLetters{IDs: []string{"app/1"}})
	w := r.do(http.MethodPost, "/v1/deadletters/replay", "application/json", replay, nil)
	if e := read[v1.Error](t, w, 503); w.Header().Get("Retry-After") == "" || !strings.Contains(e.Error, "capacity") {
		t.Errorf("full: %s", e.Error)
	}
	if diff := cmp.Diff([]string{"app a1"}, r.letters("")); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	r.sinks("audit")
	if e := read[v1.Error](t, r.do(http.MethodPost, "/v1/deadletters/replay", "application/json", replay, nil), 409); !strings.Contains(e.Error, `"app"`) {
		t.Errorf("gone: %s", e.Error)
	}
}

func TestDropDeadLetters(t *testing.T) {
	r := newRig(t, nil)
	r.die("a1", "t", body(1), "app", "r")
	r.die("a2", "t", body(2), "app", "r")
	got := post[v1.Dropped](r, "/v1/deadletters/drop", v1.DropDeadLetters{IDs: []string{"app/1", "app/7"}})
	if diff := cmp.Diff(v1.Dropped{Dropped: 1, Missing: 1}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"app a2"}, r.letters("")); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestEvents(t *testing.T) {
	r := newRig(t, nil)
	r.append("a", "message.new", body(1), "app")
	r.pass(time.Minute)
	r.append("b", "message.read", body(2), "app", "audit")
	r.append("c", "message.new", body(3), "audit")
	r.pass(time.Minute)
	r.append("d", "other", body(4), "app")
	for params, want := range map[string]string{
		"":                           "a b c d",
		"type=message.*":             "a b c",
		"sink=audit":                 "b c",
		"hook=push":                  "a b c d",
		"hook=other":                 "",
		"since=2027-01-31T12:01:00Z": "b c d",
		"until=2027-01-31T12:01:00Z": "a",
		"since=2027-01-31T13:01:00%2B01:00&until=2027-01-31T12:02:00Z": "b c",
		"after=2": "c d",
	} {
		var got []string
		for cursor, first := "", true; first || cursor != ""; first = false {
			page := get[v1.EventPage](r, "/v1/events?limit=1&"+params+map[bool]string{true: "", false: "&cursor=" + cursor}[cursor == ""])
			for _, e := range page.Items {
				got = append(got, e.ID)
			}
			cursor = page.Next
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %s, want %s", params, s, want)
		}
	}
	e := get[v1.EventPage](r, "/v1/events?limit=1&after=1").Items[0]
	want := v1.Event{Sequence: 2, ID: "b", Type: "message.read", Subject: "messaging:fun", Hook: "push", ReceivedAt: start.Add(time.Minute), Size: len(body(2)), Sinks: []string{"app", "audit"}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestReplayEvents(t *testing.T) {
	r := newRig(t, nil)
	r.append("a", "t", body(1), "app", "audit")
	for _, sink := range []string{"app", "audit"} {
		c, d := r.lease(sink)
		c.Ack(d)
	}
	got := post[v1.Replayed](r, "/v1/replays", v1.ReplayEvents{Replay: "again", Events: []v1.EventReplay{{Sequence: 1, Sinks: []string{"audit", "audit"}}, {Sequence: 7, Sinks: []string{"app"}}}})
	if diff := cmp.Diff(v1.Replayed{Replay: "again", Replayed: 1, Missing: 1}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if _, d := r.lease("audit"); d.Event.ID != "a" || d.Event.Replay != "again" {
		t.Errorf("delivery = %+v", d.Event)
	}
	if s := r.queue.Stats().Sinks; s["app"].Replayed != 0 || s["audit"].Replayed != 1 {
		t.Errorf("ledgers = %+v", s)
	}
	for _, e := range get[v1.EventPage](r, "/v1/events").Items {
		if (e.Replay == "again") != (e.Sequence > 1) {
			t.Errorf("event = %+v", e)
		}
	}
}

func (r *rig) isolate(n int, edit func(*queue.Quarantined)) {
	r.t.Helper()
	for i := range n {
		q := &queue.Quarantined{ReceivedAt: r.now(), Source: "192.0.2.1", Hook: "push", Method: "POST", Path: "/hooks", Query: "k=v", Reason: "wrong",
			Headers: []event.Header{{Name: "Authorization", Value: "Basic eHg="}, {Name: "X-Signature", Value: "00"}}, Body: fmt.Append(nil, "body ", i)}
		if edit != nil {
			edit(q)
		}
		r.queue.Isolate(q)
		if i%30 == 29 || i == n-1 { // only so many may wait to be written
			r.awaitQuarantined(i + 1)
		}
	}
}

func (r *rig) awaitQuarantined(n int) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); r.queue.Stats().Quarantined < int64(n); <-tick.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d requests are in quarantine, want %d", r.queue.Stats().Quarantined, n)
		}
	}
}

func TestQuarantine(t *testing.T) {
	r := newRig(t, nil)
	r.isolate(3, nil)
	var listed []v1.Quarantined
	for cursor, first := "", true; first || cursor != ""; first = false {
		page := get[v1.QuarantinePage](r, "/v1/quarantine?limit=2&cursor="+cursor)
		listed, cursor = append(listed, page.Items...), page.Next
	}
	if len(listed) != 3 || listed[0].BodyBase64 != nil || listed[0].Query != "" || listed[0].Headers != nil || listed[0].Reason != "wrong" {
		t.Fatalf("listed = %+v", listed)
	}
	got := get[v1.Quarantined](r, fmt.Sprint("/v1/quarantine/", listed[1].Sequence))
	want := listed[1]
	want.Query, want.Headers, want.Hidden, want.BodyBase64, want.Text = "k=v", []v1.Header{{Name: "X-Signature", Value: "00"}}, []string{"Authorization"}, []byte("body 1"), "body 1"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

// Those that verify now leave the quarantine, the others stay.
func TestReverify(t *testing.T) {
	r := newRig(t, nil)
	r.isolate(4, nil)
	r.reverify = func(q *queue.Quarantined) (intake.Outcome, error) {
		switch string(q.Body) {
		case "body 0":
			return intake.Accepted, nil
		case "body 1":
			return intake.Duplicate, nil
		case "body 2":
			return intake.Overloaded, queue.ErrFull
		}
		return intake.Unauthenticated, fmt.Errorf("wrong still")
	}
	got := post[v1.ReverifyPage](r, "/v1/quarantine/reverify", v1.Reverify{All: true})
	var results []string
	for _, x := range got.Results {
		results = append(results, x.Result)
	}
	if diff := cmp.Diff([]string{"queued", "duplicate", "later", "failing"}, results); diff != "" || got.Results[3].Reason == "" {
		t.Errorf("results %+v (-want +got):\n%s", got, diff)
	}
	left := get[v1.QuarantinePage](r, "/v1/quarantine").Items
	if len(left) != 2 || left[0].Sequence != got.Results[2].Sequence {
		t.Errorf("left = %+v", left)
	}
	one := post[v1.ReverifyPage](r, "/v1/quarantine/reverify", v1.Reverify{Sequences: []uint64{got.Results[0].Sequence}})
	if one.Results[0].Result != v1.ReverifiedMissing {
		t.Errorf("results = %+v", one)
	}
}

func TestReverifyAllInSteps(t *testing.T) {
	r := newRig(t, nil)
	r.isolate(150, nil)
	r.reverify = func(*queue.Quarantined) (intake.Outcome, error) { return intake.Accepted, nil }
	n, in := 0, v1.Reverify{All: true}
	for n == 0 || in.Cursor != "" {
		page := post[v1.ReverifyPage](r, "/v1/quarantine/reverify", in)
		n, in.Cursor = n+len(page.Results), page.Next
	}
	if left := r.queue.Stats().Quarantined; n != 150 || left != 0 {
		t.Errorf("%d were verified and %d are left", n, left)
	}
}
