package local_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/local"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is manifests that are served from a file.
type running struct {
	t      *testing.T
	file   string
	url    string
	client *http.Client
	stop   context.CancelFunc
	done   chan error
}

func text(sink, types, secret string) string {
	return fmt.Sprintf(`
apiVersion: fairlead.dev/v1alpha1
kind: WebhookEndpoint
metadata: {name: chat}
spec:
  provider: stream-chat
  secretRef: {name: signing}
  sources: {mode: Observe}
  sinks:
  - name: app
    http: {url: %q}
    types: [%q]
  exposure: {path: /hooks}
  receiver: {drain: {delay: 0s, grace: 5s}}
---
apiVersion: v1
kind: Secret
metadata: {name: signing}
stringData: {current: %q}
`, sink, types, secret)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run serves a manifest; secrets is the directory of Secrets, or empty.
func run(t *testing.T, manifests, secrets string) *running {
	t.Helper()
	r := &running{t: t, file: filepath.Join(t.TempDir(), "manifests", "chat.yaml"), client: servertest.NewClient(t), done: make(chan error, 1)}
	write(t, r.file, manifests)
	listen := servertest.Listen(t)
	r.url = "http://" + listen.Addr().String() + "/hooks"
	ready := make(chan struct{})
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.done <- local.Run(ctx, r.options(listen, servertest.Listen(t), secrets, ready)) }()
	select {
	case <-ready:
	case err := <-r.done:
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	return r
}

func (r *running) options(listen, admin net.Listener, secrets string, ready chan struct{}) local.Options {
	return local.Options{
		Load:    func() (*manifest.File, error) { return manifest.Load([]string{r.file}, nil) },
		Watched: func() []string { return []string{filepath.Dir(r.file)} },
		Listen:  listen, Admin: admin, SecretsDir: secrets, DataDir: r.t.TempDir(), Stdout: io.Discard,
		Logger: slog.New(slog.DiscardHandler), Version: "test", Exit: func(int) { r.t.Error("the disk failed") },
		Ready: func([]manifest.Resolved) { close(ready) },
	}
}

func (r *running) end() {
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("serving: %v", err)
	}
}

func (r *running) post(id, secret string) int {
	return servertest.Post(r.t, r.client, r.url, id, secret, servertest.BodyOf(id))
}

// Changes of the file are taken while it is served: of a Secret, and of a sink.
// A mistake leaves what runs as it is.
func TestManifestsAreTakenLive(t *testing.T) {
	sink, other := servertest.NewSinkhole(t, nil), servertest.NewSinkhole(t, nil)
	r := run(t, text(sink.URL, "*", servertest.OldSecret), "")
	if got := r.post("a", servertest.OldSecret); got != 200 {
		t.Fatalf("status = %d, want 200", got)
	}
	write(t, r.file, text(sink.URL, "*", servertest.NewSecret))
	servertest.Until(t, "the new secret", func() bool { return r.post("b", servertest.NewSecret) == 200 })
	if got := r.post("c", servertest.OldSecret); got != 401 {
		t.Errorf("the old secret: status = %d, want 401", got)
	}
	write(t, r.file, strings.Replace(text(sink.URL, "*", servertest.OldSecret), "sinks:", "sinkz:", 1))
	if got := r.post("d", servertest.NewSecret); got != 200 {
		t.Errorf("after a mistake: status = %d, want 200", got)
	}
	write(t, r.file, text(other.URL, "*", servertest.NewSecret))
	n := 0
	servertest.Until(t, "the new sink", func() bool {
		n++
		r.post(fmt.Sprint("e", n), servertest.NewSecret)
		return len(other.IDs()) > 0
	})
	servertest.Until(t, "the first sink's events", func() bool { return sink.IDs()["a"] && sink.IDs()["b"] && sink.IDs()["d"] })
}

// Secrets may be files beside the manifests, and are taken live too.
func TestSecretsDir(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	secrets := t.TempDir()
	write(t, filepath.Join(secrets, "signing", "old"), servertest.OldSecret+"\n")
	endpoint, _, _ := strings.Cut(text(sink.URL, "*", ""), "---")
	r := run(t, endpoint, secrets)
	if got := r.post("a", servertest.OldSecret); got != 200 {
		t.Fatalf("status = %d, want 200", got)
	}
	write(t, filepath.Join(secrets, "signing", "new"), servertest.NewSecret)
	servertest.Until(t, "the second entry", func() bool { return r.post("b", servertest.NewSecret) == 200 })
	if got := r.post("c", servertest.OldSecret); got != 200 {
		t.Errorf("the old secret beside the new one: status = %d, want 200", got)
	}
}

func TestRunRefuses(t *testing.T) {
	good := text("http://127.0.0.1:1", "*", servertest.OldSecret)
	endpoint, _, _ := strings.Cut(good, "---")
	for name, tt := range map[string]struct{ text, want string }{
		"no endpoint":      {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "no WebhookEndpoint"},
		"no secret":        {endpoint, `no Secret "signing"`},
		"unknown provider": {strings.Replace(good, "stream-chat", "strim-chat", 1), "stream-chat"},
		"unknown region":   {strings.Replace(good, "  sources:", "  regions: [us-west]\n  sources:", 1), "us-east"},
		"subject order":    {strings.Replace(good, "    types:", "    delivery: {ordering: BySubject}\n    types:", 1), "BySubject"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &running{t: t, file: filepath.Join(t.TempDir(), "chat.yaml")}
			write(t, r.file, tt.text)
			err := local.Run(t.Context(), r.options(servertest.Listen(t), servertest.Listen(t), "", make(chan struct{})))
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, context.Canceled) {
				t.Errorf("err = %v, want one about %q", err, tt.want)
			}
		})
	}
}
