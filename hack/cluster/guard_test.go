package cluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// foreign returns a folder that is not the user's.
func foreign(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		return "/"
	}
	dir := filepath.Join(t.TempDir(), "R")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFolderOfAnother holds that nothing is read from, or made in, a folder that
// somebody else has put where a cluster's would be: what stands there is believed and
// run.
func TestFolderOfAnother(t *testing.T) {
	link := filepath.Join(t.TempDir(), "R")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	for name, R := range map[string]string{"another's": foreign(t), "a link": link} {
		for _, command := range []string{"up", "status", "down", "exec true", "apiserver stop"} {
			cmd := exec.CommandContext(t.Context(), "./cp.sh", strings.Fields(command)...)
			cmd.Env = append(os.Environ(), "R="+R)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "is not a folder of yours") {
				t.Errorf("%s: cp.sh %s ended with %v, and said %q", name, command, err, out)
			}
		}
	}
}
