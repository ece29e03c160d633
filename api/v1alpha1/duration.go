package v1alpha1

import (
	"fmt"
	"time"
)

// Duration is a length of time as text: one to four whole numbers, each with a
// unit of h, m, s or ms, for example 90s or 1h30m.
//
// The format is that of Gateway API's Duration (GEP-2257), a subset of what
// Go's time.ParseDuration reads.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=24
// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(h|m|s|ms)){1,4}$`
type Duration string

// Parse returns the duration that the text stands for. An empty text is 0: an
// optional field that was left out.
func (d Duration) Parse() (time.Duration, error) {
	if d == "" {
		return 0, nil
	}
	v, err := time.ParseDuration(string(d))
	if err != nil {
		return 0, fmt.Errorf("duration %q is not like 10s, 1500ms or 1h30m", string(d))
	}
	return v, nil
}
