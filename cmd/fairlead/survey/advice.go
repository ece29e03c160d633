package survey

import (
	_ "embed"
	"strings"
	"sync"
)

// reasons holds, a line each, a condition's reason, a tab, and what it means and
// what to do. `make generate` makes it from the comments in api/v1alpha1.
//
//go:embed reasons.tsv
var reasons string

var advice = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(reasons) {
		if reason, text, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			all[reason] = text
		}
	}
	return all
})

// Advice says what a condition's reason means and what to do about it, or nothing
// for a reason that is not the operator's own.
func Advice(reason string) string { return advice()[reason] }
