package server_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

const (
	beforeSend = `{"message":{"text":"hi"},"user":{"id":"u"},"channel":{"cid":"messaging:fun","type":"messaging"}}`
	allowed    = "{}"
	denied     = `{"message":{"type":"error","text":"This message could not be checked. Please try again."}}`
	rewritten  = `{"message":{"text":"ho"}}`
)

// responder is one at url that is waited for longer than any test takes.
func responder(hook, name, url string, onFailure api.FailurePolicy) v1alpha1.Responder {
	return v1alpha1.Responder{Hook: hook, Name: name, HTTP: &v1alpha1.HTTPSink{URL: url}, OnFailure: onFailure,
		Timeout: metav1.Duration{Duration: servertest.Wait}, Concurrency: 64}
}

// answering starts an HTTP server that is a responder.
func answering(t testing.TB, h http.HandlerFunc) string {
	l := servertest.Listen(t)
	srv := &http.Server{ReadHeaderTimeout: servertest.Wait, Handler: h}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return "http://" + l.Addr().String()
}

// always answers everything alike.
func always(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// answer is what a provider got.
type answer struct {
	status            int
	contentType, body string
}

// ask sends a signed request and returns the answer.
func ask(t testing.TB, client *http.Client, req *http.Request) answer {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(b)}
}

// A synchronous hook is answered by its responder, and a copy goes to the sinks
// that list the hook, once however often it is asked.
func TestResponderAnswers(t *testing.T) {
	t.Parallel()
	sink := servertest.NewSinkhole(t, nil)
	sink.Expect(func(string) string { return beforeSend })
	url := answering(t, always(http.StatusAccepted, "application/vnd.x+json", rewritten))
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Sinks[0].Hooks = []string{"before-message-send"}
		c.Responders = []v1alpha1.Responder{responder("before-message-send", "moderator", url, api.FailureDeny)}
	}), servertest.Secrets(servertest.OldSecret))
	client := servertest.NewClient(t)
	for range 3 {
		got := ask(t, client, servertest.Request(t, r.url+"/before-message-send", "m1", servertest.OldSecret, beforeSend))
		if want := (answer{http.StatusAccepted, "application/vnd.x+json", rewritten}); got != want {
			t.Errorf("answer = %+v, want %+v", got, want)
		}
	}
	servertest.Until(t, "the copy at the sink", func() bool { return sink.IDs()["m1"] })
	s := r.status().Responders
	if len(s) != 1 || s[0].Asked != 3 || s[0].Failed != 0 || s[0].State != "ok" || s[0].Breaker != "closed" || time.Since(*s[0].LastSuccess) > time.Minute {
		t.Errorf("status = %+v", s)
	}
	r.end()
	if n := sink.Times()["m1"]; n != 1 {
		t.Errorf("the sink got the copy %d times, want once", n)
	}
}

// Copies that are being stored when a receiver is asked to stop are delivered
// before it leaves.
func TestCopiesAtStop(t *testing.T) {
	t.Parallel()
	sink := servertest.NewSinkhole(t, nil)
	sink.Expect(func(string) string { return beforeSend })
	url := answering(t, always(http.StatusOK, "application/json", allowed))
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Sinks[0].Hooks = []string{"before-message-send"}
		c.Responders = []v1alpha1.Responder{responder("before-message-send", "moderator", url, api.FailureDeny)}
	}), servertest.Secrets(servertest.OldSecret))
	client := servertest.NewClient(t)
	var all sync.WaitGroup
	want := map[string]bool{}
	for i := range 64 {
		id := fmt.Sprintf("m%d", i)
		want[id] = true
		all.Go(func() {
			ask(t, client, servertest.Request(t, r.url+"/before-message-send", id, servertest.OldSecret, beforeSend))
		})
	}
	all.Wait()
	r.end()
	servertest.EqualSets(t, "copies at the sink", want, sink.IDs())
}

