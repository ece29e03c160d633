package cluster_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestApart holds that what takes /sys and /run away refuses to do so in namespaces
// that somebody else is in. For root, those of the machine are out of its reach while
// this is tried.
func TestApart(t *testing.T) {
	var before []string
	if os.Getuid() == 0 {
		before = []string{"unshare", "-m", "-n", "--propagation", "private"}
		if err := exec.CommandContext(t.Context(), before[0], append(before[1:], "true")...).Run(); err != nil {
			t.Skipf("this root may not make namespaces, and so does not try: %v", err)
		}
	}
	for _, command := range []string{"hold", "probe"} {
		// The shell stays, as the script's parent.
		args := append(before, "bash", "-c", "./cp.sh "+command+"; exit $?")
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "R="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "is not for people") {
			t.Errorf("cp.sh %s ended with %v, and said %q", command, err, out)
		}
	}
}
