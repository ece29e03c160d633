package readme_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/hack/readme"
)

const root = "../.."

// TestEveryCommandIsKnown holds that somebody makes sure of each command that a user
// is told to type, and that the register lists no other.
func TestEveryCommandIsKnown(t *testing.T) {
	known := map[[2]string]int{}
	for _, e := range readme.Register() {
		known[[2]string{e.Page, e.Text}]++
	}
	for _, page := range readme.Pages() {
		list, err := readme.Read(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			at := [2]string{c.Page, c.Text}
			if known[at] == 0 {
				t.Errorf("%s is in no test; have one type it and put it into hack/readme/register.go, or say there why none does (output goes into a block ```text)", c)
			}
			known[at]--
		}
	}
	for at, n := range known {
		if n > 0 {
			t.Errorf("the register has a command that %s does not have: %s", at[0], at[1])
		}
	}
}

// TestRegister holds that tests which are named exist, and that what nobody types
// has its reason.
func TestRegister(t *testing.T) {
	for _, e := range readme.Register() {
		switch e.By {
		case readme.Script, readme.Cluster:
		case readme.Elsewhere:
			folder, name, _ := strings.Cut(e.Test, " ")
			if !hasTest(t, filepath.Join(root, folder), name) || e.Why == "" {
				t.Errorf("%s: %q: there is no test %q, or no reason", e.Page, e.Text, e.Test)
			}
		case readme.Nobody:
			if e.Why == "" {
				t.Errorf("%s: %q has no reason", e.Page, e.Text)
			}
		default:
			t.Errorf("%s: %q is nobody's", e.Page, e.Text)
		}
	}
}

func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.Contains(content(t, f), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// developers are the pages for those who work on Fairlead.
func developers(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "hack", "*", "README.md"))
	if err != nil || len(found) < 4 {
		t.Fatalf("found %q: %v", found, err)
	}
	pages := []string{"hack/CONVENTIONS.md"}
	for _, f := range found {
		page, err := filepath.Rel(root, f)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, filepath.ToSlash(page))
	}
	return pages
}

// TestTargets holds that every target of make that a page names is there.
func TestTargets(t *testing.T) {
	makefile := content(t, filepath.Join(root, "Makefile"))
	named := regexp.MustCompile("`make ([a-z][a-z0-9-]*)")
	check := func(page, target string) {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("%s says make %s, and there is no such target", page, target)
		}
	}
	for _, page := range append(readme.Pages(), developers(t)...) {
		for _, m := range named.FindAllStringSubmatch(content(t, filepath.Join(root, page)), -1) {
			check(page, m[1])
		}
		list, err := readme.Read(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if words := strings.Fields(c.Text); len(words) > 1 && words[0] == "make" {
				check(page, words[1])
			}
		}
	}
}

// TestLinks holds that a page's links to files, and to sections of pages, lead
// somewhere.
func TestLinks(t *testing.T) {
	link, code := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`), regexp.MustCompile("`[^`\n]*`")
	for _, page := range append(append(readme.Pages(), ".github/SECURITY.md", "CHANGELOG.md"), developers(t)...) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(content(t, filepath.Join(root, page)), "code"), -1) {
			to := filepath.Join(root, page)
			if m[1] != "" {
				to = filepath.Join(root, filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if m[2] != "" && !slices.Contains(sections(t, to), m[2]) {
				t.Errorf("%s links to %s%s, and there is no such section", page, m[1], m[2])
			}
		}
	}
}

// sections returns what leads to the sections of a page: their headings in small
// letters, with hyphens for spaces and without punctuation.
func sections(t *testing.T, path string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(content(t, path)) {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			all = append(all, "#"+strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
					return unicode.ToLower(r)
				}
				return -1
			}, strings.TrimSpace(heading)))
		}
	}
	return all
}

// TestFirstEndpoint holds that the manifest that README.md shows is the sample, but
// for the remark at its top.
func TestFirstEndpoint(t *testing.T) {
	blocks, err := readme.ReadBlocks(root, "README.md")
	if err != nil {
		t.Fatal(err)
	}
	sample := regexp.MustCompile(`(?m)\A(#.*\n)*`).ReplaceAllString(content(t, filepath.Join(root, "config/samples/first/chat.yaml")), "")
	for _, b := range blocks {
		if b.Language == "yaml" {
			if diff := cmp.Diff(sample, strings.Join(b.Lines, "\n")+"\n"); diff != "" {
				t.Errorf("config/samples/first/chat.yaml and README.md differ (-sample +README):\n%s", diff)
			}
			return
		}
	}
	t.Error("README.md shows no manifest")
}

func TestBlocks(t *testing.T) {
	text := "# A\n```\nmake demo    # builds\n# a remark\n\nhelm install x \\\n  --wait\n{\"an\":\"answer\"}\n```\n## B\n```yaml\na: 1\n```\n```sh\nls # all\n```\n```text\nok\n```\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "P.md"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readme.Read(dir, "P.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []readme.Command{
		{Page: "P.md", Section: "A", Line: 3, Text: "make demo"},
		{Page: "P.md", Section: "A", Line: 6, Text: "helm install x --wait"},
		{Page: "P.md", Section: "B", Line: 15, Text: "ls # all"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
