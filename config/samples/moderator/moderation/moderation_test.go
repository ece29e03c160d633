package moderation_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/config/samples/moderator/moderation"
)

var rules = moderation.Rules{Mask: []string{"Heck", "süß"}, Refuse: []string{"pills"}, Refusal: "no"}

const jsonType = "application/json; charset=utf-8"

func post(t *testing.T, log *bytes.Buffer, path, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Ce-Id", "evt-1")
	w := httptest.NewRecorder()
	moderation.New(rules, slog.New(slog.NewTextHandler(log, nil))).ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct{ path, body, want string }{
		"passed":           {"/before-message-send", `{"message":{"text":"hello"}}`, `{}`},
		"no text":          {"/before-message-send", `{"message":{"id":"m1"}}`, `{}`},
		"masked":           {"/before-message-send", `{"message":{"text":"What the HECK? Süß!","html":"<p>x</p>","n":1e400}}`, `{"message":{"text":"What the ****? ***!","n":1e400}}`},
		"part of a word":   {"/before-message-send", `{"message":{"text":"heckler, checkpills"}}`, `{}`},
		"refused":          {"/before-message-send", `{"message":{"text":"heck, Pills"}}`, `{"message":{"type":"error","text":"no"}}`},
		"markup stays":     {"/before-message-send", `{"message":{"text":"<b>heck</b> & co"}}`, `{"message":{"text":"<b>****</b> & co"}}`},
		"echo":             {"/custom-commands?type=echo", `{"message":{"id":"m1","command":"echo","args":"hi, heck","text":"/echo hi, heck"}}`, `{"message":{"id":"m1","command":"echo","args":"hi, heck","text":"hi, ****"}}`},
		"echo refused":     {"/custom-commands", `{"message":{"command":"echo","args":"pills"}}`, `{"message":{"type":"error","text":"no"}}`},
		"no such command":  {"/custom-commands?type=echo", `{"message":{"command":"dance"}}`, `{"message":{"type":"error","text":"There is no such command."}}`},
		"pre-hook":         {"/pre-hook", `{"eventName":"message.shouldCreate","data":{"data":{"text":"hello"}}}`, `{"action":"allow"}`},
		"pre-hook alone":   {"/pre-hook", `{"eventName":"channel.shouldJoin"}`, `{"action":"allow"}`},
		"pre-hook masked":  {"/pre-hook", `{"eventName":"e","data":{"messages":[{"data":{"text":"heck"},"n":12345678901234567890}]}}`, `{"action":"allow","data":{"messages":[{"data":{"text":"****"},"n":12345678901234567890}]}}`},
		"pre-hook refused": {"/pre-hook", `{"eventName":"e","data":[{"title":"pills"}]}`, `{"action":"deny","message":"no"}`},
		"id like a word":   {"/pre-hook", `{"eventName":"e","data":{"userId":"pills"}}`, `{"action":"allow"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(t, new(bytes.Buffer), tt.path, jsonType, tt.body)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
			}
			if diff := cmp.Diff(parse(t, tt.want), parse(t, w.Body.String())); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestFailures holds that what cannot be judged is no success, so that the
// endpoint's onFailure decides.
func TestFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		path, contentType, body string
		want                    int
	}{
		"not JSON":           {"/before-message-send", jsonType, `hello`, 400},
		"no message":         {"/before-message-send", jsonType, `{}`, 400},
		"text is a number":   {"/before-message-send", jsonType, `{"message":{"text":1}}`, 400},
		"command is null":    {"/custom-commands", jsonType, `{"message":{"command":["echo"]}}`, 400},
		"args is a number":   {"/custom-commands", jsonType, `{"message":{"command":"echo","args":1}}`, 400},
		"an event":           {"/pre-hook", jsonType, `{"event":"message.didCreate"}`, 400},
		"form":               {"/pre-hook", "application/x-www-form-urlencoded", `a=b`, 415},
		"no content type":    {"/pre-hook", "", `{}`, 415},
		"too large":          {"/pre-hook", jsonType, `"` + strings.Repeat("x", moderation.MaxBody) + `"`, 413},
		"unknown hook":       {"/another", jsonType, `{}`, 404},
		"deep beyond reason": {"/pre-hook", jsonType, `{"eventName":"e","data":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if w := post(t, new(bytes.Buffer), tt.path, tt.contentType, tt.body); w.Code != tt.want {
				t.Errorf("status %d, want %d", w.Code, tt.want)
			}
		})
	}
	w := httptest.NewRecorder()
	moderation.New(rules, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusOK {
		t.Errorf("the probe is answered %d", w.Code)
	}
}

// TestLog holds that the log tells events apart, and shows nothing of what users
// write.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	post(t, &log, "/before-message-send", jsonType, `{"message":{"text":"my secret pills"}}`)
	post(t, &log, "/before-message-send", jsonType, `{"message":{"text":["my secret"]}}`)
	if text := log.String(); strings.Contains(text, "secret") || strings.Count(text, "id=evt-1") != 2 || !strings.Contains(text, "decision=refused") {
		t.Errorf("the log is\n%s", text)
	}
}

// FuzzAnswer holds that every answer with status 200 is JSON, and masked text
// stays masked.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"message":{"text":"heck"}}`, `{"message":{"command":"echo","args":"heck pills"}}`, `{"eventName":"e","data":{"text":"heck"}}`,
		`{"eventName":"e","data":[[["\ud800"]]]}`, `{"message":{"text":"\u0000\u2028' heck"}}`, `{}`, ``,
	} {
		f.Add(body)
	}
	h := moderation.New(rules, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/before-message-send", "/custom-commands", "/pre-hook"} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", jsonType)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: the answer is no JSON: %q", path, w.Body)
			}
		}
	})
}
