package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/expr"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

func (r *resolver) responders() []config.Responder {
	var all []config.Responder
	for i := range r.ep.Spec.Responders {
		s := &r.ep.Spec.Responders[i]
		field := fmt.Sprintf("spec.responders[%d]", i)
		all = append(all, config.Responder{
			Name:        cmp.Or(s.Name, s.Hook),
			Hook:        s.Hook,
			Filter:      r.filter(field+".filter", s.Filter),
			HTTP:        httpSink(s.HTTP),
			Timeout:     metav1.Duration{Duration: r.patience(field, s)},
			OnFailure:   s.OnFailure,
			Concurrency: int(s.Concurrency),
		})
	}
	return all
}

// maxPatience is the longest timeout that the schema lets a responder have: a
// receiver that stops waits a little longer than that for requests under way.
const maxPatience = 15 * time.Second

// patience returns how long a responder is waited for: as long as it says, or
// four fifths of the hook's deadline, which leaves a fifth to the network.
func (r *resolver) patience(field string, s *v1alpha1.Responder) time.Duration {
	hook := r.hook(s.Hook)
	if hook == nil || hook.Mode != v1alpha1.HookSync {
		r.notSync(field+".hook", s.Hook, hook)
		return 0
	}
	deadline := r.duration(field+".hook", hook.Deadline)
	if s.Timeout == "" {
		return min(deadline*4/5, maxPatience)
	}
	timeout := r.duration(field+".timeout", s.Timeout)
	if timeout >= deadline {
		r.problem(field+".timeout", "Provider %q waits %s for the answer of hook %q, so a timeout of %s never helps; set it below that, to %s say",
			r.p.Name, deadline, s.Hook, timeout, min(deadline*4/5, maxPatience))
	}
	return timeout
}

func (r *resolver) notSync(field, name string, hook *v1alpha1.Hook) {
	switch names := r.hookNames(v1alpha1.HookSync); {
	case len(names) == 0:
		r.problem(field, "Provider %q has no synchronous hook; take spec.responders out", r.p.Name)
	case hook == nil:
		r.problem(field, "Provider %q has no hook %q; choose from %s", r.p.Name, name, list(names))
	default:
		r.problem(field, "Hook %q waits for no answer, so it needs no responder; choose from %s, or list it in a sink's hooks", name, list(names))
	}
}

// answered reports whether a synchronous hook has a responder.
func (r *resolver) answered(hook string) bool {
	return slices.ContainsFunc(r.ep.Spec.Responders, func(s v1alpha1.Responder) bool { return s.Hook == hook })
}

func (r *resolver) hook(name string) *v1alpha1.Hook {
	for i := range r.p.Spec.Hooks {
		if h := &r.p.Spec.Hooks[i]; h.Name == name {
			return h
		}
	}
	return nil
}

func (r *resolver) hookNames(mode v1alpha1.HookMode) []string {
	var names []string
	for i := range r.p.Spec.Hooks {
		if h := &r.p.Spec.Hooks[i]; h.Mode == mode {
			names = append(names, h.Name)
		}
	}
	return names
}

// filter checks that an expression compiles against the event.
func (r *resolver) filter(field string, e v1alpha1.Expression) string {
	if e == "" {
		return ""
	}
	if _, err := expr.Compile(string(e)); err != nil {
		r.problem(field, "The expression does not compile: %v", err)
	}
	return string(e)
}
