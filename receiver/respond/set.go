package respond

import (
	"fmt"

	"github.com/fairlead-dev/fairlead/receiver/filter"
)

// Set is an endpoint's responders. It does not change once it is made, so any
// number of goroutines may use it. A nil Set has none.
type Set struct{ byHook map[string][]choice }

// choice is a responder with the filter under which it is chosen.
type choice struct {
	filter    *filter.Filter
	responder *Responder
}

// Add adds a responder, behind the others of its hook, with the expression that an
// event must match; an empty one makes it the hook's default. It is an error if
// the expression does not compile. It must not be called once the Set is in use.
func (s *Set) Add(r *Responder, expression string) error {
	f, err := filter.Compile(expression)
	if err != nil {
		return fmt.Errorf("responder %q of hook %q: %w", r.name, r.hook, err)
	}
	if s.byHook == nil {
		s.byHook = map[string][]choice{}
	}
	s.byHook[r.hook] = append(s.byHook[r.hook], choice{f, r})
	return nil
}

// Answers reports whether a hook has a responder.
func (s *Set) Answers(hook string) bool { return s != nil && len(s.byHook[hook]) > 0 }

// Pick returns the first of a hook's responders whose filter matches the event,
// or else its default; nil if there is none. An event for which a filter has no
// value does not match it.
func (s *Set) Pick(hook string, f *filter.Facts) *Responder {
	if s == nil {
		return nil
	}
	var byDefault *Responder
	for _, c := range s.byHook[hook] {
		if c.filter == nil {
			byDefault = c.responder
			continue
		}
		matches, failed := c.filter.Match(f)
		if failed {
			c.responder.observer.ResponderFilterFailed(hook, c.responder.name)
		}
		if matches {
			return c.responder
		}
	}
	return byDefault
}
