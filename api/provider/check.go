package provider

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Shapes of text, as the CRD has them.
var (
	nameShape       = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	headerShape     = regexp.MustCompile("^[-!#$%&'*+.^_|~0-9A-Za-z]{1,128}$")
	jsonPathShape   = regexp.MustCompile(`^\$(\.[A-Za-z_][-_0-9A-Za-z]*)+$`)
	hookPathShape   = regexp.MustCompile(`^/([-._~0-9A-Za-z]+(/[-._~0-9A-Za-z]+)*)?$`)
	typePrefixShape = regexp.MustCompile(`^[-._0-9A-Za-z]{0,128}$`)
	printable       = regexp.MustCompile(`^[\x20-\x7e]+$`)
)

const (
	maxName     = 63
	maxJSONPath = 128
	maxText     = 256
)

// Problem is something wrong with one field of a profile.
type Problem struct {
	// Path is the field's, as in spec.signatures[0].content.
	Path string
	// Text says what to do about it.
	Text string
}

// Error returns the path and the text.
func (p *Problem) Error() string { return p.Path + ": " + p.Text }

// Check refuses a profile that must not be used, and says all that is wrong with
// it: the error joins Problems. It expects defaults to be set.
//
// It repeats what the CRD's schema says wherever the receiver relies on it, and
// adds what a schema cannot see.
func Check(p *v1alpha1.WebhookProvider) error {
	p = p.DeepCopy()
	SetDefaults(p)
	c := &checker{}
	c.name("metadata.name", p.Name)
	c.provenance(p.Spec.Provenance)
	c.signatures("spec.signatures", p.Spec.Signatures)
	c.event("spec.event", &p.Spec)
	c.ignore("spec.ignore", p.Spec.Ignore)
	c.replies("spec.replies", &p.Spec.Replies)
	c.hooks("spec.hooks", p.Spec.Hooks)
	c.challenges("spec.challenges", &p.Spec)
	c.regions("spec.regions", p.Spec.Regions)
	return errors.Join(c.problems...)
}

// checker collects problems.
type checker struct{ problems []error }

func (c *checker) addf(path, format string, args ...any) {
	c.problems = append(c.problems, &Problem{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) provenance(p v1alpha1.Provenance) {
	if !strings.HasPrefix(p.Documentation, "https://") {
		c.addf("spec.provenance.documentation", "must be the https:// URL of the provider's own page")
	}
	if _, err := time.Parse(time.DateOnly, p.Checked); err != nil {
		c.addf("spec.provenance.checked", "must be a date such as 2006-01-02")
	}
}

func (c *checker) name(path, name string) {
	if len(name) > maxName || !nameShape.MatchString(name) {
		c.addf(path, "must be 1 to %d characters of a-z, 0-9 and '-', with a letter or digit at both ends", maxName)
	}
}

func (c *checker) header(path string, h v1alpha1.HeaderName) {
	if !headerShape.MatchString(string(h)) {
		c.addf(path, "must be the name of an HTTP header")
	}
}

func (c *checker) headers(path string, list []v1alpha1.HeaderName) {
	seen := map[string]bool{}
	for i, h := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.header(at, h)
		c.once(at, strings.ToLower(string(h)), seen)
	}
}

func (c *checker) jsonPath(path string, p v1alpha1.JSONPath) {
	if len(p) > maxJSONPath || !jsonPathShape.MatchString(string(p)) {
		c.addf(path, "must be a path such as $.event.type, of at most %d characters", maxJSONPath)
	}
}

// duration checks a length of time.
func (c *checker) duration(path string, d v1alpha1.Duration, least, most time.Duration) {
	switch v, err := d.Parse(); {
	case err != nil || v < 0:
		c.addf(path, "must be a duration such as 10s, 1500ms or 1h30m")
	case v < least || v > most:
		c.addf(path, "must be from %v to %v", least, most)
	}
}

// size checks how many elements a list has.
func (c *checker) size(path string, n, least, most int) {
	if n < least || n > most {
		c.addf(path, "must have %d to %d elements, and has %d", least, most, n)
	}
}

// once refuses a key that was seen before.
func (c *checker) once(path, key string, seen map[string]bool) {
	if seen[key] {
		c.addf(path, "stands there twice: %q", key)
	}
	seen[key] = true
}

// exactlyOne refuses a union with no member or with several.
func (c *checker) exactlyOne(path, members string, set ...bool) {
	n := 0
	for _, s := range set {
		if s {
			n++
		}
	}
	if n != 1 {
		c.addf(path, "must have exactly one of %s, and has %d", members, n)
	}
}

// oneOf refuses a value that is none of those allowed.
func oneOf[T ~string](c *checker, path string, v T, allowed ...T) bool {
	var names []string
	for _, a := range allowed {
		if v == a {
			return true
		}
		names = append(names, string(a))
	}
	c.addf(path, "must be one of %s", strings.Join(names, ", "))
	return false
}
