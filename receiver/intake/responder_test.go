package intake_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// moderator is a responder of before-message-send at url.
func moderator(url string, onFailure api.FailurePolicy) v1alpha1.Responder {
	return v1alpha1.Responder{Name: "m", Hook: "before-message-send", OnFailure: onFailure, HTTP: &v1alpha1.HTTPSink{URL: url}}
}

// What a responder answers goes back unchanged.
func TestResponderAnswersUnchanged(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    got
	}{
		"plain":                     {replying(200, `{"message":{"text":"ho"}}`), got{200, "application/json", `{"message":{"text":"ho"}}`}},
		"another status of success": {replying(201, ` [1] `), got{201, "application/json", ` [1] `}},
		"empty":                     {replying(200, ``), got{200, "application/json", ``}},
		"no content":                {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, got{204, "", ``}},
		"largest":                   {replying(200, `"`+strings.Repeat("x", 256<<10-2)+`"`), got{200, "application/json", `"` + strings.Repeat("x", 256<<10-2) + `"`}},
		"content type of no one else": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, `{}`)
		}, got{200, "", `{}`}},
		"early hint": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); replying(200, `1`)(w, r) }, got{200, "application/json", `1`}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, "stream-chat", nil)
			g.add(moderator(serve(t, tt.handler), api.FailureDeny))
			if diff := cmp.Diff(tt.want, g.ask(request("/before-message-send", message))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"before-message-send responded"}, g.outcomes); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// A responder gets the bytes that were signed, the query, and the headers that
