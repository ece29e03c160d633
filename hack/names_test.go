package hack_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestHalvesNameNoProvider holds that a provider is data: neither half has a
// string that names one. Comments may, as examples, and so may tests.
func TestHalvesNameNoProvider(t *testing.T) {
	profiles, err := filepath.Glob("../api/provider/profiles/*.yaml")
	if err != nil || len(profiles) == 0 {
		t.Fatalf("listing the built-in profiles: found %d, %v", len(profiles), err)
	}
	var names []string
	for _, p := range profiles {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".yaml"))
	}
	for _, dir := range []string{"../receiver", "../controllers"} {
		for _, lit := range literals(t, dir) {
			if name := firstNamed(lit.text, names); name != "" {
				t.Errorf("%s: %s names the provider %q; what is special about it belongs into its profile", lit.pos, lit.text, name)
			}
		}
	}
}

func TestFirstNamed(t *testing.T) {
	names := []string{"github", "stream-chat"}
	for text, want := range map[string]string{
		`"stream-chat"`:          "stream-chat",
		`"from stream-chat: %s"`: "stream-chat",
		`"github.com/a/b"`:       "", // an import path
		`"upstream"`:             "",
	} {
		if got := firstNamed(text, names); got != want {
			t.Errorf("firstNamed(%s) = %q, want %q", text, got, want)
		}
	}
}

// firstNamed returns the first of names that stands in text as a word.
func firstNamed(text string, names []string) string {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '-' && r != '.' && r != '/' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	for _, w := range words {
		for _, n := range names {
			if w == n {
				return n
			}
		}
	}
	return ""
}

// testOnly reports whether a file's folder serves tests alone, as sinktest does.
func testOnly(path string) bool { return strings.HasSuffix(filepath.Dir(path), "test") }

type literal struct {
	text string
	pos  token.Position
}

// literals returns the strings of the Go files below dir, tests aside.
func literals(t *testing.T, dir string) []literal {
	t.Helper()
	var out []literal
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || testOnly(path) {
			return err
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				out = append(out, literal{l.Value, files.Position(l.Pos())})
			}
			return true
		})
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}
