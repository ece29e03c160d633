package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// withSisters has a receiver hand over to these addresses, and listen for them.
func withSisters(l net.Listener, to ...string) func(*server.ServeOptions) {
	return func(o *server.ServeOptions) {
		o.Sisters = &server.Sisters{Listener: l, Timeout: 2 * time.Second, Find: func(context.Context) ([]netip.AddrPort, error) {
			var all []netip.AddrPort
			for _, a := range to {
				all = append(all, netip.MustParseAddrPort(a))
			}
			return all, nil
		}}
	}
}

// A receiver that is asked to stop does not wait for a sink that gets nothing:
// what is left is with the sister at once, and is delivered by her.
func TestStalledSinkIsHandedOver(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	suspended := servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Suspend = api.SuspendDeliveries })
	heirs := servertest.Listen(t)
	heir := startWith(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.NewSecret, servertest.OldSecret), withSisters(heirs))
	message := filepath.Join(t.TempDir(), "message")
	r := startWith(t, t.TempDir(), suspended, servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) {
		withSisters(servertest.Listen(t), heirs.Addr().String())(o)
		o.TerminationMessage = message
	})
	ids := map[string]bool{}
	for _, id := range []string{"a", "b", "c"} {
		if got := servertest.Post(t, servertest.NewClient(t), r.url, id, servertest.OldSecret, servertest.BodyOf(id)); got != 200 {
			t.Fatalf("status = %d", got)
		}
		ids[id] = true
	}
	before := time.Now()
	r.end()
	if took := time.Since(before); took > servertest.Wait/2 {
		t.Errorf("the stop took %s, as if it had waited for the grace", took)
	}
	servertest.Until(t, "the events", func() bool { return len(sink.IDs()) == 3 })
	servertest.EqualSets(t, "delivered", ids, sink.IDs())
	if got := parting(t, message); got != (statusz.Parting{HandedOver: 3}) {
		t.Errorf("the termination message says %+v", got)
	}
	if text := heir.get("/metrics"); !strings.Contains(text, `fairlead_receiver_handoff_transfers_received_total{kind="new"} 3`) {
		t.Errorf("the sister does not count what she received:\n%s", grep(text, "handoff"))
	}
}

func grep(text, what string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			out.WriteString(line)
		}
	}
	return out.String()
}

func parting(t *testing.T, file string) statusz.Parting {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p statusz.Parting
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// What nobody takes is counted, told at the end, and still in the data directory.
func TestNobodyToHandTo(t *testing.T) {
	draining := servertest.Listen(t)
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(draining) }()
	t.Cleanup(func() { _ = srv.Close() })
	for name, tt := range map[string]struct {
		secrets []string
		to      []string
		reason  string
	}{
		"no sister":            {secrets: []string{servertest.OldSecret}, reason: "no sister"},
		"a sister that is not": {secrets: []string{servertest.OldSecret}, to: []string{draining.Addr().String()}, reason: "no sister"},
		"no secret":            {to: []string{draining.Addr().String()}, reason: "no usable secret"},
	} {
		t.Run(name, func(t *testing.T) {
			c := servertest.Config(t, "http://127.0.0.1:1", func(c *v1alpha1.Config) { c.Drain.Grace.Duration = 0 })
			dir, message := t.TempDir(), filepath.Join(t.TempDir(), "message")
			r := startWith(t, dir, c, servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) {
				withSisters(servertest.Listen(t), tt.to...)(o)
				o.TerminationMessage = message
			})
			if got := servertest.Post(t, servertest.NewClient(t), r.url, "a", servertest.OldSecret, servertest.BodyOf("a")); got != 200 {
				t.Fatalf("status = %d", got)
			}
			r.source.Set(servertest.Encode(t, c), servertest.Secrets(tt.secrets...))
			servertest.Until(t, "the secrets", func() bool { return len(r.status().Secret.Entries) == len(tt.secrets) })
			r.stop()
			servertest.Until(t, "the metric, or the end", func() bool { // without a secret the end comes at once
				text, err := r.tryGet("/metrics")
				return strings.Contains(text, "fairlead_receiver_left_behind_deliveries 1") || err != nil && tt.secrets == nil
			})
			r.end()
			if got := parting(t, message); got.Left != 1 || got.HandedOver != 0 || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("the termination message says %+v", got)
			}
			sink := servertest.NewSinkhole(t, nil)
			again := start(t, dir, servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
			servertest.Until(t, "the event", func() bool { return sink.IDs()["a"] })
			again.end()
		})
	}
}

// Nothing is written when nothing is to be said.
func TestNoTerminationMessage(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	for _, message := range []string{filepath.Join(t.TempDir(), "message"), filepath.Join(t.TempDir(), "no", "such", "directory")} {
		r := startWith(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) { o.TerminationMessage = message })
		r.end()
		if _, err := os.Stat(message); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a message was written: %v", err)
		}
	}
}
