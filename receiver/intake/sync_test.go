package intake_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/filter"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/respond"
	"github.com/fairlead-dev/fairlead/receiver/sink"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

const (
	message = `{"message":{"text":"hi"},"user":{"id":"u"},"channel":{"cid":"messaging:fun","type":"messaging"}}`
	command = `{"message":{"command":"ticket","args":"x"},"user":{"id":"u"},"form_data":{}}`
	prehook = `{"eventName":"message.willCreate","data":{"text":"hi"}}`
)

// rig is a bench with responders, and with room for copies to wait in.
type rig struct {
	*bench
	log   sinktest.Log
	hold  chan struct{} // nil: copies are stored at once
	made  []*respond.Responder
	files map[string]string
	pause time.Duration
}

func newRig(t *testing.T, profile string, edit func(*v1alpha1.Config)) *rig {
	g := &rig{bench: newBench(t, profile, edit)}
	g.handler = intake.New(intake.Options{Append: g.append, Route: g.route, Observer: g, Logger: slog.New(slog.NewTextHandler(&g.log, nil)), Now: time.Now})
	g.responders = &respond.Set{}
	t.Cleanup(func() {
		for _, r := range g.made {
			r.Close()
		}
	})
	return g
}

func (g *rig) append(ctx context.Context, e *event.Event, d queue.Dedup, sinks []string) (queue.Outcome, error) {
	if g.hold != nil {
		<-g.hold
	}
	return g.bench.append(ctx, e, d, sinks)
}

// route has the sinks that list a hook get its events.
func (g *rig) route(dst []string, _ *filter.Facts) []string {
	for _, s := range g.config.Sinks {
		dst = append(dst, s.Name)
	}
	return dst
}

func (g *rig) Responded(hook, responder string, o respond.Outcome, _ time.Duration) {
	g.note(hook + " " + responder + " " + string(o))
}
func (g *rig) ResponderFilterFailed(_, responder string) { g.note("filter failed " + responder) }

// add adds a responder.
func (g *rig) add(cfg v1alpha1.Responder) *respond.Responder {
	g.t.Helper()
	if cfg.Timeout.Duration == 0 {
		cfg.Timeout = metav1.Duration{Duration: 20 * time.Second}
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 8
	}
	r := respond.New(&cfg, respond.Options{Observer: g, Logger: slog.New(slog.NewTextHandler(&g.log, nil)), Now: time.Now, Pause: g.pause,
		Sink: sink.Options{Source: "/x", TypePrefix: "io.getstream.", AllowLoopback: true, ReadFile: func(name string) ([]byte, error) {
			if v, ok := g.files[name]; ok {
				return []byte(v), nil
			}
			return nil, fs.ErrNotExist
		}}})
	if err := g.responders.Add(r, cfg.Filter); err != nil {
		g.t.Fatal(err)
	}
	g.made = append(g.made, r)
	g.update()
	return r
}

// serve starts a responder's server.
func serve(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func replying(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// request is a signed one to a synchronous hook.
func request(path, body string) *http.Request {
	return stream(body, body, func(r *http.Request) {
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut("/hooks"+path, "?")
		r.Header.Set("X-Amity-Signature", base64Signature(body))
	})
}

type got struct {
	Status            int
	ContentType, Body string
}

func (g *rig) ask(r *http.Request) got {
	g.t.Helper()
	resp := g.send(r)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header.Get("Content-Type"), string(b)}
}

func hang(release <-chan struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is it noticed that the client goes away
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
}

// gone is the URL of a server that has ended.
func gone(t *testing.T) string {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	return srv.URL
}

// breaking ends the connection, after a part of an answer.
func breaking(part string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, part)
		_ = c.(*net.TCPConn).Close()
	}
}

