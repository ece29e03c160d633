// Package hack_test holds what is true of the whole project and of no package
// alone.
package hack_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/fairlead-dev/fairlead/"

// A wall keeps the packages below one folder from linking others, directly or
// through what they import. depguard sees only direct imports of our own files.
type wall struct {
	folder string
	never  []string // prefixes of import paths, whole segments
}

var walls = []wall{
	{"receiver", []string{ // it has no API token, and runs where it is attacked
		"k8s.io/client-go",
		"k8s.io/apiextensions-apiserver",
		"k8s.io/apiserver",
		"sigs.k8s.io/controller-runtime",
		module + "controllers",
		module + "cmd",
	}},
	{"controllers", []string{ // it links no sink
		module + "receiver",
		module + "cmd",
	}},
	{"api", []string{ // the halves meet here, so it may know neither
		"k8s.io/client-go",
		"sigs.k8s.io/controller-runtime",
		module + "controllers",
		module + "receiver",
		module + "cmd",
	}},
}

// breaches returns those of deps that the wall forbids.
func (w wall) breaches(deps []string) []string {
	var out []string
	for _, dep := range deps {
		for _, p := range w.never {
			if dep == p || strings.HasPrefix(dep, p+"/") {
				out = append(out, dep)
			}
		}
	}
	return out
}

func TestWallsHold(t *testing.T) {
	for _, w := range walls {
		t.Run(w.folder, func(t *testing.T) {
			if !hasGo(t, "../"+w.folder) {
				t.Skipf("there is no Go in %s/ yet", w.folder)
			}
			cmd := exec.Command("go", "list", "-deps", "./"+w.folder+"/...")
			cmd.Dir = ".."
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("listing what %s links: %v", w.folder, err)
			}
			deps := strings.Fields(string(out))
			if len(deps) < 2 {
				t.Fatalf("%s links %d packages: the list cannot be right", w.folder, len(deps))
			}
			for _, dep := range w.breaches(deps) {
				t.Errorf("%s links %s; `go list -deps ./%s/...` says so, and it must not", w.folder, dep, w.folder)
			}
		})
	}
}

// TestWallsCanFall holds that the test above would fail.
func TestWallsCanFall(t *testing.T) {
	made := []string{
		"fmt",
		"k8s.io/apimachinery/pkg/apis/meta/v1",
		"k8s.io/client-go",
		"k8s.io/client-go/rest",
		"k8s.io/client-gopher", // only begins like a forbidden one
		"sigs.k8s.io/controller-runtime/pkg/client",
		module + "api/v1alpha1",
		module + "controllers/desired",
		module + "receiver/sink",
		module + "receivership",
	}
	for _, tt := range []struct {
		folder string
		want   int
	}{
		{"receiver", 4},
		{"controllers", 1},
		{"api", 5},
	} {
		for _, w := range walls {
			if w.folder != tt.folder {
				continue
			}
			if got := w.breaches(made); len(got) != tt.want {
				t.Errorf("%s: breaches found %q, want %d", tt.folder, got, tt.want)
			}
		}
	}
}

// hasGo reports whether a folder exists and holds Go files, itself or below.
func hasGo(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		found = found || strings.HasSuffix(path, ".go")
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}
