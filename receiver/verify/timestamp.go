package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// maxDigits bounds a timestamp: enough for milliseconds until the year 33658.
const maxDigits = 15

// signingTime says where the time of signing is, and how far it may be off. One
// of header, key and path is set.
type signingTime struct {
	header       string // canonical
	key          string // read together with the signature header
	path         string // in the syntax of gjson
	milliseconds bool
	past, future time.Duration
}

func compileTime(at *v1alpha1.SigningTime) (*signingTime, error) {
	t := &signingTime{
		header:       canonical(at.Header),
		key:          at.Key,
		path:         strings.TrimPrefix(string(at.JSONPath), "$."),
		milliseconds: at.Unit == v1alpha1.UnitMilliseconds,
	}
	set := 0
	for _, place := range []string{t.header, t.key, t.path} {
		if place != "" {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("exactly one of header, key and jsonPath must be set, and %d are", set)
	}
	var err error
	if t.past, err = tolerance(at.Past); err != nil {
		return nil, fmt.Errorf("reading past: %w", err)
	}
	if t.future, err = tolerance(at.Future); err != nil {
		return nil, fmt.Errorf("reading future: %w", err)
	}
	return t, nil
}

// tolerance reads a duration; one that is left out is the CRD's default.
func tolerance(d v1alpha1.Duration) (time.Duration, error) {
	if d == "" {
		return 5 * time.Minute, nil
	}
	v, err := d.Parse()
	if err == nil && v < 0 {
		err = fmt.Errorf("duration %q is negative", string(d))
	}
	return v, err
}

// read finds the timestamp of a request and reports whether it is one. That in the
// signature header was read with the signatures.
func (t *signingTime) read(c *claim) bool {
	switch {
	case t.header != "":
		c.timestamp, _ = single(c.request.Header, t.header)
	case t.path != "":
		c.timestamp = inBody(c.request.Body, t.path)
	}
	_, ok := t.parse(c.timestamp)
	return ok
}

// inBody returns the text of a number or a string in a JSON body, empty if there is
// none.
func inBody(body []byte, path string) string {
	switch r := gjson.GetBytes(body, path); r.Type {
	case gjson.Number:
		return r.Raw
	case gjson.String:
		return r.Str
	default:
		return ""
	}
}

// parse reads a timestamp: digits only, without sign, point or exponent.
func (t *signingTime) parse(text string) (time.Time, bool) {
	if text == "" || len(text) > maxDigits {
		return time.Time{}, false
	}
	var n int64
	for i := range len(text) {
		d := text[i] - '0'
		if d > 9 {
			return time.Time{}, false
		}
		n = n*10 + int64(d)
	}
	if t.milliseconds {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}

// checkTime returns ErrTimestamp if the time of signing is too far from now.
func (s *signature) checkTime(c *claim, now time.Time) error {
	if s.time == nil {
		return nil
	}
	at, ok := s.time.parse(c.timestamp)
	switch {
	case !ok:
		return ErrSignature
	case now.Sub(at) > s.time.past, at.Sub(now) > s.time.future: // Sub stops at the ends of its range
		return ErrTimestamp
	}
	return nil
}