// TestResponderFailures is the table of what is answered when a responder gives no
// answer, for each hook that waits for one.
func TestResponderFailures(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	large := `"` + strings.Repeat("x", respond.MaxBody) + `"`
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		for range 9 {
			_, _ = io.WriteString(w, strings.Repeat(" ", respond.MaxBody/8))
			w.(http.Flusher).Flush()
		}
	}
	failures := map[string]struct {
		handler http.HandlerFunc
		edit    func(*v1alpha1.Responder)
		want    respond.Outcome
	}{
		"400":                  {handler: replying(400, `{"a":1}`), want: respond.Status},
		"404":                  {handler: replying(404, ``), want: respond.Status},
		"429":                  {handler: replying(429, `{}`), want: respond.Status},
		"500":                  {handler: replying(500, `{}`), want: respond.Status},
		"503 with a long body": {handler: replying(503, large), want: respond.Status},
		"redirect":             {handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusTemporaryRedirect) }, want: respond.Status},
		"no HTTP":              {handler: breaking("nonsense\r\n\r\n"), want: respond.Unreachable},
		"no answer":            {handler: breaking(""), want: respond.Unreachable},
		"half an answer":       {handler: breaking("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), want: respond.Unreachable},
		"half a chunk":         {handler: breaking("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"), want: respond.Unreachable},
		"oversize":             {handler: replying(200, large), want: respond.Oversize},
		"oversize, chunked":    {handler: chunked, want: respond.Oversize},
		"not JSON":             {handler: replying(200, `<html>`), want: respond.Invalid},
		"two documents":        {handler: replying(200, `{}{}`), want: respond.Invalid},
		"gzip":                 {handler: replying(200, zipped(`{}`)), want: respond.Invalid},
		"hanging":              {handler: hang(release), edit: func(r *v1alpha1.Responder) { r.Timeout.Duration = 20 * time.Millisecond }, want: respond.Timeout},
		"hanging in the answer": {handler: func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			hang(release)(w, r)
		}, edit: func(r *v1alpha1.Responder) { r.Timeout.Duration = 200 * time.Millisecond }, want: respond.Timeout},
		"gone":          {edit: func(r *v1alpha1.Responder) { r.HTTP.URL = gone(t) }, want: respond.Unreachable},
		"link-local":    {edit: func(r *v1alpha1.Responder) { r.HTTP.URL = "http://169.254.169.254/" }, want: respond.Unreachable},
		"secret absent": {edit: func(r *v1alpha1.Responder) { r.HTTP.Headers = []v1alpha1.SinkHeader{{Name: "X", File: "s/x"}} }, want: respond.Pending},
		"CA absent":     {edit: func(r *v1alpha1.Responder) { r.HTTP.CAFile = "s/ca" }, want: respond.Pending},
		"bad URL":       {edit: func(r *v1alpha1.Responder) { r.HTTP.URL = "://" }, want: respond.Pending},
	}
	for _, hook := range []struct{ profile, name, body, allow, deny string }{
		{"stream-chat", "before-message-send", message, `{}`, `{"message":{"type":"error","text":"This message could not be checked. Please try again."}}`},
		{"stream-chat", "custom-commands", command, `{}`, `{"message":{"type":"error","text":"This command is not available right now. Please try again."}}`},
		{"social-plus", "pre-hook", prehook, `{"action":"allow"}`, `{"action":"deny","message":"This could not be checked. Please try again."}`},
	} {
		for onFailure, want := range map[api.FailurePolicy]string{api.FailureAllow: hook.allow, api.FailureDeny: hook.deny} {
			for name, f := range failures {
				t.Run(fmt.Sprintf("%s/%s/%s", hook.name, onFailure, name), func(t *testing.T) {
					cfg := v1alpha1.Responder{Name: "r", Hook: hook.name, OnFailure: onFailure, HTTP: &v1alpha1.HTTPSink{}}
					if f.handler != nil {
						cfg.HTTP.URL = serve(t, f.handler)
					}
					if f.edit != nil {
						f.edit(&cfg)
					}
					g := newRig(t, hook.profile, nil)
					r := g.add(cfg)
					if diff := cmp.Diff(got{200, "application/json", want}, g.ask(request("/"+hook.name, hook.body))); diff != "" {
						t.Errorf("answer (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff([]string{hook.name + " fallback"}, g.outcomes); diff != "" {
						t.Errorf("outcome (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff([]string{hook.name + " r " + string(f.want)}, g.notes); diff != "" {
						t.Errorf("observed (-want +got):\n%s", diff)
					}
					if s := r.Status(); s.Asked != 1 || s.Failed != 1 || s.Reason == "" || s.State == "ok" || s.LastSuccess != nil {
						t.Errorf("status = %+v", s)
					}
					if len(g.stored) != 0 {
						t.Error("an event was stored that no sink wants")
					}
				})
			}
		}
	}
}
