package cluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestParts holds that a change rebuilds what it must, and nothing else: above all,
// that what `make test` uses stays while level 3 changes.
func TestParts(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("level 3 is for Linux")
	}
	for _, tt := range []struct {
		name, file     string
		level2, level3 bool // whether their folders change
	}{
		{"nothing", "", false, false},
		{"a program of level 1", "hack/cluster/k8s/go.mod", true, true},
		{"a program of level 2", "hack/cluster/kwok/go.sum", true, true},
		{"a program of level 3", "hack/cluster/containerd/go.mod", false, true},
		{"Helm", "hack/chart/helm/go.mod", false, true},
		{"a program of ours", "hack/cluster/netpol/main.go", false, true},
		{"a test of ours", "hack/cluster/netpol/netpol_test.go", false, false},
		{"what packs images", "hack/images/layer.go", false, true},
		{"how a cluster is started", "hack/cluster/cp.sh", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := checkout(t)
			before2, before3 := folder(t, dir, "2"), folder(t, dir, "3")
			if tt.file != "" {
				change(t, filepath.Join(dir, tt.file))
			}
			if got := folder(t, dir, "2") != before2; got != tt.level2 {
				t.Errorf("the folder of level 2 changes: %t, want %t", got, tt.level2)
			}
			if got := folder(t, dir, "3") != before3; got != tt.level3 {
				t.Errorf("the folder of level 3 changes: %t, want %t", got, tt.level3)
			}
		})
	}
}

// checkout returns a copy of what build.sh looks at.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, pattern := range []string{
		"go.mod", "go.sum", "hack/cluster/*.sh", "hack/cluster/*/go.*", "hack/cluster/*/*.go",
		"hack/chart/helm/go.*", "hack/images/go.*", "hack/images/*.go",
	} {
		files, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, strings.TrimPrefix(f, "../../"))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, content, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func change(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\n// changed\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func folder(t *testing.T, checkout, level string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(checkout, "hack/cluster/build.sh"), "--level", level, "--print")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
