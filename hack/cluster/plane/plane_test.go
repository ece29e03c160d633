package plane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// childEnv makes the test's program one that starts a control plane in the folder
// it names, and then does nothing until it is killed.
const childEnv = "PLANE_TEST_CHILD"

const patience = 3 * time.Minute // a busy machine is slow

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	goleak.VerifyTestMain(m)
}

func child(dir string) int {
	p, err := plane.Start(context.Background(), plane.Options{Level: 1, Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.Kubeconfig)
	_, _ = io.Copy(io.Discard, os.Stdin) // which nobody closes
	return 0
}

// TestRollout holds that pods are made, scheduled and Ready at level 2, and that
// nothing is left afterwards.
func TestRollout(t *testing.T) {
	t.Parallel()
	p, err := plane.Start(t.Context(), plane.Options{Level: 2, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	server := address(t, p.Kubeconfig)
	kubectl(t, p.Kubeconfig, "create", "deployment", "web", "--image=registry.test/web:v1", "--replicas=2")
	kubectl(t, p.Kubeconfig, "rollout", "status", "deployment/web", "--timeout=2m")
	got := kubectl(t, p.Kubeconfig, "get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}")
	if got != "2" {
		t.Errorf("%s pods are ready, want 2", got)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	checkGone(t, p.Dir, server)
}

// TestKilled holds that a control plane does not outlive who started it, however
// that ends. It runs beside the test above, as those of two packages would.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "plane")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = t.Output()
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len(dir)+len("/admin.kubeconfig\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatal(err, cmd.Wait())
	}
	server := address(t, strings.TrimSpace(string(line)))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, "the folder to go", func() bool { return !exists(dir) })
	checkGone(t, dir, server)
}

// A canceller cancels at the first sign of waiting for the API server.
type canceller struct {
	said   []byte
	cancel context.CancelFunc
}

func (c *canceller) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("waiting for kube-apiserver")) {
		c.cancel()
	}
	c.said = append(c.said, b...)
	return len(b), nil
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &canceller{cancel: cancel}
	dir := filepath.Join(t.TempDir(), "plane")
	if _, err := plane.Start(ctx, plane.Options{Level: 1, Log: log, Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start returned %v, want context.Canceled; it wrote:\n%s", err, log.said)
	}
	if exists(dir) {
		t.Error("the folder is left")
	}
	checkNoProcess(t, dir)
}

func TestForeignFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(file, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plane.Start(t.Context(), plane.Options{Level: 1, Dir: filepath.Dir(file)}); err == nil {
		t.Error("Start used a folder that holds something")
	}
	if !exists(file) {
		t.Error("what the folder held is gone")
	}
}

func TestAssets(t *testing.T) {
	empty := t.TempDir()
	for _, tt := range []struct{ name, assets, cluster string }{
		{"named folder", empty, ""},
		{"built folder", "", empty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("KUBEBUILDER_ASSETS", tt.assets)
			t.Setenv("FAIRLEAD_CLUSTER_DIR", tt.cluster)
			if got, err := plane.Assets(); !errors.Is(err, plane.ErrNoBinaries) {
				t.Errorf("Assets() = %q, %v, want ErrNoBinaries", got, err)
			}
			if _, err := plane.Start(t.Context(), plane.Options{}); !errors.Is(err, plane.ErrNoBinaries) {
				t.Errorf("Start: %v, want ErrNoBinaries", err)
			}
		})
	}
}

// kubectl returns what the command prints.
func kubectl(t *testing.T, kubeconfig string, args ...string) string {
	t.Helper()
	assets, err := plane.Assets()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--kubeconfig", kubeconfig, "--cache-dir", t.TempDir()}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(assets, "kubectl"), args...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %q: %v", args, err)
	}
	return string(out)
}

// address returns host and port of the API server, which must answer.
func address(t *testing.T, kubeconfig string) string {
	t.Helper()
	server := kubectl(t, kubeconfig, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(u.Host, "127.0.0.1:") {
		t.Errorf("the API server is at %q, want the loopback address", u.Host)
	}
	if !answers(u.Host) {
		t.Errorf("nothing answers at %q", u.Host)
	}
	return u.Host
}

func checkGone(t *testing.T, dir, server string) {
	t.Helper()
	if exists(dir) {
		t.Errorf("%s is left", dir)
	}
	if answers(server) {
		t.Errorf("the API server still answers at %s", server)
	}
	checkNoProcess(t, dir)
}

// checkNoProcess looks for a process with dir on its command line; all programs of
// a control plane have it there. Where there is no /proc it sees nothing.
func checkNoProcess(t *testing.T, dir string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range lines {
		line, err := os.ReadFile(f)
		if err == nil && bytes.Contains(line, []byte(dir)) {
			t.Errorf("a process is left: %q", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}

func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waiting for %s took more than %v", what, patience)
		}
	}
}