// sinks get.
func TestResponderIsAsked(t *testing.T) {
	var asked *http.Request
	var text string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		asked, text = r, string(b)
		replying(200, "{}")(w, r)
	})
	g := newRig(t, "stream-chat", nil)
	g.files = map[string]string{"s/token": "Bearer t\n"}
	cfg := moderator(url+"/check?own=1", api.FailureDeny)
	cfg.Hook = "custom-commands"
	cfg.HTTP.Headers = []v1alpha1.SinkHeader{{Name: "Authorization", File: "s/token"}}
	g.add(cfg)
	r := stream(command, zipped(command), func(r *http.Request) {
		r.URL.Path, r.URL.RawQuery = "/hooks/custom-commands", "type=ticket&x=%zz"
		for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For", "Forwarded", "X-Real-Ip", "Ce-Id", "Ce-Own", "Content-Encoding", "Connection", "X-Other"} {
			r.Header.Set(name, "from-the-provider")
		}
		r.Header.Set("X-Api-Key", "current")
	})
	if got := g.ask(r); got.Status != 200 {
		t.Fatalf("answer = %+v, %v", got, g.notes)
	}
	if asked.Method != http.MethodPost || asked.RequestURI != "/check?own=1&type=ticket&x=%zz" || text != command || asked.ContentLength != int64(len(command)) {
		t.Errorf("asked: %s %s, %q", asked.Method, asked.RequestURI, text)
	}
	asked.Header.Del("Ce-Time")
	if diff := cmp.Diff(http.Header{
		"Authorization": {"Bearer t"}, "Content-Type": {"application/json"}, "Content-Length": {"76"}, "User-Agent": {"fairlead-receiver"},
		"X-Signature": {hexSignature(command)}, "X-Webhook-Id": {"id-1"}, "X-Webhook-Attempt": {"2"}, "X-Api-Key": {"current"},
		"Ce-Id": {"id-1"}, "Ce-Specversion": {"1.0"}, "Ce-Source": {"/x"}, "Ce-Type": {"io.getstream.custom_command"},
	}, asked.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

// What goes wrong before a responder is asked is answered as everywhere, and
// nobody is asked.
func TestResponderIsNotAsked(t *testing.T) {
	at := "/before-message-send"
	for name, tt := range map[string]struct {
		config  func(*v1alpha1.Config)
		entries []verify.Entry
		request *http.Request
		status  int
		outcome string
	}{
		"forged":                           {request: stream("other", message, func(r *http.Request) { r.URL.Path = "/hooks" + at }), status: 401, outcome: "before-message-send unauthenticated"},
		"unlisted":                         {request: stream(message, message, func(r *http.Request) { r.URL.Path, r.RemoteAddr = "/hooks"+at, "203.0.113.7:1" }), status: 403, outcome: "before-message-send unlisted"},
		"misrouted":                        {request: request(at, command), status: 404, outcome: "before-message-send misrouted"},
		"suspended":                        {config: func(c *v1alpha1.Config) { c.Suspend = api.SuspendIntake }, request: request(at, message), status: 503, outcome: "before-message-send suspended"},
		"no secret":                        {entries: []verify.Entry{}, request: request(at, message), status: 503, outcome: "before-message-send failed"},
		"GET":                              {request: stream(message, message, func(r *http.Request) { r.URL.Path, r.Method = "/hooks"+at, http.MethodGet }), status: 405, outcome: "before-message-send method_not_allowed"},
		"other hook, which nobody answers": {request: request("/custom-commands", command), status: 404, outcome: "custom-commands not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, "stream-chat", tt.config)
			if tt.entries != nil {
				g.entries = tt.entries
			}
			g.add(moderator(serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the responder was asked") }), api.FailureAllow))
			if got := g.ask(tt.request); got.Status != tt.status {
				t.Errorf("answer = %+v, want status %d", got, tt.status)
			}
			if diff := cmp.Diff([]string{tt.outcome}, g.outcomes); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// Of a hook's responders the first whose filter matches is asked, or else the
// default, wherever it stands.
func TestResponderChoice(t *testing.T) {
	g := newRig(t, "stream-chat", nil)
	for _, r := range []struct{ name, filter string }{
		{"default", ""}, {"broken", `data.nothing == 1`}, {"ticket", `query.type == "ticket"`}, {"command", `data.message.command == "ticket" && hook == "custom-commands"`},
	} {
		cfg := moderator(serve(t, replying(200, `"`+r.name+`"`)), api.FailureDeny)
		cfg.Hook, cfg.Name, cfg.Filter = "custom-commands", r.name, r.filter
		g.add(cfg)
	}
	for _, tt := range []struct{ path, body, want string }{
		{"/custom-commands?type=ticket", command, "ticket"},
		{"/custom-commands?type=other", command, "command"},
		{"/custom-commands", command, "command"},
		{"/custom-commands?type=other", `{"message":{"command":"x"},"user":{}}`, "default"},
		{"/custom-commands", `no JSON`, "default"},
	} {
		g.notes = nil
		if got := g.ask(request(tt.path, tt.body)); got.Body != `"`+tt.want+`"` {
			t.Errorf("%s %s: answered by %s, want %q", tt.path, tt.body, got.Body, tt.want)
		}
		if g.notes[0] != "filter failed broken" {
			t.Errorf("observed: %q", g.notes)
		}
	}
}

// Above a responder's concurrency onFailure answers at once, and other responders
// and hooks notice nothing of one that hangs.
func TestHangingResponder(t *testing.T) {
	release := make(chan struct{})
	var waiting atomic.Int32
	g := newRig(t, "stream-chat", nil)
	cfg := moderator(serve(t, func(w http.ResponseWriter, r *http.Request) {
		waiting.Add(1)
		hang(release)(w, r)
		replying(200, `1`)(w, r)
	}), api.FailureDeny)
	cfg.Concurrency = 3
	g.add(cfg)
	other := moderator(serve(t, replying(200, `2`)), api.FailureDeny)
	other.Hook = "custom-commands"
	g.add(other)

	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if got := g.ask(request("/before-message-send", message)); got.Body != `1` {
				t.Errorf("answer = %+v", got)
			}
		})
	}
	servertest.Until(t, "the responder to be asked", func() bool { return waiting.Load() == 3 })
	for range 100 {
		if got := g.ask(request("/before-message-send", message)); !strings.Contains(got.Body, "could not be checked") {
			t.Fatalf("answer = %+v", got)
		}
	}
	if got := g.ask(request("/custom-commands", command)); got.Body != `2` {
		t.Errorf("answer of the other = %+v", got)
	}
	if got := g.ask(stream(body, body, nil)); got.Status != 200 {
		t.Errorf("push answered %+v", got)
	}
	close(release)
	all.Wait()
	if got := g.ask(request("/before-message-send", message)); got.Body != `1` {
		t.Errorf("answer afterwards = %+v", got)
	}
}

// After ten failures in a row a responder is left alone, and asked again after a
// while. What it refuses, and who does not wait for it, opens nothing.
func TestResponderBreaker(t *testing.T) {
	var status atomic.Int32
	var asked atomic.Int32
	status.Store(500)
	g := newRig(t, "stream-chat", nil)
	g.pause = 30 * time.Millisecond
	r := g.add(moderator(serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		replying(int(status.Load()), `{}`)(w, r)
	}), api.FailureDeny))
	send := func() { g.ask(request("/before-message-send", message)) }
	for range 10 {
		send()
	}
	if s := r.Status(); s.Breaker != "open" || s.State != "failing" || s.Reason != "circuit breaker is open; last error: responder answered 500" {
		t.Errorf("after ten failures: %+v", s)
	}
	send()
	if n := g.notes[len(g.notes)-1]; asked.Load() == 10 && n != "before-message-send m breaker_open" {
		t.Errorf("observed while it is open: %q", n)
	}
	servertest.Until(t, "a probe that fails", func() bool { send(); return asked.Load() > 10 })
	status.Store(200)
	servertest.Until(t, "the breaker to close", func() bool { send(); return r.Status().Breaker == "closed" })
	if s := r.Status(); s.State != "ok" || s.Reason != "" || s.LastSuccess == nil {
		t.Errorf("when it answers again: %+v", s)
	}
	status.Store(404)
	for range 40 {
		send()
	}
	if s := r.Status(); s.Breaker != "closed" || s.State != "failing" {
		t.Errorf("after it has refused 40: %+v", s)
	}
}

// A responder of which every other answer fails is left alone too, once there are
// enough to judge by.
func TestResponderBreakerByHalf(t *testing.T) {
	var asked atomic.Int32
	g := newRig(t, "stream-chat", nil)
	g.pause = time.Hour
	r := g.add(moderator(serve(t, func(w http.ResponseWriter, r *http.Request) {
		replying(200+300*int(asked.Add(1)%2), `{}`)(w, r)
	}), api.FailureAllow))
	for i := range 30 {
		g.ask(request("/before-message-send", message))
		if open := r.Status().Breaker == "open"; open != (i >= 20) {
			t.Fatalf("after %d requests the breaker is %s", i+1, r.Status().Breaker)
		}
	}
	if asked.Load() != 21 {
		t.Errorf("the responder was asked %d times, want 21", asked.Load())
	}
}

// A client that does not wait for the answer calls the responder off. That opens no
// breaker; but when nobody has waited for ten answers, the status says so.
func TestClientGivesUp(t *testing.T) {
	g := newRig(t, "stream-chat", nil)
	waiting, called := make(chan struct{}), make(chan struct{})
	r := g.add(moderator(serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		waiting <- struct{}{}
		<-r.Context().Done()
		called <- struct{}{}
	}), api.FailureDeny))
	for n := range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-waiting
			cancel()
		}()
		g.send(request("/before-message-send", message).WithContext(ctx))
		<-called
		want, reason := "ok", ""
		if n >= 9 {
			want, reason = "failing", "provider did not wait for the answer"
		}
		if s := r.Status(); s.Breaker != "closed" || s.State != want || s.Reason != reason || s.Asked != int64(n+1) || s.Failed != 0 {
			t.Errorf("after %d: status = %+v", n+1, s)
		}
	}
}

