package endpoint_test

import (
	"testing"

	"github.com/fairlead-dev/fairlead/controllers/endpoint"
)

func TestParseLimits(t *testing.T) {
	for _, bad := range [][]string{{"=a"}, {"a=b", "a=c"}, {"[a"}, {"b", "*=c"}} {
		if l, err := endpoint.ParseLimits(bad); err == nil {
			t.Errorf("ParseLimits(%q) = %v, want an error", bad, l)
		}
	}
}

// FuzzParseLimits holds that a flag's value is refused or gives globs that can be
// matched, and never makes more of them than it has parts.
func FuzzParseLimits(f *testing.F) {
	for _, s := range []string{"", "a", "a=b,c", "*=", "a=[", "=", "a=*.example.com, b ", ",,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		limits, err := endpoint.ParseLimits([]string{value})
		if err != nil {
			return
		}
		if len(limits) != 1 {
			t.Errorf("%q limits %d namespaces", value, len(limits))
		}
		for _, globs := range limits {
			if err := endpoint.CheckGlobs(globs); err != nil {
				t.Errorf("%q was taken: %v", value, err)
			}
		}
	})
}
