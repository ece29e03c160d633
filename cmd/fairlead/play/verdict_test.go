package play_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
)

func player(t *testing.T, p *v1alpha1.WebhookProvider, o play.Options) *play.Player {
	t.Helper()
	o.Now = clock
	made, err := play.New(p, []byte(secret), o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestJudge holds what is said of an answer; why names what must stand in it.
func TestJudge(t *testing.T) {
	const refusal = `{"message":{"type":"error","text":"no"}}`
	type answer = play.Answer
	for name, tt := range map[string]struct {
		provider, hook string
		text           string
		answer         answer
		want           play.Effect
		documented     bool
		usable         bool
		why            string
	}{
		"nothing":            {"stream-chat", "before-message-send", "", answer{Status: 200}, play.Passes, false, true, "empty"},
		"empty object":       {"stream-chat", "before-message-send", "", answer{Status: 200, Body: []byte(`{}`)}, play.Passes, false, true, "no message"},
		"refusal":            {"stream-chat", "before-message-send", "", answer{Status: 200, Body: []byte(refusal)}, play.Refused, true, true, `"no"`},
		"refusal as error":   {"stream-chat", "before-message-send", "", answer{Status: 403, Body: []byte(refusal)}, play.Passes, true, false, "status is 403"},
		"late refusal":       {"stream-chat", "before-message-send", "", answer{Status: 200, Body: []byte(refusal), Took: 1501 * time.Millisecond}, play.Passes, true, false, "after 1.5s, and the provider waits 1.5s"},
		"none":               {"stream-chat", "before-message-send", "", answer{}, play.Passes, true, false, "no answer"},
		"same text":          {"stream-chat", "before-message-send", "hi", answer{Status: 200, Body: []byte(`{"message":{"text":"hi","silent":false}}`)}, play.Passes, true, true, ""},
		"same, other bytes":  {"stream-chat", "before-message-send", "é", answer{Status: 200, Body: []byte(`{"message":{"text":"\u00e9"}}`)}, play.Passes, true, true, ""},
		"new text":           {"stream-chat", "before-message-send", "hi", answer{Status: 200, Body: []byte(`{"message":{"text":"**"}}`)}, play.Rewritten, true, true, `text (now "**")`},
		"custom field":       {"stream-chat", "before-message-send", "hi", answer{Status: 201, Body: []byte(`{"message":{"score":3}}`)}, play.Rewritten, true, true, "score"},
		"fixed field":        {"stream-chat", "before-message-send", "hi", answer{Status: 200, Body: []byte(`{"message":{"html":"x"}}`)}, play.Passes, false, true, "html is not documented"},
		"not JSON":           {"stream-chat", "before-message-send", "", answer{Status: 200, Body: []byte(`OK`)}, play.Unknown, false, true, "not documented"},
		"message not object": {"stream-chat", "before-message-send", "", answer{Status: 200, Body: []byte(`{"message":1}`)}, play.Unknown, false, true, "not documented"},
		"command refused":    {"stream-chat", "custom-commands", "", answer{Status: 200, Body: []byte(refusal)}, play.Refused, true, true, `"no"`},
		"command late":       {"stream-chat", "custom-commands", "", answer{Status: 200, Took: 1200 * time.Millisecond}, play.Passes, true, false, "waits 1s"},
		"allow":              {"social-plus", "pre-hook", "", answer{Status: 200, Body: []byte(`{"action":"allow"}`)}, play.Passes, true, true, ""},
		"allow, other data":  {"social-plus", "pre-hook", "", answer{Status: 200, Body: []byte(`{"action":"allow","data":{}}`)}, play.Rewritten, true, true, ""},
		"deny":               {"social-plus", "pre-hook", "", answer{Status: 200, Body: []byte(`{"action":"deny","message":"no"}`)}, play.Refused, true, true, `"no"`},
		"no action":          {"social-plus", "pre-hook", "", answer{Status: 200, Body: []byte(`{}`)}, play.Unknown, false, true, "neither"},
		"not JSON, social":   {"social-plus", "pre-hook", "", answer{Status: 200, Body: []byte(`OK`)}, play.Unknown, false, true, "not documented"},
		"failure, social":    {"social-plus", "pre-hook", "", answer{Status: 500}, play.ByDefault, true, false, "defaultAction"},
	} {
		t.Run(name, func(t *testing.T) {
			p := player(t, profile(t, tt.provider), play.Options{Hook: tt.hook, Text: tt.text})
			r, err := p.Request(0)
			if err != nil {
				t.Fatal(err)
			}
			got := p.Judge(r, tt.answer)
			if got.Effect != tt.want || got.Documented != tt.documented || got.Usable != tt.usable || !strings.Contains(got.Why, tt.why) {
				t.Errorf("got %+v, want %s, documented %t, usable %t, because of %q", got, tt.want, tt.documented, tt.usable, tt.why)
			}
		})
	}
}

// TestJudgeData holds that data which comes back as it was sent changes nothing.
func TestJudgeData(t *testing.T) {
	p := player(t, profile(t, "social-plus"), play.Options{Hook: "pre-hook"})
	r, err := p.Request(0)
	if err != nil {
		t.Fatal(err)
	}
	var asked struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(r.Signed, &asked); err != nil {
		t.Fatal(err)
	}
	body := append(append([]byte(`{"action":"allow","data":`), asked.Data...), '}')
	if got := p.Judge(r, play.Answer{Status: 200, Body: body}); got.Effect != play.Passes {
		t.Errorf("got %+v, want %s", got, play.Passes)
	}
}

// TestJudgeStranger holds that nothing is claimed of a provider that is not known.
func TestJudgeStranger(t *testing.T) {
	acme := profile(t, "stream-chat").DeepCopy()
	acme.Name = "acme"
	p := player(t, acme, play.Options{Hook: "before-message-send", Deadline: time.Second})
	for want, a := range map[bool]play.Answer{
		true:  {Status: 200, Body: []byte(`{}`)},
		false: {Status: 200, Took: 2 * time.Second},
	} {
		got := p.Judge(nil, a)
		if got.Effect != play.Unknown || got.Usable != want || got.Documented || !strings.Contains(got.Why, "https://") {
			t.Errorf("got %+v, want %s with a link to the documentation, usable %t", got, play.Unknown, want)
		}
	}
}

// TestHookURLs holds where the requests of a hook go.
func TestHookURLs(t *testing.T) {
	const base = "http://127.0.0.1:8080"
	for name, tt := range map[string]struct {
		provider, to string
		o            play.Options
		want, kind   string
	}{
		"no hook":            {"stream-chat", base + "/stream", play.Options{}, base + "/stream", "message.new"},
		"path itself":        {"stream-chat", base + "/stream", play.Options{Hook: "push"}, base + "/stream", "message.new"},
		"below":              {"stream-chat", base + "/stream", play.Options{Hook: "before-message-send"}, base + "/stream/before-message-send", "before_message_send"},
		"below, slash":       {"stream-chat", base + "/stream/", play.Options{Hook: "before-message-send"}, base + "/stream/before-message-send", "before_message_send"},
		"below the root":     {"stream-chat", base, play.Options{Hook: "before-message-send"}, base + "/before-message-send", "before_message_send"},
		"named already":      {"stream-chat", base + "/s/before-message-send", play.Options{Hook: "before-message-send"}, base + "/s/before-message-send", "before_message_send"},
		"command":            {"stream-chat", base + "/s", play.Options{Hook: "custom-commands", Command: "ticket"}, base + "/s/custom-commands?type=ticket", "custom_command"},
		"command of the URL": {"stream-chat", base + "/s?a=b", play.Options{Hook: "custom-commands"}, base + "/s/custom-commands?a=b&type=echo", "custom_command"},
		"query":              {"stream-chat", base + "/s", play.Options{Query: url.Values{"a": {"b c"}}}, base + "/s?a=b+c", "message.new"},
		"first path":         {"stream-chat", base + "/s", play.Options{Hook: "pending-message"}, base + "/s/pending-message/PassOnPendingMessage", "PassOnPendingMessage"},
		"second path": {"stream-chat", base + "/s", play.Options{Hook: "pending-message", Event: "DeletedPendingMessage"},
			base + "/s/pending-message/DeletedPendingMessage", "DeletedPendingMessage"},
		"pre-hook": {"social-plus", base + "/social", play.Options{Hook: "pre-hook"}, base + "/social/pre-hook", "message.shouldCreate"},
		"pre-hook, event": {"social-plus", base + "/social", play.Options{Hook: "pre-hook", Event: "post.shouldDelete"},
			base + "/social/pre-hook", "post.shouldDelete"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, profile(t, tt.provider), secret, tt.o)
			req, err := r.HTTP(t.Context(), tt.to)
			if err != nil {
				t.Fatal(err)
			}
			if req.URL.String() != tt.want || r.Type != tt.kind {
				t.Errorf("%s goes to %s, want %s to %s", r.Type, req.URL, tt.kind, tt.want)
			}
		})
	}
}

