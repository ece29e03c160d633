package edge_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// answer is what a client is answered.
type answer struct {
	status            int
	contentType, body string
}

// ask sends a request and returns the answer; the zero answer stands for none.
func (c *client) ask(req *http.Request) answer {
	c.t.Helper()
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(body)}
}

// responder answers synchronous hooks on a host, as answers say by the text of the
// message, and remembers what it was asked.
type responder struct {
	answers map[string]answer

	mu    sync.Mutex
	asked []string // query and body
}

func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.asked = append(r.asked, req.URL.RawQuery+" "+string(body))
	r.mu.Unlock()
	for text, a := range r.answers {
		if strings.Contains(string(body), `"text":"`+text+`"`) {
			w.Header().Set("Content-Type", a.contentType)
			w.WriteHeader(a.status)
			_, _ = io.WriteString(w, a.body)
		}
	}
}

func (r *responder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

// message is the body of a request of a synchronous hook.
func message(hook, text string) string {
	rest := `,"channel":{"id":"c"}`
	if hook == customCommands {
		rest = ""
	}
	return "{ \"message\":{\"text\":\"" + text + "\",\"command\":\"ticket\"},\r\n\t\"user\":{\"id\":\"\u00fc\"}" + rest + " }\n"
}

// Stream's synchronous hooks.
const (
	beforeSend     = "before-message-send"
	customCommands = "custom-commands"
)

// moderate has a responder answer both.
func moderate(c *v1alpha1.Config, url string) {
	for _, hook := range []string{beforeSend, customCommands} {
		c.Responders = append(c.Responders, v1alpha1.Responder{Name: "moderator", Hook: hook, HTTP: &v1alpha1.HTTPSink{URL: url},
			Timeout: metav1.Duration{Duration: servertest.Wait}, OnFailure: "Deny", Concurrency: 8})
	}
}

// hooks holds that a responder gets the bytes that were signed, and the provider the
// answer, through proxies; and that who is not listed asks nobody.
func (w *world) hooks(t *testing.T) {
	for _, tt := range []struct {
		name string
		plan
	}{
		{"direct", plan{tls: true, own: true}},
		{"nginx", plan{sample: "nginx/http.conf", trusted: true}},
		{"nginx, HTTP/2", plan{sample: "nginx/tls.conf", trusted: true, tls: true}},
		{"HAProxy", plan{sample: "haproxy/http.cfg", trusted: true}},
		{"HAProxy, HTTP/2", plan{sample: "haproxy/tls.cfg", trusted: true, tls: true}},
		{"HAProxy, TLS through", plan{sample: "haproxy/passthrough-proxy-protocol.cfg", trusted: true, required: true, tls: true, own: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &responder{answers: map[string]answer{
				"plain":   {200, "application/json", `{"message":{"text":"plain"}}`},
				"odd":     {202, "application/vnd.x+json; charset=utf-8", "{ \"a\": 1e0,\r\n\"b\":\"\u2028 \\u0000\" }\n\n"},
				"large":   {200, "application/json", `{"x":"` + strings.Repeat("y", 200<<10) + `"}`},
				"failing": {500, "application/json", `{"error":"moderator"}`},
			}}
			tt.moderator = r
			s := w.newSite(t, tt.plan)
			c := s.client(t, w.stream, true, true)
			for text := range r.answers {
				for _, squeezed := range []bool{false, true} {
					s.hook(t, c, beforeSend, "", text, squeezed)
					s.hook(t, c, customCommands, "type=ticket&a=b%20c+d&&e", text, squeezed)
				}
			}
			stranger := s.client(t, w.unknown, true, false)
			stranger.forged = http.Header{"X-Forwarded-For": {streamAddress}}
			req := stranger.request("stranger")
			req.URL.Path += "/" + beforeSend
			if got := stranger.ask(req); got.status != 403 || len(r.take()) > 0 {
				t.Errorf("a stranger was answered %d, and the responder may have been asked", got.status)
			}
		})
	}
}

// hook sends one message to a hook.
func (s *site) hook(t *testing.T, c *client, hook, query, text string, squeezed bool) {
	t.Helper()
	u := upload{wire: message(hook, text), signed: message(hook, text), gzip: squeezed}
	if squeezed {
		u.wire = squeeze(t, u.signed)
	}
	req := u.request(t, s.url+"/"+hook, fmt.Sprint(text, squeezed))
	req.URL.RawQuery = query
	want := s.moderator.answers[text]
	if want.status == 500 {
		want = s.denial(t, hook)
	}
	if got := c.ask(req); got != want {
		t.Errorf("%s of %q, gzip %v: the answer is %.300q, want %.300q", hook, text, squeezed, fmt.Sprint(got), fmt.Sprint(want))
	}
	if diff := cmp.Diff([]string{query + " " + u.signed}, s.moderator.take()); diff != "" {
		t.Errorf("%s of %q, gzip %v: the responder was asked (-want +got):\n%s", hook, text, squeezed, diff)
	}
}

// denial is the profile's answer that denies what a hook asks.
func (s *site) denial(t *testing.T, hook string) answer {
	t.Helper()
	for _, h := range s.config.Hooks {
		if h.Name == hook {
			return answer{int(h.Deny.Status), h.Deny.ContentType, h.Deny.Body}
		}
	}
	t.Fatalf("there is no hook %q", hook)
	return answer{}
}
