package hack_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
)

// TestNamedTestsExist holds that every test that a document names is there. What is
// promised by a name is worth as much as the test.
func TestNamedTestsExist(t *testing.T) {
	exists := map[string]bool{}
	named := map[string][]string{}
	walk(t, func(path string, data []byte) {
		for _, m := range testFunc.FindAllSubmatch(data, -1) {
			if strings.HasSuffix(path, "_test.go") {
				exists[string(m[1])] = true
			}
		}
		for _, m := range testName.FindAllSubmatch(data, -1) {
			if strings.HasSuffix(path, ".md") {
				named[path] = append(named[path], string(m[1]))
			}
		}
	})
	for path, names := range named {
		for _, name := range names {
			if !exists[name] {
				t.Errorf("%s names %s, which does not exist", path, name)
			}
		}
	}
	for path, least := range map[string]int{"../.github/SECURITY.md": 100, "../config/UPGRADE.md": 30} {
		if n := len(named[filepath.FromSlash(path)]); n < least {
			t.Errorf("%s names %d tests, want at least %d", path, n, least)
		}
	}
}

// TestMitigationsNameTests holds that each row of a table of the threat model names
// a test, or says that there is none.
func TestMitigationsNameTests(t *testing.T) {
	text, err := os.ReadFile("../.github/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, in := 0, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			in = false
		case strings.HasSuffix(line, "| tests |"):
			in = true
		case in && !strings.HasPrefix(line, "|--"):
			rows++
			if !testName.MatchString(line) && !strings.Contains(line, "No test") {
				t.Errorf("no test is named by: %s", line)
			}
		}
	}
	if rows < 25 {
		t.Errorf("only %d rows are held by this test; has the tables' heading changed?", rows)
	}
}

// walk reads the project's Go tests and documents.
func walk(t *testing.T, read func(path string, data []byte)) {
	t.Helper()
	skip := []string{".git", "bin", "dist", "node_modules"}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skip, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".md"):
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil {
			read(path, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
