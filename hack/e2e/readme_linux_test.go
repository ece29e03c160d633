package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/hack/readme"
)

// What README.md calls the reader's registry and the tag of the images there.
const (
	readersRegistry = "registry.example.com"
	readersTag      = "v0.1.0"
)

// reader types the commands of README.md that are for a cluster, in the folder where
// it says that they are typed.
type reader struct {
	typed  *readme.Typed
	folder string
	began  time.Time
}

// tryReadme does what README.md says a new user does, from a cluster without
// Fairlead to a first verified event, and away again.
func tryReadme(t *testing.T, r *rig) {
	typed, err := readme.ToType(r.source, readme.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	r.remove(t)
	h := &reader{typed: typed, folder: checkout(t, r), began: time.Now()}
	pushed(t)
	t.Cleanup(func() { r.remove(t) })
	r.must(t, "README.md, word for word: helm install, a first endpoint, a first verified event in its sink", func(t *testing.T, line *row) {
		h.types(t, "helm install")
		line.note("operators ready after %s", h.since())
		h.types(t, "kubectl apply")
		h.types(t, "kubectl wait")
		line.note("endpoint Ready after %s", h.since())
		stop := h.starts(t, "kubectl port-forward")
		defer stop()
		var sent string
		send := h.next(t, "bin/fairlead send")
		eventually(t, soon, "an event is verified", func(context.Context) error { // the port is forwarded in a moment
			sent, err = h.run(send)
			return err
		})
		line.note("first event verified after %s", h.since())
		id := idOf(t, sent)
		logs := h.next(t, "kubectl logs")
		eventually(t, soon, "the sink has printed the event", func(context.Context) error {
			out, err := h.run(logs)
			if err == nil && !strings.Contains(out, `"specversion":"1.0","id":"`+id+`"`) {
				err = fmt.Errorf("the event is not there")
			}
			return err
		})
		if out := h.types(t, "kubectl get"); !strings.Contains(out, "chat") {
			t.Errorf("there is no endpoint:\n%s", out)
		}
		if out := h.types(t, "kubectl describe"); !strings.Contains(out, "Every receiver that reports holds usable signing secrets") {
			t.Errorf("describe does not say how it is:\n%s", out)
		}
	})
	r.step(t, "README.md: the way away again", func(t *testing.T, _ *row) {
		h.types(t, "kubectl delete")
		h.types(t, "helm uninstall")
		for _, c := range h.typed.Left() {
			t.Errorf("not typed: %s", c)
		}
	})
}

// checkout makes a folder that is laid out as a checkout after `make fairlead`.
func checkout(t *testing.T, r *rig) string {
	t.Helper()
	folder := t.TempDir()
	program := filepath.Join(r.source, "dist", "bin", "linux-"+runtime.GOARCH, "fairlead")
	if err := os.Mkdir(filepath.Join(folder, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{program: "bin/fairlead", filepath.Join(r.source, "charts"): "charts", filepath.Join(r.source, "config"): "config"} {
		if err := os.Symlink(from, filepath.Join(folder, to)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// pushed has the node know the images by the names that they would have in the
// reader's registry.
func pushed(t *testing.T) {
	t.Helper()
	for _, name := range []string{"operator", "receiver"} {
		run(t, "", "ctr", "-n", "k8s.io", "images", "tag", "--force",
			"docker.io/fairlead/"+name+":"+imageTag, readersRegistry+"/fairlead/"+name+":"+readersTag)
	}
}

// next is the next command that begins so.
func (h *reader) next(t *testing.T, begins string) string {
	t.Helper()
	c, err := h.typed.Next("README.md", begins)
	if err != nil {
		t.Fatal(err)
	}
	return c.Text
}

func (h *reader) since() string { return seconds(time.Since(h.began)) }

// types types the next command that begins so, and returns what it prints.
func (h *reader) types(t *testing.T, begins string) string {
	t.Helper()
	out, err := h.run(h.next(t, begins))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *reader) run(text string) (string, error) {
	cmd := exec.Command("sh", "-c", text)
	cmd.Dir = h.folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("typing %q: %w: %s", text, err, out)
	}
	return string(out), nil
}

// starts starts the next command that begins so, and returns what Ctrl-C does.
func (h *reader) starts(t *testing.T, begins string) (stop func()) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+h.next(t, begins))
	cmd.Dir = h.folder
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended, which Wait tells
		_ = cmd.Wait()
		t.Logf("it printed: %s", out.String())
	}
}

// idOf is the id of the event that `fairlead send` tells of.
func idOf(t *testing.T, sent string) string {
	t.Helper()
	words := strings.Fields(sent)
	if len(words) < 3 || words[0] != "ok" {
		t.Fatalf("no event was taken: %s", sent)
	}
	return strings.TrimSuffix(words[2], ":")
}
