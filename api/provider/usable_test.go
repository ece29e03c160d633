package provider_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

func TestIsBuiltIn(t *testing.T) {
	for name, want := range map[string]bool{
		"stream-chat":             true,
		"social-plus":             true,
		"acme":                    false,
		"":                        false,
		".":                       false,
		"../profiles/stream-chat": false,
		"Stream-Chat":             false,
	} {
		if got := provider.IsBuiltIn(name); got != want {
			t.Errorf("IsBuiltIn(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestUsable(t *testing.T) {
	yes, no := true, false
	for name, tt := range map[string]struct {
		name      string
		overrides *bool
		edit      func(*v1alpha1.WebhookProviderSpec)
		want      []string // paths of problems
	}{
		"new":                  {name: "acme"},
		"new, overrides":       {name: "acme", overrides: &yes}, // nothing is replaced, which does no harm
		"built-in":             {name: "stream-chat", overrides: &yes},
		"built-in, unsaid":     {name: "stream-chat", want: []string{"spec.overridesBuiltIn"}},
		"built-in, denied":     {name: "stream-chat", overrides: &no, want: []string{"spec.overridesBuiltIn"}},
		"wrong":                {name: "acme", edit: func(s *v1alpha1.WebhookProviderSpec) { s.Hooks = nil }, want: []string{"spec.hooks", "spec.hooks"}},
		"wrong and built-in":   {name: "stripe", edit: func(s *v1alpha1.WebhookProviderSpec) { s.Provenance.Checked = "" }, want: []string{"spec.overridesBuiltIn", "spec.provenance.checked"}},
		"wrong, but overrides": {name: "stripe", overrides: &yes, edit: func(s *v1alpha1.WebhookProviderSpec) { s.Provenance.Checked = "" }, want: []string{"spec.provenance.checked"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := get(t, "stream-chat")
			p.Name, p.Spec.OverridesBuiltIn = tt.name, tt.overrides
			if tt.edit != nil {
				tt.edit(&p.Spec)
			}
			err := provider.Usable(p)
			if got := problems(err); !slices.Equal(got, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("Usable() = %v, want problems at %v", err, tt.want)
			}
		})
	}
}

func TestFlatten(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for name, tt := range map[string]struct {
		err  error
		want []error
	}{
		"nil":     {nil, nil},
		"one":     {a, []error{a}},
		"joined":  {errors.Join(a, nil, errors.Join(b, c)), []error{a, b, c}},
		"wrapped": {fmt.Errorf("checking: %w", errors.Join(a, b)), []error{a, b}},
	} {
		if got := provider.Flatten(tt.err); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
