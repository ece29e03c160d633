package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Resolved is an endpoint with what it comes to.
type Resolved struct {
	Endpoint *v1alpha1.WebhookEndpoint
	Provider *v1alpha1.WebhookProvider
	Result   *resolve.Result
	// Warnings are sentences on what is allowed and may not be meant.
	Warnings []string
}

// Profiles returns the profiles by name: the built-in ones, and those of the
// file, which are checked.
func (f *File) Profiles() (map[string]*v1alpha1.WebhookProvider, error) {
	builtIn, err := provider.BuiltIn()
	if err != nil {
		return nil, fmt.Errorf("loading built-in profiles: %w", err)
	}
	all := map[string]*v1alpha1.WebhookProvider{}
	for _, p := range builtIn {
		all[p.Name] = p
	}
	var problems []error
	for _, p := range f.Providers {
		if err := f.checkProvider(p); err != nil {
			problems = append(problems, err)
		}
	}
	for _, p := range f.Providers {
		all[p.Name] = p
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return all, nil
}

// Resolve resolves every endpoint, for one program that serves them all: paths
// must differ. The error joins a Problem for everything that is wrong.
func (f *File) Resolve(now time.Time) ([]Resolved, error) {
	all, err := f.ResolveEach(now)
	if err = errors.Join(err, f.Clashes(all)); err != nil {
		return nil, err
	}
	return all, nil
}

// ResolveEach resolves every endpoint for itself, as a cluster does, where two
// may have the same path. It returns those that are right, whatever the error.
func (f *File) ResolveEach(now time.Time) ([]Resolved, error) {
	profiles, err := f.Profiles()
	if err != nil {
		return nil, err
	}
	var all []Resolved
	var problems []error
	for _, ep := range f.Endpoints {
		r, err := f.resolve(ep, profiles, now)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		all = append(all, *r)
	}
	return all, errors.Join(problems...)
}

func (f *File) resolve(ep *v1alpha1.WebhookEndpoint, profiles map[string]*v1alpha1.WebhookProvider, now time.Time) (*Resolved, error) {
	p := profiles[ep.Spec.Provider]
	if _, broken := f.places[key("WebhookProvider", "", ep.Spec.Provider)]; p == nil && broken {
		return nil, f.problem(ep, "spec.provider", fmt.Sprintf("WebhookProvider %s has problems of its own; mend those first", ep.Spec.Provider))
	}
	if p == nil {
		return nil, f.problem(ep, "spec.provider", fmt.Sprintf("Provider %q is unknown; choose from %s, or add a WebhookProvider of that name",
			ep.Spec.Provider, strings.Join(slices.Sorted(maps.Keys(profiles)), ", ")))
	}
	res, err := resolve.Resolve(ep, p, now)
	if err != nil {
		var problems []error
		for _, found := range resolve.Problems(err) {
			problems = append(problems, f.problem(ep, found.Field, found.Message))
		}
		return nil, errors.Join(problems...)
	}
	return &Resolved{Endpoint: ep, Provider: p, Result: res, Warnings: f.warnings(ep, p)}, nil
}

func (f *File) problem(ep *v1alpha1.WebhookEndpoint, field, message string) *Problem {
	return &Problem{Place: f.places[key("WebhookEndpoint", ep.Namespace, ep.Name)], Object: "WebhookEndpoint " + ep.Name, Field: field, Message: message}
}

// checkProvider finds what a schema cannot see in a profile.
func (f *File) checkProvider(p *v1alpha1.WebhookProvider) error {
	err := provider.Usable(p)
	if err == nil {
		return nil
	}
	place, object := f.places[key("WebhookProvider", "", p.Name)], "WebhookProvider "+p.Name
	var problems []error
	for _, e := range provider.Flatten(err) {
		problems = append(problems, &Problem{Place: place, Object: object, Message: e.Error()})
	}
	return errors.Join(problems...)
}

// Clashes finds paths that two endpoints serve, which one program cannot. The
// error joins a Problem for each.
func (f *File) Clashes(all []Resolved) error {
	owners := map[string]*v1alpha1.WebhookEndpoint{}
	var problems []error
	for _, r := range all {
		for _, path := range paths(&r) {
			other := owners[path]
			if other == nil {
				owners[path] = r.Endpoint
			} else if other != r.Endpoint {
				problems = append(problems, f.problem(r.Endpoint, "spec.exposure.path", fmt.Sprintf(
					"Path %s is served by WebhookEndpoint %s/%s too; give each endpoint a path of its own",
					path, other.Namespace, other.Name)))
			}
		}
	}
	return errors.Join(problems...)
}

// paths lists the paths that an endpoint serves, each once.
func paths(r *Resolved) []string {
	var all []string
	for i := range r.Result.Config.Hooks {
		for _, p := range r.Result.Config.Hooks[i].Paths {
			below := strings.TrimSuffix(r.Result.Config.Path, "/") + strings.TrimSuffix(p.Path, "/")
			all = append(all, cmp.Or(below, "/"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Secret returns the Secret of that name, or nil.
func (f *File) Secret(namespace, name string) *corev1.Secret {
	for _, s := range f.Secrets {
		if s.Namespace == namespace && s.Name == name {
			return s
		}
	}
	return nil
}
