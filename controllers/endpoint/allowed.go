package endpoint

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Allowed limits what endpoints may ask for. Empty Exposures and Hosts limit
// nothing; empty Annotations allow none.
type Allowed struct {
	Exposures   Limits
	Hosts       Limits
	Annotations []string // globs of keys
}

// Limits lists, for namespaces, the globs of what is allowed there. The entry of
// a namespace goes before the one of "*". A namespace without either is allowed
// nothing.
type Limits map[string][]string

// ParseLimits reads the values of a flag, each NAMESPACE=GLOB,GLOB… or, for all
// other namespaces, *=GLOB,GLOB… or just GLOB,GLOB….
func ParseLimits(values []string) (Limits, error) {
	limits := Limits{}
	for _, v := range values {
		namespace, list, ok := strings.Cut(v, "=")
		if !ok {
			namespace, list = "*", v
		}
		if namespace == "" {
			return nil, fmt.Errorf("%q names no namespace; write NAMESPACE=VALUE,VALUE or *=VALUE,VALUE", v)
		}
		if _, twice := limits[namespace]; twice {
			return nil, fmt.Errorf("namespace %q is limited twice; name all that it is allowed at once", namespace)
		}
		limits[namespace] = append([]string{}, SplitList(list)...) // also one that allows nothing
		if err := CheckGlobs(limits[namespace]); err != nil {
			return nil, err
		}
	}
	return limits, nil
}

// SplitList returns what stands between the commas of a flag's value, without
// blanks around it; nothing for what is empty.
func SplitList(value string) []string {
	var parts []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// CheckGlobs returns an error if one of the texts is no glob.
func CheckGlobs(globs []string) error {
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("%q is no glob: %w", g, err)
		}
	}
	return nil
}

// allow reports whether a namespace may have a value, and lists what it may have.
func (l Limits) allow(namespace, value string) (bool, []string) {
	if len(l) == 0 {
		return true, nil
	}
	globs, ok := l[namespace]
	if !ok {
		globs = l["*"]
	}
	return Matches(globs, value), globs
}

// Matches reports whether one of the globs, which CheckGlobs has seen, matches.
func Matches(globs []string, value string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, _ := path.Match(g, value) // CheckGlobs has
		return ok
	})
}

// check returns, as *waiting, what the endpoint asks for and may not have.
func (a *Allowed) check(ep *v1alpha1.WebhookEndpoint) error {
	spec := resolve.Filled(ep).Spec
	e := spec.Exposure
	if ok, may := a.Exposures.allow(ep.Namespace, string(e.Type)); !ok {
		return notAllowed("spec.exposure.type", string(e.Type), ep.Namespace, may)
	}
	if ok, may := a.Hosts.allow(ep.Namespace, e.Host); !ok && e.Host != "" {
		return notAllowed("spec.exposure.host", e.Host, ep.Namespace, may)
	}
	for _, of := range []struct {
		field       string
		annotations map[string]v1alpha1.AnnotationValue
	}{
		{"spec.exposure.ingress.annotations", ingressAnnotations(e)},
		{"spec.exposure.loadBalancer.annotations", loadBalancerAnnotations(e)},
		{"spec.receiver.serviceAccountAnnotations", spec.Receiver.ServiceAccountAnnotations},
	} {
		for _, key := range slices.Sorted(maps.Keys(of.annotations)) {
			if !Matches(a.Annotations, key) {
				return notAllowed(of.field, key, ep.Namespace, a.Annotations)
			}
		}
	}
	return nil
}

func ingressAnnotations(e *v1alpha1.Exposure) map[string]v1alpha1.AnnotationValue {
	if e.Ingress == nil {
		return nil
	}
	return e.Ingress.Annotations
}

func loadBalancerAnnotations(e *v1alpha1.Exposure) map[string]v1alpha1.AnnotationValue {
	if e.LoadBalancer == nil {
		return nil
	}
	return e.LoadBalancer.Annotations
}

func notAllowed(field, value, namespace string, may []string) error {
	choice := "none is"
	if len(may) > 0 {
		choice = "allowed: " + strings.Join(may, ", ")
	}
	return &waiting{reason: v1alpha1.ReasonNotAllowed, stalled: true,
		message: fmt.Sprintf("%q is not allowed in namespace %q (%s); %s. What runs stays as it is; whoever runs the operator can allow more", value, namespace, field, choice)}
}
