package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

// toolEndpoint has two receivers, and a sink of which the first attempt decides.
const toolEndpoint = `
  sources: {mode: Observe}
  sinks: [{name: app, http: {url: %s}}]
  exposure: {path: /hooks}
  receiver: {replicas: 2}
`

// tool is the user's tool, as people have it: as fairlead, and as kubectl fairlead.
type tool struct{ folder string }

func newTool(t *testing.T, r *rig) *tool {
	t.Helper()
	program := filepath.Join(r.source, "dist", "bin", "linux-"+runtime.GOARCH, "fairlead")
	x := &tool{t.TempDir()}
	for _, name := range []string{"fairlead", "kubectl-fairlead"} {
		if err := os.Symlink(program, filepath.Join(x.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", x.folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	return x
}

// exits runs the tool and returns what it prints, with what it says of errors; it
// must end with a code.
func (*tool) exits(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "fairlead", args...).CombinedOutput()
	got := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		got = ended.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != code {
		t.Fatalf("fairlead %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

// json runs the tool with -o json.
func (x *tool) json(t *testing.T, into any, args ...string) {
	t.Helper()
	out := run(t, "", "fairlead", append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("fairlead %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// toldStatus is what of fairlead status is looked at.
type toldStatus struct {
	Ready   bool `json:"ready"`
	Secrets []struct {
		Name string `json:"name"`
		Held []struct {
			Receivers []string `json:"receivers"`
		} `json:"held"`
	} `json:"secrets"`
	Sinks []struct {
		DeadLetters int `json:"deadLetters"`
	} `json:"sinks"`
	Receivers []struct {
		Name  string `json:"name"`
		Error string `json:"error"`
	} `json:"receivers"`
}

// toldLetter is what of fairlead deadletters list is looked at.
type toldLetter struct {
	Receiver string `json:"receiver"`
	Event    string `json:"id"`
}

// tryTool holds that the tool reaches every receiver through the API server with the
// rights of the role that is made for it, and nobody without them.
func tryTool(t *testing.T, r *rig) {
	const ns = "e2e-tool"
	r.namespace(t, ns)
	sink, chat, x := r.sink(t, ns, "app"), key{Namespace: ns, Name: "chat"}, newTool(t, r)
	r.apply(t, signingSecret(ns, streamChat), manifest(chat, streamChat, fmt.Sprintf(toolEndpoint, sink.url+"/app")))
	r.ready(t, chat)
	jo := []string{"-n", ns, chat.Name, "--as", "jo"}
	run(t, "", "kubectl", "create", "rolebinding", "jo", "-n", ns, "--clusterrole=fairlead-receiver-admin", "--user=jo")
	verb := func(words ...string) []string { return append(words, jo...) }

	r.must(t, "fairlead status with the rights of ClusterRole fairlead-receiver-admin: every receiver answers, and holds the same secret", func(t *testing.T, line *row) {
		var s toldStatus
		line.note("told in %s", seconds(took(func() { x.json(t, &s, verb("status")...) })))
		if !s.Ready || len(s.Receivers) != 2 || len(s.Secrets) != 1 || len(s.Secrets[0].Held) != 1 || len(s.Secrets[0].Held[0].Receivers) != 2 {
			t.Errorf("told %+v, want that two receivers are ready and hold one secret", s)
		}
		run(t, "", "kubectl", "fairlead", "status", "-A") // as a plugin
	})
	var sent []string
	r.must(t, "a sink answers 400: fairlead deadletters lists the dead letters of every pod, with its name", func(t *testing.T, line *row) {
		sink.mode(t, record.Mode{Path: "/app", Mode: record.Fail, Status: http.StatusBadRequest})
		address := r.serviceOf(t, chat).Spec.ClusterIP + ":80"
		for range 20 { // each on a connection of its own, so that both receivers get some
			q := stream("/hooks", message("dead"))
			answers(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, address, q, http.StatusOK, "")
			sent = append(sent, q.header.Get("X-Webhook-Id"))
		}
		slices.Sort(sent)
		var letters []toldLetter
		line.note("listed after %s", seconds(eventually(t, soon, "20 dead letters", func(context.Context) error {
			letters = nil
			if x.json(t, &letters, verb("deadletters", "list")...); len(letters) != len(sent) {
				return fmt.Errorf("%d are listed", len(letters))
			}
			return nil
		})))
		pods, ids := map[string]bool{}, []string{}
		for _, d := range letters {
			pods[d.Receiver] = true
			ids = append(ids, d.Event)
		}
		slices.Sort(ids)
		if diff := cmp.Diff(sent, ids); diff != "" {
			t.Errorf("dead letters (-sent +listed):\n%s", diff)
		}
		if len(pods) != 2 {
			t.Errorf("they are of %d pods, want 2", len(pods))
		}
	})
	r.step(t, "without the right to forward ports nothing is told, and the error names the right and the role", func(t *testing.T, _ *row) {
		run(t, "", "kubectl", "create", "rolebinding", "mo", "-n", ns, "--clusterrole=fairlead-endpoint-viewer", "--user=mo")
		out := x.exits(t, 1, "deadletters", "list", "-n", ns, chat.Name, "--as", "mo")
		if !strings.Contains(out, "resources: [pods]") || !strings.Contains(out, "fairlead-receiver-admin") {
			t.Errorf("told: %s", out)
		}
	})
	r.step(t, "a pod that cannot start: status ends with 3 and names it, and shows the others", func(t *testing.T, _ *row) {
		r.patch(t, ns, "webhookendpoint/chat", `{"spec":{"receiver":{"nodeSelector":{"there-is":"none"}}}}`)
		eventually(t, soon, "a pod without a node", func(context.Context) error {
			out, err := exec.CommandContext(t.Context(), "fairlead", verb("status")...).Output()
			var ended *exec.ExitError
			if !errors.As(err, &ended) || ended.ExitCode() != 3 || !strings.Contains(string(out), "did not answer: the pod has no node yet") {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		if out := x.exits(t, 1, verb("queue", "status")...); strings.Count(out, "\nReceiver: ")+1 < 2 || !strings.Contains(out, "the pod has no node yet") {
			t.Errorf("told: %s", out)
		}
		r.patch(t, ns, "webhookendpoint/chat", `{"spec":{"receiver":{"nodeSelector":null}}}`)
		r.ready(t, chat)
	})
	r.step(t, "the sink is mended: fairlead deadletters replay has every one of them delivered, with the ids that were sent", func(t *testing.T, line *row) {
		sink.mode(t, record.Mode{Path: "/app", Mode: record.OK})
		eventually(t, awhile, "only the endpoint's two pods", func(context.Context) error {
			if n := len(r.pods(t, ns, receiverLabels(chat.Name))); n != 2 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		out := x.exits(t, 0, verb("deadletters", "replay", "--all", "--yes", "--rate", "0")...)
		if !strings.Contains(out, "20 dead letters of 20 replayed") {
			t.Errorf("told: %s", out)
		}
		line.note("delivered after %s", seconds(eventually(t, soon, "the events at the sink", func(ctx context.Context) error {
			events, err := sink.events(ctx, "/app")
			if err != nil {
				return err
			}
			var ids []string
			for _, e := range events {
				ids = append(ids, e.ID)
			}
			slices.Sort(ids)
			if diff := cmp.Diff(sent, slices.Compact(ids)); diff != "" {
				return fmt.Errorf("(-sent +delivered):\n%s", diff)
			}
			return nil
		})))
		var s toldStatus
		x.json(t, &s, verb("status")...)
		if len(s.Sinks) != 1 || s.Sinks[0].DeadLetters != 0 {
			t.Errorf("told %+v, want no dead letters", s.Sinks)
		}
	})
}
