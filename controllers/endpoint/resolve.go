package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// resolution is what an endpoint comes to: of its newest generation, or of the
// last one that was good.
type resolution struct {
	config *config.Config
	// profile is set if the configuration was made from a WebhookProvider.
	profile *v1alpha1.WebhookProvider
	// result is nil if the configuration was read back.
	result *resolve.Result
	// conflict is set if an older endpoint has the URL, or one of a hook.
	conflict *waiting
}

// choice is the profile that is used, and what is to be said of it.
type choice struct {
	profile *v1alpha1.WebhookProvider // nil: there is none
	origin  v1alpha1.ProfileOrigin
	status  metav1.ConditionStatus
	reason  string
	message string
}

// resolve returns what the endpoint comes to now, nil if it never came to
// anything, and, as *waiting, why that is not what its newest generation says.
// It sets ProviderResolved and what the status tells of the profile and ranges.
func (r *Reconciler) resolve(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*resolution, error) {
	// It takes time to read back, and nearly never is needed.
	kept := sync.OnceValues(func() (kept, error) { return r.kept(ctx, ep) })
	c, err := r.choose(ctx, ep, kept)
	if err != nil {
		return nil, err
	}
	setCondition(ep, v1alpha1.ConditionProviderResolved, c.status, c.reason, c.message)
	var problem error
	if c.status != metav1.ConditionTrue {
		problem = &waiting{reason: c.reason, message: c.message, stalled: true}
	}
	if c.profile == nil {
		k, err := kept()
		return k.resolution(), first(problem, err)
	}
	res, invalidErr := resolve.Resolve(ep, c.profile, r.clock.Now())
	if invalidErr != nil {
		k, err := kept()
		return k.resolution(), first(problem, err, invalid(invalidErr))
	}
	out := &resolution{config: res.Config, result: res}
	if c.origin != v1alpha1.ProfileBuiltIn {
		out.profile = c.profile
	}
	status(ep).Profile = &v1alpha1.ProfileStatus{Name: c.profile.Name, Origin: c.origin, Revision: res.Config.Provider.Revision}
	return out, problem
}

// choose returns the profile that the endpoint names. A WebhookProvider that
// cannot be used, or is gone, leaves the last good one of it in use.
func (r *Reconciler) choose(ctx context.Context, ep *v1alpha1.WebhookEndpoint, last func() (kept, error)) (choice, error) {
	name := ep.Spec.Provider
	builtIn := r.builtIn[name]
	obj, err := r.provider(ctx, name)
	if err != nil {
		return choice{}, err
	}
	switch {
	case obj == nil && builtIn != nil:
		return choice{builtIn, v1alpha1.ProfileBuiltIn, metav1.ConditionTrue, v1alpha1.ReasonBuiltIn,
			fmt.Sprintf("Built-in profile %q is used", name)}, nil
	case obj == nil:
		return fallback(name, last, nil, v1alpha1.ReasonProviderUnknown, r.unknown(name))
	}
	if builtIn != nil && !provider.Overrides(obj) {
		return choice{builtIn, v1alpha1.ProfileBuiltIn, metav1.ConditionTrue, v1alpha1.ReasonBuiltIn,
			fmt.Sprintf("Built-in profile %q is used; WebhookProvider %q does not replace it, because its overridesBuiltIn is not true", name, name)}, nil
	}
	if !usable(obj) {
		return fallback(name, last, builtIn, v1alpha1.ReasonProviderInvalid,
			fmt.Sprintf("WebhookProvider %q cannot be used; mend what its status says", name))
	}
	if builtIn != nil {
		return choice{obj, v1alpha1.ProfileObject, metav1.ConditionTrue, v1alpha1.ReasonOverridesBuiltIn,
			fmt.Sprintf("WebhookProvider %q is used and replaces the built-in profile of that name", name)}, nil
	}
	return choice{obj, v1alpha1.ProfileObject, metav1.ConditionTrue, v1alpha1.ReasonWebhookProvider,
		fmt.Sprintf("WebhookProvider %q is used", name)}, nil
}

// usable reports whether a profile can be used. What is wrong its own status
// says.
func usable(p *v1alpha1.WebhookProvider) bool { return provider.Usable(p) == nil }

// fallback goes on with the last good profile of that name, or the built-in one,
// if there is one.
func fallback(name string, last func() (kept, error), builtIn *v1alpha1.WebhookProvider, reason, message string) (choice, error) {
	k, err := last()
	c := choice{status: metav1.ConditionFalse, reason: reason, message: message}
	switch {
	case k.profile != nil && k.profile.Name == name: // not of another, before the endpoint was changed
		c.profile, c.origin = k.profile, v1alpha1.ProfileLastGood
		c.message += "; until then its last good profile stays in use"
	case builtIn != nil:
		c.profile, c.origin = builtIn, v1alpha1.ProfileBuiltIn
		c.message += "; until then the built-in profile stays in use"
	}
	return c, err
}

func (r *Reconciler) unknown(name string) string {
	known := make([]string, 0, len(r.builtIn))
	for n := range r.builtIn {
		known = append(known, n)
	}
	slices.Sort(known)
	message := fmt.Sprintf("There is no provider %q; choose from %s", name, strings.Join(known, ", "))
	if r.options.Providers {
		return message + ", or make a WebhookProvider of that name"
	}
	return message + "; this operator cannot read WebhookProviders"
}

// provider returns the WebhookProvider of that name, or nil if there is none or
// this operator may not know.
func (r *Reconciler) provider(ctx context.Context, name string) (*v1alpha1.WebhookProvider, error) {
	if !r.options.Providers {
		return nil, nil
	}
	p := &v1alpha1.WebhookProvider{}
	err := r.client.Get(ctx, client.ObjectKey{Name: name}, p)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading WebhookProvider %q: %w", name, err)
	}
	return p, nil
}

// invalid says what is wrong with a specification that the schema took.
func invalid(err error) error {
	var all []string
	for _, p := range resolve.Problems(err) {
		all = append(all, p.Message+" ("+p.Field+")")
	}
	if len(all) == 0 {
		return err
	}
	return &waiting{reason: v1alpha1.ReasonInvalidSpec, message: strings.Join(all, ". "), stalled: true}
}

// setRanges tells in the status who may send.
func setRanges(ep *v1alpha1.WebhookEndpoint, res *resolution) {
	if res.result == nil {
		return // of the last good configuration the status tells already
	}
	s := status(ep)
	s.AllowlistEnforcedBy = desired.Enforcer(ep)
	s.DedupScope = v1alpha1.DedupScopeReplica
	s.SourceRanges = nil
	for _, rg := range res.result.Ranges {
		s.SourceRanges = append(s.SourceRanges, v1alpha1.SourceRange{Region: rg.Region, CIDR: v1alpha1.CIDR(rg.CIDR.String())})
	}
	n := int32(len(s.SourceRanges))
	s.SourceRangeCount = &n
	s.NextRangeChange = nil
	if next := res.result.NextChange; !next.IsZero() {
		t := metav1.NewTime(next.UTC().Truncate(time.Second))
		s.NextRangeChange = &t
	}
}

// first returns the error that matters most: one that is tried again at once,
// then one that a person must mend, then one that waits.
func first(all ...error) error {
	var best error
	rank := 0
	for _, err := range all {
		var w *waiting
		r := 3
		switch {
		case err == nil:
			continue
		case errors.As(err, &w) && w.stalled:
			r = 2
		case errors.As(err, &w):
			r = 1
		}
		if r > rank {
			best, rank = err, r
		}
	}
	return best
}
