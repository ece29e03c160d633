package provider_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

func TestParse(t *testing.T) {
	good, err := os.ReadFile("profiles/social-plus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	for name, tt := range map[string]struct {
		manifest string
		paths    []string // nil: no error
		refused  bool
	}{
		"good":             {text, nil, false},
		"marker in front":  {"---\n" + text, nil, false},
		"marker behind":    {text + "---\n# nothing more\n", nil, false},
		"end behind":       {text + "...\n\n", nil, false},
		"comment in front": {"# a profile\n\n---\n" + text, nil, false},
		"unknown in spec":  {text + "  colour: blue\n", []string{"spec.colour"}, true},
		"unknown deep": {strings.Replace(text, "legacy-twin", "legacy-twin\n    colour: blue", 1) + "  size: 1\n",
			[]string{"spec.ignore[0].colour", "spec.size"}, true},
		"unknown at the root":  {text + "colour: blue\n", []string{"colour"}, true},
		"unknown in metadata":  {strings.Replace(text, "metadata:", "metadata:\n  colour: blue", 1), []string{"metadata.colour"}, true},
		"status":               {text + "status: {observedGeneration: 1}\n", nil, false}, // as kubectl get prints it
		"other case":           {strings.Replace(text, "  signatures:", "  Signatures:", 1), []string{"spec.Signatures"}, true},
		"labels":               {strings.Replace(text, "metadata:", "metadata:\n  labels: {any: thing}", 1), nil, false},
		"field twice":          {strings.Replace(text, "    deadline: 1500ms", "    deadline: 1s\n    deadline: 2s", 1), nil, true},
		"two documents":        {text + "---\n" + text, nil, true},
		"second behind an end": {text + "...\n" + text, nil, true},
		"other kind":           {strings.Replace(text, "kind: WebhookProvider", "kind: WebhookEndpoint", 1), nil, true},
		"other version":        {strings.Replace(text, "v1alpha1", "v1", 1), nil, true},
		"nothing":              {"", nil, true},
		"comment only":         {"# nothing\n", nil, true},
		"list":                 {"- a\n", nil, true},
		"text":                 {"a", nil, true},
		"no YAML":              {"a: [", nil, true},
		"wrong type":           {strings.Replace(text, "status: 401", "status: many", 1), nil, true},
		"wrong value":          {strings.Replace(text, "status: 401", "status: 200", 1), []string{"spec.replies.unauthenticated.status"}, true},
		"huge":                 {text + "#" + strings.Repeat("x", 2<<20), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := provider.Parse([]byte(tt.manifest))
			if (err != nil) != tt.refused || (p == nil) != tt.refused {
				t.Fatalf("Parse() = %v, want refused = %v", err, tt.refused)
			}
			if got := problems(err); tt.paths != nil && strings.Join(got, " ") != strings.Join(tt.paths, " ") {
				t.Errorf("problems at %v, want %v", got, tt.paths)
			}
		})
	}
}

// FuzzParse checks that whatever Parse takes can be written and taken again, with the
// same revision, and keeps the rules that verification relies on.
func FuzzParse(f *testing.F) {
	for _, p := range builtIn(f) {
		data, err := os.ReadFile("profiles/" + p.Name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("---\n...\n---"))
	f.Add([]byte(`{"apiVersion":"fairlead.dev/v1alpha1","kind":"WebhookProvider","spec":{"signatures":[{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := provider.Parse(data)
		if err != nil {
			return
		}
		for _, s := range p.Spec.Signatures {
			if s.Content == "" && s.Algorithm != v1alpha1.StaticToken && s.Algorithm != v1alpha1.BasicAuth {
				t.Error("a signature over nothing was taken")
			}
		}
		again, err := provider.Parse(marshal(t, p))
		if err != nil {
			t.Fatalf("what was taken once is refused: %v", err)
		}
		if provider.Revision(p) != provider.Revision(again) {
			t.Error("the revision changed though nothing else did")
		}
	})
}

// TestProblem holds that callers can get at the parts of an error.
func TestProblem(t *testing.T) {
	_, err := provider.Parse([]byte("apiVersion: fairlead.dev/v1alpha1\nkind: WebhookProvider\nspec: {colour: blue}"))
	var p *provider.Problem
	if !errors.As(err, &p) || p.Path != "spec.colour" || p.Text == "" {
		t.Errorf("Parse() = %v, want a Problem at spec.colour", err)
	}
}
