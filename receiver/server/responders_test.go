package server_test

import (
	"io"
	"net/http"
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