// A responder may take longer than the server gives a handler to write.
func TestResponderMayTakeLong(t *testing.T) {
	g := newRig(t, "stream-chat", nil)
	cfg := moderator(serve(t, replying(200, `{}`)), api.FailureDeny)
	cfg.Timeout = metav1.Duration{Duration: time.Hour}
	g.add(cfg)
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	g.handler.ServeHTTP(w, request("/before-message-send", message))
	if w.Code != 200 || time.Until(w.write) < 59*time.Minute {
		t.Errorf("answered %d, with %s left to write it", w.Code, time.Until(w.write))
	}
}

// deadlines remembers the deadline for writing.
type deadlines struct {
	*httptest.ResponseRecorder
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func listing(hooks ...string) func(*v1alpha1.Config) {
	return func(c *v1alpha1.Config) { c.Sinks = []v1alpha1.Sink{{Name: "app", Hooks: hooks}} }
}

// A copy is stored beside the asking: neither waits for the other, and what becomes
// of it is not answered.
func TestCopies(t *testing.T) {
	for name, tt := range map[string]struct {
		config func(*v1alpha1.Config)
		fail   error
		notes  []string
		stored int
	}{
		"listed":     {config: listing("before-message-send"), notes: []string{"copied before-message-send true"}, stored: 1},
		"queue full": {config: listing("before-message-send"), fail: queue.ErrFull, notes: []string{"copied before-message-send false"}},
		"not listed": {config: listing("custom-commands")},
		"no hooks":   {config: listing()},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, "stream-chat", tt.config)
			g.fail, g.hold = tt.fail, make(chan struct{})
			g.add(moderator(serve(t, replying(200, `7`)), api.FailureDeny))
			for range 2 { // a repeated request is asked again, and is one event
				if got := g.ask(request("/before-message-send", message)); got.Body != `7` {
					t.Errorf("answer = %+v", got)
				}
			}
			if want := int64(2 * len(tt.notes)); g.handler.Copying() != want {
				t.Errorf("%d copies under way, want %d", g.handler.Copying(), want)
			}
			close(g.hold)
			servertest.Until(t, "the copies", func() bool { return g.handler.Copying() == 0 })
			asked := "before-message-send m answered"
			if diff := cmp.Diff(append([]string{asked, asked}, append(tt.notes, tt.notes...)...), g.notes); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
			if len(g.stored) != tt.stored {
				t.Errorf("%d events stored, want %d", len(g.stored), tt.stored)
			}
		})
	}
}

