package endpoint

import (
	"slices"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// TestWarnedAt holds that a certificate that lives for a few days is not a condition
// for all its life.
func TestWarnedAt(t *testing.T) {
	const day = 24 * time.Hour
	ends := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct{ life, before time.Duration }{
		"a year":             {365 * day, 14 * day},
		"84 days":            {84 * day, 14 * day},
		"a second less":      {84*day - 6*time.Second, 14*day - time.Second},
		"45 days":            {45 * day, 7*day + 12*time.Hour},
		"a week":             {7 * day, 28 * time.Hour},
		"six days":           {6 * day, day},
		"six hours":          {6 * time.Hour, time.Hour},
		"none":               {0, 0},
		"ends before it has": {-day, 0},
	} {
		t.Run(name, func(t *testing.T) {
			begins := ends.Add(-tt.life)
			if got := ends.Sub(warnedAt(&statusz.TLS{NotBefore: &begins, NotAfter: &ends})); got != tt.before {
				t.Errorf("warned %v before its end, want %v", got, tt.before)
			}
		})
	}
	if got := ends.Sub(warnedAt(&statusz.TLS{NotAfter: &ends})); got != 14*day {
		t.Errorf("a receiver that does not say when it began: warned %v before its end", got)
	}
}

// TestOtherNames holds which certificates are said to be for others.
func TestOtherNames(t *testing.T) {
	ends := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	many := slices.Repeat([]string{"b.example.org"}, 16)
	for name, tt := range map[string]struct {
		host  string
		names []string
		want  bool
	}{
		"the host's":       {"a.example.com", []string{"b.example.com", "a.example.com"}, false},
		"wildcard":         {"a.example.com", []string{"*.example.com"}, false},
		"wildcard above":   {"a.b.example.com", []string{"*.example.com"}, true},
		"another's":        {"a.example.com", []string{"b.example.com"}, true},
		"no host":          {"", []string{"b.example.com"}, false},
		"no name is told":  {"a.example.com", nil, false},
		"not all are told": {"a.example.com", many, false},
	} {
		t.Run(name, func(t *testing.T) {
			ep := &v1alpha1.WebhookEndpoint{Spec: v1alpha1.WebhookEndpointSpec{Exposure: &v1alpha1.Exposure{Host: tt.host}}}
			if got := otherNames(ep, []*statusz.TLS{{}, {NotAfter: &ends, Names: tt.names}}); (got != "") != tt.want {
				t.Errorf("it says %q", got)
			}
		})
	}
	if got := otherNames(&v1alpha1.WebhookEndpoint{}, []*statusz.TLS{{NotAfter: &ends, Names: many[:1]}}); got != "" {
		t.Errorf("of an endpoint without exposure it says %q", got)
	}
}
