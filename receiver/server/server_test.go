package server_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Pebble's caches keep a goroutine each for the life of the process.
		goleak.IgnoreTopFunction("github.com/cockroachdb/pebble/v2/internal/genericcache.(*shard[...]).releaseLoop"))
}

// readTimeout is short enough to be waited for.
const readTimeout = 3 * time.Second

// receiver is a process's worth of receiver, in this process.
type receiver struct {
	t        testing.TB
	url      string
	admin    string
	source   *reload.Memory
	stop     context.CancelFunc
	done     chan error
	log      *sinktest.Log
	receiver *server.Receiver
}

// start runs a receiver; it is stopped at the end of the test if it still runs.
func start(t testing.TB, dir string, c *v1alpha1.Config, secrets map[string][]byte) *receiver {
	t.Helper()
	return startWith(t, dir, c, secrets, func(*server.ServeOptions) {})
}

// startWith runs a receiver that is served with other options.
func startWith(t testing.TB, dir string, c *v1alpha1.Config, secrets map[string][]byte, edit func(*server.ServeOptions)) *receiver {
	t.Helper()
	return startAs(t, dir, c, secrets, func(*server.Options) {}, edit)
}

// startReceiver runs a receiver with other options.
func startReceiver(t testing.TB, c *v1alpha1.Config, edit func(*server.Options)) *receiver {
	t.Helper()
	return startAs(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret), edit, func(*server.ServeOptions) {})
}

func startAs(t testing.TB, dir string, c *v1alpha1.Config, secrets map[string][]byte, edit func(*server.Options), serve func(*server.ServeOptions)) *receiver {
	t.Helper()
	r := &receiver{t: t, source: reload.NewMemory(servertest.Encode(t, c), secrets), done: make(chan error, 1), log: &sinktest.Log{}}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	reg := prometheus.NewRegistry()
	options := server.Options{Source: r.source, DataDir: dir, QueueType: "Ephemeral", Registerer: reg, Logger: log, Now: time.Now,
		Stdout: io.Discard, AllowLoopback: true, Fatal: func(err error) { t.Errorf("fatal: %v", err) }}
	edit(&options)
	var err error
	if r.receiver, err = server.Open(options); err != nil {
		t.Fatal(err)
	}
	hooks, telemetry := servertest.Listen(t), servertest.Listen(t)
	r.url, r.admin = "http://"+hooks.Addr().String()+"/hooks", "http://"+telemetry.Addr().String()
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	o := server.ServeOptions{Webhooks: hooks, Telemetry: telemetry, Receivers: []*server.Receiver{r.receiver}, Gatherer: reg, Registerer: reg,
		Logger: log, Version: "test", Now: time.Now, ReadTimeout: readTimeout}
	serve(&o)
	go func() { r.done <- server.Serve(ctx, o) }()
	t.Cleanup(func() { r.end() })
	return r
}

// end stops the receiver and waits for it, once.
func (r *receiver) end() {
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("serving: %v", err)
		}
	case <-time.After(2 * servertest.Wait):
		r.t.Error("the receiver does not stop")
	}
}

func (r *receiver) status() statusz.Endpoint {
	r.t.Helper()
	return r.page().Endpoints[0]
}

func (r *receiver) page() (s statusz.Page) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.get("/statusz")), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *receiver) get(path string) string {
	r.t.Helper()
	text, err := r.tryGet(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// tryGet is for a receiver that may have ended.
func (r *receiver) tryGet(path string) (string, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.admin+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