// No secret, URL, header or body shows in what is told of a responder that fails.
func TestResponderTellsNoSecret(t *testing.T) {
	secrets := []string{"token-8812", "url-55e1", "answer-77aa", "text-31fc", "127.0.0.1"}
	text := `{"message":{"text":"text-31fc"},"user":{},"channel":{}}`
	for name, url := range map[string]string{
		"500": serve(t, replying(500, `"answer-77aa"`)), "invalid": serve(t, replying(200, `answer-77aa`)), "broken": serve(t, breaking("answer-77aa\r\n\r\n")),
		"gone": gone(t), "no TLS": "https" + strings.TrimPrefix(serve(t, replying(200, `{}`)), "http"), "unknown authority": httpsServer(t), "malformed": "http://\x7furl-55e1",
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, "stream-chat", nil)
			g.files = map[string]string{"s/token": "token-8812"}
			cfg := moderator(url+"/url-55e1?token=url-55e1", api.FailureAllow)
			cfg.HTTP.Headers = []v1alpha1.SinkHeader{{Name: "Authorization", File: "s/token"}}
			cfg.Timeout = metav1.Duration{Duration: 5 * time.Second}
			r := g.add(cfg)
			g.ask(request("/before-message-send", text))
			told := g.log.String() + r.Status().Reason + strings.Join(g.notes, " ")
			for _, s := range secrets {
				if strings.Contains(told, s) {
					t.Errorf("%q is told: %s", s, told)
				}
			}
		})
	}
}

func httpsServer(t *testing.T) string {
	srv := httptest.NewTLSServer(replying(200, `{}`))
	t.Cleanup(srv.Close)
	return srv.URL
}