// Responders are taken live: a request under way has the answer of the one that it
// asked, one that did not change keeps its connections, and one that lacked a
// Secret's entry answers when it is there.
func TestRespondersChangeLive(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	old := answering(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		always(http.StatusOK, "application/json", `"old"`)(w, r)
	})
	fresh := answering(t, always(http.StatusOK, "application/json", `"new"`))
	var mu sync.Mutex
	peers := map[string]bool{}
	same := answering(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		peers[r.RemoteAddr] = true
		mu.Unlock()
		always(http.StatusOK, "application/json", `"same"`)(w, r)
	})
	pending := responder("before-message-send", "pending", fresh, api.FailureDeny)
	pending.Filter = `data.message.text == "pending"`
	pending.HTTP.Headers = []v1alpha1.SinkHeader{{Name: "Authorization", File: "extra/token"}}
	c := servertest.Config(t, "http://127.0.0.1:1", func(c *v1alpha1.Config) {
		c.Responders = []v1alpha1.Responder{pending, responder("before-message-send", "moderator", old, api.FailureDeny), responder("custom-commands", "commands", same, api.FailureDeny)}
	})
	secrets := servertest.Secrets(servertest.OldSecret)
	r := start(t, t.TempDir(), c, secrets)
	client := servertest.NewClient(t)
	post := func(hook, body string) string {
		return ask(t, client, servertest.Request(t, r.url+"/"+hook, "x", servertest.OldSecret, body)).body
	}
	const toPending = `{"message":{"text":"pending"},"user":{},"channel":{}}`
	const command = `{"message":{"command":"x"},"user":{}}`
	if got := post("before-message-send", toPending); got != denied {
		t.Errorf("pending: answer = %s", got)
	}
	if s := r.status().Responders[0]; s.State != "pending" || !strings.Contains(s.Reason, "extra/token") {
		t.Errorf("status = %+v", s)
	}
	first := make(chan string)
	go func() { first <- post("before-message-send", beforeSend) }()
	<-asked
	if got := post("custom-commands", command); got != `"same"` {
		t.Errorf("before the change: %s", got)
	}

	c.Endpoint.Generation, c.Responders[1].HTTP.URL, c.Responders[2].Filter = 2, fresh, ""
	secrets = maps.Clone(secrets)
	secrets["extra/token"] = []byte("t")
	r.source.Set(servertest.Encode(t, c), secrets)
	servertest.Until(t, "the change", func() bool { return r.status().Config.Generation == 2 })
	for hook, want := range map[string]string{"before-message-send": `"new"`, "custom-commands": `"same"`} {
		body := map[string]string{"before-message-send": beforeSend, "custom-commands": command}[hook]
		if got := post(hook, body); got != want {
			t.Errorf("%s after the change: %s, want %s", hook, got, want)
		}
	}
	if got := post("before-message-send", toPending); got != `"new"` {
		t.Errorf("no longer pending: answer = %s", got)
	}
	close(release)
	if got := <-first; got != `"old"` {
		t.Errorf("the request under way was answered %s", got)
	}
	if len(peers) != 1 {
		t.Errorf("the unchanged responder was asked on %d connections, want 1", len(peers))
	}

	c.Endpoint.Generation, c.Responders = 3, nil
	r.source.Set(servertest.Encode(t, c), secrets)
	servertest.Until(t, "the change", func() bool { return r.status().Config.Generation == 3 })
	if got := ask(t, client, servertest.Request(t, r.url+"/custom-commands", "x", servertest.OldSecret, command)); got.status != http.StatusNotFound {
		t.Errorf("without a responder: answer = %+v", got)
	}
}

// A filter that does not compile is refused like any configuration that does not
// load.
func TestFilterThatDoesNotCompile(t *testing.T) {
	t.Parallel()
	c := servertest.Config(t, "http://127.0.0.1:1", func(c *v1alpha1.Config) {
		c.Responders = []v1alpha1.Responder{responder("custom-commands", "commands", "http://127.0.0.1:1", api.FailureAllow)}
	})
	r := start(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret))
	for _, edit := range []func(){
		func() { c.Sinks[0].Filter = "data." },
		func() {
			c.Sinks[0].Filter = ""
			c.Responders = append(c.Responders, responder("custom-commands", "other", "http://127.0.0.1:1", api.FailureAllow))
			c.Responders[1].Filter = "1"
		},
	} {
		edit()
		c.Endpoint.Generation++
		r.source.Set(servertest.Encode(t, c), servertest.Secrets(servertest.OldSecret))
		servertest.Until(t, "the refusal", func() bool { return strings.Contains(r.status().Config.Error, "filter") })
		if g := r.status().Config.Generation; g != 1 {
			t.Errorf("generation %d is in use", g)
		}
		c.Sinks[0].Filter = ""
	}
}

// A sink's filter says which events it gets, asynchronous ones and copies.
func TestSinkFilters(t *testing.T) {
	t.Parallel()
	teams, all := servertest.NewSinkhole(t, nil), servertest.NewSinkhole(t, nil)
	body := map[string]string{"t": `{"type":"a","channel_type":"team"}`, "m": `{"type":"a","channel_type":"messaging"}`, "n": `{"type":"a"}`}
	for _, s := range []*servertest.Sinkhole{teams, all} {
		s.Expect(func(id string) string { return body[id] })
	}
	r := start(t, t.TempDir(), servertest.Config(t, teams.URL, func(c *v1alpha1.Config) {
		c.Sinks[0].Filter = `data.channel_type == "team"`
		c.Sinks = append(c.Sinks, servertest.HTTPSink("all", all.URL))
	}), servertest.Secrets(servertest.OldSecret))
	client := servertest.NewClient(t)
	for id, b := range body {
		servertest.Post(t, client, r.url, id, servertest.OldSecret, b)
	}
	metrics := r.get("/metrics")
	r.end()
	servertest.EqualSets(t, "at the filtered sink", map[string]bool{"t": true}, teams.IDs())
	servertest.EqualSets(t, "at the other", map[string]bool{"t": true, "m": true, "n": true}, all.IDs())
	if want := `fairlead_receiver_sink_filter_errors_total{sink="app"} 1`; !strings.Contains(metrics, want) {
		t.Errorf("metrics do not hold %s", want)
	}
}
