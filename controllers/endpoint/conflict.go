package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Several endpoints may share a host, each with a path of its own: the longest path
// wins, with every kind of route. Two of them must not have the same URL, not even
// one's own and that of the other's hook, or requests would go to either.

// conflictLook is how often it is looked whether a conflict is over that ended
// without a change of either endpoint: a WebhookProvider has lost a hook.
const conflictLook = 5 * time.Minute

// byHost indexes endpoints by their public host.
func byHost(o client.Object) []string {
	if e := o.(*v1alpha1.WebhookEndpoint).Spec.Exposure; e != nil && e.Host != "" {
		return []string{e.Host}
	}
	return nil
}

// conflict returns what is to be said if an older endpoint has one of this one's
// URLs; nil if none has. Of two made in the same second the first by namespace and
// name is the older. An endpoint that may not have its host has nothing.
func (r *Reconciler) conflict(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*waiting, error) {
	others, err := r.sharing(ctx, ep)
	if err != nil {
		return nil, err
	}
	others = slices.DeleteFunc(others, func(o sharer) bool {
		may, _ := r.options.Allowed.Hosts.allow(o.Namespace, o.Spec.Exposure.Host)
		return !may || older(ep, o.WebhookEndpoint) < 0
	})
	if len(others) == 0 {
		return nil, nil
	}
	first := slices.MinFunc(others, func(a, b sharer) int { return older(a.WebhookEndpoint, b.WebhookEndpoint) })
	return &waiting{reason: v1alpha1.ReasonHostConflict, stalled: true, retry: conflictLook,
		message: fmt.Sprintf("WebhookEndpoint %q in namespace %q is older and has %s too; choose another spec.exposure.path or host. Until then no route of this endpoint leads there",
			first.Name, first.Namespace, strings.TrimSuffix(first.url, "/"))}, nil
}

// older sorts endpoints by age.
func older(a, b *v1alpha1.WebhookEndpoint) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// sharer is another endpoint, and the first of one's own URLs that it has too.
type sharer struct {
	*v1alpha1.WebhookEndpoint
	url string
}

// sharing lists the other endpoints that have a URL of this one's.
func (r *Reconciler) sharing(ctx context.Context, ep *v1alpha1.WebhookEndpoint) ([]sharer, error) {
	hosts := byHost(ep)
	if len(hosts) == 0 {
		return nil, nil
	}
	var list v1alpha1.WebhookEndpointList
	if err := r.client.List(ctx, &list, client.MatchingFields{endpointHostIndex: hosts[0]}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the endpoints of host %q: %w", hosts[0], err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(o v1alpha1.WebhookEndpoint) bool {
		return o.Namespace == ep.Namespace && o.Name == ep.Name || !nested(ep.Spec.Exposure.Path, o.Spec.Exposure.Path)
	})
	if len(list.Items) == 0 {
		return nil, nil
	}
	ours, err := r.urls(ctx, ep)
	if err != nil {
		return nil, err
	}
	var all []sharer
	for i := range list.Items {
		theirs, err := r.urls(ctx, &list.Items[i])
		if err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(ours, func(url string) bool { return slices.Contains(theirs, url) }); at >= 0 {
			all = append(all, sharer{&list.Items[i], ours[at]})
		}
	}
	return all, nil
}

// nested reports whether one path is the other, or below it. Endpoints whose paths
// are not cannot share a URL, and most are told apart so.
func nested(a, b string) bool {
	a, b = strings.TrimSuffix(a, "/")+"/", strings.TrimSuffix(b, "/")+"/"
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// urls lists the public URLs of an endpoint that has a host: its own and those of
// its provider's hooks.
func (r *Reconciler) urls(ctx context.Context, ep *v1alpha1.WebhookEndpoint) ([]string, error) {
	p := r.builtIn[ep.Spec.Provider]
	obj, err := r.provider(ctx, ep.Spec.Provider)
	if err != nil {
		return nil, err
	}
	if obj != nil && usable(obj) && (p == nil || provider.Overrides(obj)) {
		p = obj
	}
	own := strings.TrimSuffix(resolve.Origin(ep.Spec.Exposure)+ep.Spec.Exposure.Path, "/")
	all := []string{own + "/"}
	if p == nil {
		return all, nil
	}
	for i := range p.Spec.Hooks {
		for _, path := range p.Spec.Hooks[i].Paths {
			all = append(all, own+strings.TrimSuffix(path.Path, "/")+"/")
		}
	}
	return all, nil
}

// neighbours returns the endpoints that share a URL with one that has come,
// changed or gone: one of them may have to give way, or come.
func (r *Reconciler) neighbours(ctx context.Context, o client.Object) []reconcile.Request {
	all, err := r.sharing(ctx, o.(*v1alpha1.WebhookEndpoint))
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the endpoints of a host")
		return nil
	}
	var out []reconcile.Request
	for _, ep := range all {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: ep.Namespace, Name: ep.Name}})
	}
	return out
}