// TestHookBodies holds that the request of each hook has the shape by which its
// profile knows it, and that what the user writes is in it.
func TestHookBodies(t *testing.T) {
	const said = "Is this <b>allowed</b>?"
	for name, hook := range map[string]string{
		"before-message-send": "stream-chat", "custom-commands": "stream-chat", "pending-message": "stream-chat", "pre-hook": "social-plus",
	} {
		t.Run(name, func(t *testing.T) {
			p := profile(t, hook)
			r := request(t, p, secret, play.Options{Hook: name, Text: said, Command: "ticket"})
			var body map[string]any
			if err := json.Unmarshal(r.Signed, &body); err != nil {
				t.Fatal(err)
			}
			for i := range p.Spec.Hooks {
				if h := &p.Spec.Hooks[i]; h.Name == name && h.Match != nil {
					checkShape(t, body, h.Match)
				}
			}
			plain, err := json.Marshal(said)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(r.Signed), string(plain)) {
				t.Errorf("the text is not in %s", r.Signed)
			}
		})
	}
}

func checkShape(t *testing.T, body map[string]any, shape *v1alpha1.BodyShape) {
	t.Helper()
	for _, path := range shape.Present {
		if !has(body, string(path)) {
			t.Errorf("%s is missing", path)
		}
	}
	for _, path := range shape.Absent {
		if has(body, string(path)) {
			t.Errorf("%s is there", path)
		}
	}
}

