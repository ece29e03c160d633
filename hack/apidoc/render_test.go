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
	c, err := parseConditions("boats.go", []byte(boats))
	if err != nil {
		t.Fatal(err)
	}
	got := string(render(kinds, c))
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

// boats is where the conditions of the golden reference stand.
const boats = `package v1

// The types of conditions.
const (
	// ConditionReady says that the Boat floats.
	ConditionReady = "Ready"
	// ConditionSunk is for submarines.
	ConditionSunk = "Sunk"
	// Other is no condition.
	Other = 7
)

// Reasons of a Boat's Ready.
const (
	// ReasonAfloat: nothing to do.
	ReasonAfloat = "Afloat"
	// ReasonLeak: water comes in
	// by a | hole. Bail.
	ReasonLeak = "Leak"
	// ReasonMoored: spec.moored is true. Cast off.
	ReasonMoored = "Moored"
)

// Reasons of Sunk.
const (
	// ReasonDive: pump.
	ReasonDive = "Dive"
)

// ReasonFog is of every Boat: wait.
const ReasonFog = "Fog"
`

func TestParseConditionsRefuses(t *testing.T) {
	for name, src := range map[string]string{
		"not Go":          "packag v1",
		"no comment":      "package v1\nconst ReasonA = `A`",
		"another comment": "package v1\n// It is A.\nconst ReasonA = `A`",
		"only its name":   "package v1\n// ReasonA:\nconst ReasonA = `A`",
		"no literal":      "package v1\n// ReasonA: wait.\nconst ReasonA = other",
		"no text":         "package v1\n// ReasonA: wait.\nconst ReasonA = 1",
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := parseConditions("x.go", []byte(src)); err == nil {
				t.Errorf("got %v, want an error", c)
			}
		})
	}
}

// TestUpstream holds that the reference stops at what Kubernetes describes: what
// is left is ours, and its descriptions begin with the field's name. A path that
// leads nowhere would stop nothing.
func TestUpstream(t *testing.T) {
	text := reference(t)
	for line := range strings.Lines(text) {
		cells := strings.Split(line, " | ")
		name, ours := strings.CutPrefix(cells[0], "| `")
		name, _, _ = strings.Cut(name, "`")
		if ours && len(cells) == 3 && !strings.HasPrefix(cells[2], name+" ") {
			t.Errorf("the description of %s is not ours; stop above it in upstream, or mend its comment:\n%s", name, line)
		}
	}
	for path, typ := range upstream {
		if !strings.Contains(text, typ) {
			t.Errorf("path %s of upstream leads nowhere", path)
		}
	}
}

// TestEveryReason holds that the reference has every condition and reason.
func TestEveryReason(t *testing.T) {
	text := reference(t)
	src, err := os.ReadFile(realConditions)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(src)) {
		name, value, is := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "const "), " = ")
		if !is || !strings.HasPrefix(name, reasonPrefix) && !strings.HasPrefix(name, conditionPrefix) {
			continue
		}
		n++
		if !strings.Contains(text, "| `"+strings.Trim(value, `"`)+"` | ") {
			t.Errorf("the reference lacks %s", name)
		}
	}
	if n < 10 {
		t.Errorf("found %d constants in %s; it cannot be right", n, realConditions)
	}
}

const realConditions = "../../api/v1alpha1/conditions.go"

// reference returns the real one, made anew.
func reference(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "README.md")
	if err := run("../../config/crd", realConditions, out, filepath.Join(t.TempDir(), "reasons.tsv")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLinksLead holds that each link of the reference leads to a heading of it.
func TestLinksLead(t *testing.T) {
	data := reference(t)
	headings := map[string]bool{}
	for line := range strings.Lines(data) {
		if h := strings.TrimLeft(line, "#"); h != line {
			headings[anchor(strings.TrimSpace(h))] = true
		}
	}
	for _, part := range strings.Split(data, "](#")[1:] {
		if link, _, _ := strings.Cut(part, ")"); !headings[link] {
			t.Errorf("link #%s leads nowhere", link)
		}
	}
}

// TestReasons holds that every reason says what to do on a line of the table.
func TestReasons(t *testing.T) {
	c, err := parseConditions("x.go", []byte("package x\n\n// ReasonA: wait\n// a while.\nconst ReasonA = \"A\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(c.table()), "A\tWait a while.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
