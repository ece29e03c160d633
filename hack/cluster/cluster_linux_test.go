package cluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const patience = 3 * time.Minute // a busy machine is slow

// A cluster is one of level 3 that is up, in the folder R.
type cluster struct {
	t   *testing.T
	R   string
	env []string // of cp.sh, besides the test's own
}

// script runs cp.sh, which must succeed, and returns its standard output.
func (c *cluster) script(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("cp.sh %q: %v\n%s", args, err, out)
	}
	return out
}

func (c *cluster) try(args ...string) (string, error) {
	cmd := exec.CommandContext(c.t.Context(), "./cp.sh", args...)
	cmd.Env = c.environ()
	cmd.Stderr = c.t.Output()
	out, err := cmd.Output()
	return string(out), err
}

func (c *cluster) environ() []string {
	return append(append(os.Environ(), "R="+c.R, "KUBEBUILDER_ASSETS="), c.env...)
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	return c.script(append([]string{"exec", "kubectl"}, args...)...)
}

// get returns a field of an object, as kubectl names it.
func (c *cluster) get(object, field string) string {
	c.t.Helper()
	return c.kubectl("get", object, "-o", "jsonpath={"+field+"}")
}

// ask returns the lines that peer prints where somebody runs it.
func (c *cluster) ask(from []string, urls ...string) []string {
	c.t.Helper()
	out, err := c.try(append(from, urls...)...)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Split(strings.TrimSpace(out), "\n")
}

// eventually compares what got returns with want, until they are the same.
func (c *cluster) eventually(what string, want map[string][]string, got func() map[string][]string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		diff := cmp.Diff(want, got())
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			c.t.Errorf("%s (-want +got):\n%s", what, diff)
			return
		}
	}
}

// up brings up a cluster, and takes it down in the end. It skips the test if that is
// not wanted, and fails it if it cannot be.
func up(t *testing.T, env ...string) *cluster {
	t.Helper()
	if os.Getenv("FAIRLEAD_E2E") == "" {
		t.Skip("`make cluster-test` runs this, on a machine where `cp.sh able` says that it can be")
	}
	c := &cluster{t, filepath.Join(t.TempDir(), "R"), env}
	t.Cleanup(func() {
		cmd := exec.Command("./cp.sh", "down")
		cmd.Env = c.environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("cp.sh down: %v\n%s", err, out)
		}
	})
	t.Log(c.script("up", "--level", "3"))
	return c
}

// importPeer builds the peer and gives it to the node. It returns its path.
func (c *cluster) importPeer() string {
	c.t.Helper()
	dir := c.t.TempDir()
	program, tar := filepath.Join(dir, "peer"), filepath.Join(dir, "peer.tar")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-o", program, "./peer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	pack := exec.Command("go", "run", "-C", "../images", ".", "tar",
		"--name", "registry.test/peer:1", "--program", program, "--out", tar)
	for _, cmd := range []*exec.Cmd{build, pack} {
		if out, err := cmd.CombinedOutput(); err != nil {
			c.t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
		}
	}
	c.script("import", tar)
	return program
}

// TestAble holds that it says either that all is there, or what is missing and what
// mends it.
func TestAble(t *testing.T) {
	c := &cluster{t: t, R: filepath.Join(t.TempDir(), "R")}
	out, err := c.try("able")
	if (err == nil) != (out == "level 3 can be here\n") || out == "" {
		t.Errorf("it ended with %v, and said: %s", err, out)
	}
	bare := t.TempDir() // has what the script needs, and nothing that level 3 needs besides
	for _, name := range []string{"bash", "dirname", "echo", "id", "sort", "uname", "xargs"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bare, name)); err != nil {
			t.Fatal(err)
		}
	}
	c.env = []string{"PATH=" + bare}
	want := "apt-get install -y --no-install-recommends iproute2 nftables runc util-linux"
	if os.Getuid() != 0 {
		want = "run this as root"
	}
	if out, err = c.try("able"); err == nil || !strings.Contains(out, want) {
		t.Errorf("with nothing there, it ended with %v, and said %q, want %q", err, out, want)
	}
}
