package endpoint

import (
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
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
