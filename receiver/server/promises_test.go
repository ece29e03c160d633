package server_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	testName  = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`")
	separator = regexp.MustCompile(`^[|\s:-]+$`)
)

// What receiver/README.md promises names tests, and there are such tests: each row
// of a table whose last column is headed "test" names one that exists, or says
// that there is none.
func TestPromisesNameTests(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := allTests(t)
	for _, m := range testName.FindAllStringSubmatch(string(readme), -1) {
		if !exists[m[1]] {
			t.Errorf("receiver/README.md names %s, which does not exist", m[1])
		}
	}
	rows := 0
	heading := ""
	for line := range strings.Lines(string(readme)) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			heading = ""
		case heading == "":
			heading = lastCell(line)
		case heading == "test" && !separator.MatchString(line):
			rows++
			if cell := lastCell(line); !testName.MatchString(cell) && !strings.HasPrefix(cell, "no test: ") {
				t.Errorf("no test is named by: %s", line)
			}
		}
	}
	if rows < 20 {
		t.Errorf("only %d rows are held by this test; has the tables' heading changed?", rows)
	}
}

func lastCell(row string) string {
	cells := strings.Split(strings.Trim(row, "|"), "|")
	return strings.TrimSpace(cells[len(cells)-1])
}

// allTests lists the functions of the test files.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, root := range []string{"../../receiver", "../../cmd", "../../api", "../../controllers"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range testFunc.FindAllStringSubmatch(string(source), -1) {
				found[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}