func has(body map[string]any, path string) bool {
	var at any = body
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "$."), ".") {
		m, ok := at.(map[string]any)
		if !ok || m[step] == nil {
			return false
		}
		at = m[step]
	}
	return true
}

func TestHookRefusals(t *testing.T) {
	for name, o := range map[string]play.Options{
		"unknown hook":      {Hook: "push-it"},
		"type of no path":   {Hook: "pending-message", Event: "message.new"},
		"type of one path":  {Hook: "before-message-send", Event: "message.new"},
		"case of the hook":  {Hook: "Push"},
		"hook of the other": {Hook: "pre-hook"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := play.New(profile(t, "stream-chat"), []byte(secret), o); err == nil || !strings.Contains(err.Error(), "choose from") {
				t.Errorf("err = %v, want one that names the choice", err)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		o    play.Options
		want time.Duration
		sync bool
	}{
		"no hook":         {play.Options{}, 0, false},
		"asynchronous":    {play.Options{Hook: "push"}, 6 * time.Second, false},
		"none documented": {play.Options{Hook: "pending-message"}, 0, false},
		"of the profile":  {play.Options{Hook: "before-message-send"}, 1500 * time.Millisecond, true},
		"of the app":      {play.Options{Hook: "before-message-send", Deadline: 5 * time.Second}, 5 * time.Second, true},
	} {
		p := player(t, profile(t, "stream-chat"), tt.o)
		if got := p.Deadline(); got != tt.want || p.Sync() != tt.sync {
			t.Errorf("%s: %v, synchronous %t; want %v, %t", name, got, p.Sync(), tt.want, tt.sync)
		}
	}
	if r := request(t, profile(t, "stream-chat"), secret, play.Options{}); r.Method != http.MethodPost {
		t.Errorf("method is %s", r.Method)
	}
}

// FuzzJudge holds that whatever a responder answers is judged, and that an error
// status is never taken for a refusal.
func FuzzJudge(f *testing.F) {
	for _, body := range []string{
		`{"message":{"type":"error","text":"no"}}`, `{"message":{"text":"\ud800"}}`, `{"message":{"text":1e999}}`, `{"message":null}`,
		`{"action":"allow","data":{}}`, `{"action":"deny"}`, `[]`, ``,
	} {
		f.Add(200, []byte(body))
		f.Add(500, []byte(body))
	}
	var players []*play.Player
	for hook, name := range map[string]string{"before-message-send": "stream-chat", "custom-commands": "stream-chat", "pre-hook": "social-plus"} {
		p, err := provider.Get(name)
		if err != nil {
			f.Fatal(err)
		}
		made, err := play.New(p, []byte(secret), play.Options{Hook: hook, Now: clock})
		if err != nil {
			f.Fatal(err)
		}
		players = append(players, made)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, p := range players {
			r, err := p.Request(0)
			if err != nil {
				t.Fatal(err)
			}
			got := p.Judge(r, play.Answer{Status: status, Body: body})
			success := status >= 200 && status <= 299
			if got.Effect == "" || got.Why == "" || got.Usable != success || (!success && got.Effect == play.Refused) {
				t.Errorf("%s: status %d, body %q: %+v", p.Hook(), status, body, got)
			}
		}
	})
}
