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

// TestEveryModuleIsListed holds that the Makefile knows every module: those with code
// of ours, which it vets, tests, lints and scans, and those that only pin tools, which
// it tidies.
func TestEveryModuleIsListed(t *testing.T) {
	var code, tools []string
	for folder, hasCode := range modules(t) {
		if hasCode {
			code = append(code, folder)
		} else {
			tools = append(tools, folder)
		}
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, want []string, variables ...string) {
		var got []string
		for _, v := range variables {
			line := regexp.MustCompile(`(?m)^` + v + ` *= *(.*)$`).FindSubmatch(makefile)
			if line == nil {
				t.Fatalf("the Makefile has no %s", v)
			}
			got = append(got, strings.Fields(string(line[1]))...)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s are %q, and in the Makefile %q are %q", what, want, variables, got)
		}
	}
	same("modules with code of ours", code, "MODULES", "CHARTMODULE")
	same("modules without", tools, "TOOLMODULES")
}

// modules returns the folders that have a go.mod, and whether there is code in them
// that is no other module's.
func modules(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	var code []string // folders
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch folder := filepath.Dir(path); {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "testdata"}, d.Name()):
			return filepath.SkipDir
		case d.Name() == "go.mod":
			found[named(folder)] = false
		case strings.HasSuffix(path, ".go"):
			code = append(code, folder)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range code {
		for at := folder; ; at = filepath.Dir(at) {
			if _, ok := found[named(at)]; ok {
				found[named(at)] = true
				break
			}
			if at == ".." {
				t.Fatalf("%s is in no module", folder)
			}
		}
	}
	return found
}

// named returns a folder as the Makefile names it.
func named(folder string) string {
	name, err := filepath.Rel("..", folder)
	if err != nil {
		return folder
	}
	return filepath.ToSlash(name)
}
