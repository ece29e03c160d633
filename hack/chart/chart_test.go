package main

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	configFolder = "../../config"
	chartFolder  = "../../charts/fairlead"
)

// TestGenerated holds that the chart in the repository is what would be generated.
func TestGenerated(t *testing.T) {
	files, err := generate(configFolder, chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(chartFolder, name))
		if err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s: run `make generate` (%v)", name, err)
		}
	}
	for _, dir := range []string{"templates/crds", "templates/rbac"} {
		entries, err := os.ReadDir(filepath.Join(chartFolder, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, ok := files[dir+"/"+e.Name()]; !ok {
				t.Errorf("%s/%s is made from nothing; remove it", dir, e.Name())
			}
		}
	}
}

// TestNewRoleIsMissed holds that a role which no template takes is found.
func TestNewRoleIsMissed(t *testing.T) {
	for name, file := range map[string]string{
		"file": "rbac/another_role.yaml", "document": "rbac/role_bindings.yaml",
	} {
		t.Run(name, func(t *testing.T) {
			config := t.TempDir()
			if err := os.CopyFS(config, os.DirFS(configFolder)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(config, file)
			data, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			const role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: fairlead-another\n"
			if err := os.WriteFile(path, append(data, "\n---\n"+role...), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := generate(config, chartFolder); !errors.Is(err, errUnplaced) && !errors.Is(err, errNobody) {
				t.Errorf("generating: %v, want that it is in no template", err)
			}
		})
	}
}

func TestKindTemplate(t *testing.T) {
	got, err := kindTemplate("x", []byte("---\nkind: K\nmetadata:\n  annotations:\n    made: by\nspec:\n  pattern: '{{a}}'\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n    made: by\n", "pattern: '{{ \"{{\" }}a}}'", "{{- if .Values.crds.enabled }}\nkind: K"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if _, err := kindTemplate("x", []byte("kind: K\nmetadata:\n  name: n\n")); !errors.Is(err, errShape) {
		t.Errorf("without annotations: %v, want errShape", err)
	}
}

func TestParseValues(t *testing.T) {
	settings, err := parseValues([]byte("# About the file.\n\n## First\n\n# How many\n# there are.\n# @schema {minimum: 1}\ncount: 2\n\n## Second\n\nouter:\n  # Some | texts.\n  # @schema {items: {type: string}}\n  inner: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := withTable([]byte("a\n"+tableBegins+"old\n"+tableEnds+"b\n"), settings)
	if err != nil {
		t.Fatal(err)
	}
	want := "a\n" + tableBegins +
		"\n### First\n\n| value | default | what it is |\n|---|---|---|\n| `count` | `2` | How many there are. |\n" +
		"\n### Second\n\n| value | default | what it is |\n|---|---|---|\n| `outer.inner` | `[]` | Some \\| texts. |\n" +
		"\n" + tableEnds + "b\n"
	if diff := cmp.Diff(want, string(readme)); diff != "" {
		t.Errorf("README (-want +got):\n%s", diff)
	}
	wantSchema := map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
		"count": map[string]any{"type": "integer", "minimum": 1, "description": "How many there are."},
		"outer": map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
			"inner": map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "description": "Some | texts."},
		}},
	}}
	if diff := cmp.Diff(wantSchema, object(settings)); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

func TestParseValuesRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"[]":                                   errTop,
		"a: 1":                                 errNoComment,
		"# Some.\na: []":                       errNoContents,
		"# Some.\na: null":                     errNoContents,
		"# Some.\n# @schema {}\n# More.\na: 1": errMultiline,
	} {
		if _, err := parseValues([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// TestEveryFlagIsAValue holds that whoever installs by the chart can say all that
// the operator can be told.
func TestEveryFlagIsAValue(t *testing.T) {
	helpers, err := os.ReadFile(filepath.Join(chartFolder, "templates/_helpers.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, m := range regexp.MustCompile(`--([a-z-]+)|"flag" "([a-z-]+)"`).FindAllSubmatch(helpers, -1) {
		used = append(used, string(m[1])+string(m[2]))
	}
	aside := []string{
		"version",            // prints and ends
		"operator-namespace", // is that of the pod
	}
	known := flagNames(t, "../../controllers/flags.go")
	for _, name := range known {
		if slices.Contains(used, name) == slices.Contains(aside, name) {
			t.Errorf("--%s: want it in the chart or among the exceptions, and not in both", name)
		}
	}
	for _, name := range used {
		if name != "" && name != "-" && !slices.Contains(known, name) {
			t.Errorf("the chart says --%s, which the operator does not know", name)
		}
	}
}

// flagNames lists the flags that a file declares: the second argument of fs.Var and
// the like.
func flagNames(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 3 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		name, isText := call.Args[1].(*ast.BasicLit)
		if ok && isText && strings.HasSuffix(sel.Sel.Name, "Var") {
			text, err := strconv.Unquote(name.Value)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, text)
		}
		return true
	})
	if len(names) < 10 {
		t.Fatalf("found %d flags in %s: %q", len(names), path, names)
	}
	return names
}
