package helm

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden compares all objects of a case with testdata/CASE.golden.yaml. To
// accept a change: go test -run Golden -update, and read the diff.
func TestGolden(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			text := valuesOf(t, name)
			r, err := renderAs(t, release, text, monitors)
			if err != nil {
				t.Fatal(err)
			}
			got := []byte("# Made of " + name + ".values.yaml; of CRDs only the metadata is here.\n")
			for _, obj := range r.objects {
				if obj.GetKind() == "CustomResourceDefinition" {
					delete(obj.Object, "spec") // TestSameAsKustomize compares it
				}
				doc, err := yaml.Marshal(obj.Object)
				if err != nil {
					t.Fatal(err)
				}
				got = append(append(got, "---\n"...), doc...)
			}
			golden(t, filepath.Join("testdata", name+".golden.yaml"), got)
			golden(t, filepath.Join("testdata", name+".notes.txt"), []byte(r.notes))
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s (-want +got); run go test -run Golden -update if it is meant:\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

// cases lists the values files in testdata.
func cases(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(paths) < 4 {
		t.Fatalf("found %d values files: %v", len(paths), err)
	}
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p[:len(p)-len(".values.yaml")]))
	}
	return names
}

func valuesOf(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLint is `helm lint --strict` with the values of each case.
func TestLint(t *testing.T) {
	for _, name := range cases(t) {
		result := lint.RunAll(folder, values(t, valuesOf(t, name)), namespace)
		for _, m := range result.Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}
