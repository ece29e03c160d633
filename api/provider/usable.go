package provider

import (
	"errors"
	"io/fs"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// IsBuiltIn reports whether there is a built-in profile of that name.
func IsBuiltIn(name string) bool {
	if !nameShape.MatchString(name) {
		return false
	}
	_, err := fs.Stat(profiles, folder+"/"+name+extension)
	return err == nil
}

// Overrides reports whether a WebhookProvider says that it replaces a built-in
// profile, whether there is one or not.
func Overrides(p *v1alpha1.WebhookProvider) bool {
	return p.Spec.OverridesBuiltIn != nil && *p.Spec.OverridesBuiltIn
}

// Usable refuses a WebhookProvider that endpoints must not use: one that Check
// refuses, or that has the name of a built-in profile and does not say that it
// replaces it. The error joins Problems.
func Usable(p *v1alpha1.WebhookProvider) error {
	var taken error
	if IsBuiltIn(p.Name) && !Overrides(p) {
		taken = &Problem{Path: "spec.overridesBuiltIn",
			Text: "There is a built-in profile of this name; set overridesBuiltIn to true to replace it, or choose another name"}
	}
	return errors.Join(taken, Check(p))
}

// AllOf lists the errors of type E among those that were joined in err, in their
// order.
func AllOf[E error](err error) []E {
	var all []E
	for _, e := range Flatten(err) {
		if one, ok := errors.AsType[E](e); ok {
			all = append(all, one)
		}
	}
	return all
}

// Flatten lists the errors that were joined in err, in their order: err alone if
// none were, and nothing for nil.
func Flatten(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, Flatten(e)...)
	}
	return all
}
