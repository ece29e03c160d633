package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "accept what was rendered as right")

func TestRender(t *testing.T) {
	data, err := os.ReadFile("testdata/example.dev_boats.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	got := string(render(kinds))
	golden := filepath.Join("testdata", "boats.md")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the reference differs (-want +got); accept it with -update:\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"not YAML":     "a: [",
		"another kind": "kind: ConfigMap",
		"no schema":    "kind: CustomResourceDefinition\nspec: {versions: [{name: v1}]}",
	} {
		t.Run(name, func(t *testing.T) {
			if kinds, err := parse([]byte(in)); err == nil {
				t.Errorf("parse gave %d kinds, want an error", len(kinds))
			}
		})
	}
}

// TestLinksLead holds that each link of the reference leads to a heading of it.
func TestLinksLead(t *testing.T) {
	dir, out := "../../config/crd", filepath.Join(t.TempDir(), "README.md")
	if err := run(dir, out); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if h := strings.TrimLeft(line, "#"); h != line {
			headings[anchor(strings.TrimSpace(h))] = true
		}
	}
	for _, part := range strings.Split(string(data), "](#")[1:] {
		if link, _, _ := strings.Cut(part, ")"); !headings[link] {
			t.Errorf("link #%s leads nowhere", link)
		}
	}
}
