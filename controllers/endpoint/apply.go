package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// fieldOwner is the name under which the operator applies. It stands in the
// managed fields of every object, so it never changes.
const fieldOwner = "fairlead-operator"

// applyAll applies what the endpoint needs and removes what it does not need any
// more. It goes on after an object that cannot be applied: a name that somebody
// else has must not keep the rest from being repaired. What is left over is only
// removed when everything that takes its place is there.
func (r *Reconciler) applyAll(ctx context.Context, ep *v1alpha1.WebhookEndpoint, res *resolution) error {
	in, live, err := r.inputs(ctx, ep, res)
	if err != nil {
		return err
	}
	objects, err := desired.Objects(ep, in)
	if err != nil {
		return err
	}
	wanted := map[desired.Ref]bool{}
	for _, obj := range objects {
		wanted[desired.RefOf(obj)] = true
	}
	if err := r.dismiss(ctx, ep, wanted); err != nil {
		return err
	}
	var problems []error
	for _, obj := range objects {
		want, err := content(obj)
		if err != nil {
			return err
		}
		if live != nil && want.GetKind() == live.kind && live.keepsReplicas {
			want.SetResourceVersion(live.object.GetResourceVersion()) // see replicas
		}
		if err := r.apply(ctx, ep, want); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return first(problems...)
	}
	return r.prune(ctx, ep, wanted)
}

// content returns an object as the fields that are to be applied.
func content(obj desired.Object) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("writing %s %q: %w", *obj.GetKind(), *obj.GetName(), err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("reading %s %q back: %w", *obj.GetKind(), *obj.GetName(), err)
	}
	return u, nil
}

// apply makes one object so, unless it is so already. An object that is not the
// endpoint's is not touched. An error names the object and never prints it.
func (r *Reconciler) apply(ctx context.Context, ep *v1alpha1.WebhookEndpoint, want *unstructured.Unstructured) error {
	live, err := r.find(ctx, want.GroupVersionKind(), want.GetNamespace(), want.GetName())
	if err != nil {
		return err
	}
	if live != nil {
		if err := foreign(ep, live, want.GetKind()); err != nil {
			return err
		}
		if done, err := settled(want.Object, live); done || err != nil {
			return err
		}
		want.SetUID(live.GetUID()) // not what somebody else puts in its place meanwhile
	}
	r.metrics.applies.WithLabelValues(want.GetKind()).Inc()
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying %s %q: %w", want.GetKind(), want.GetName(), err)
	}
	return nil
}

// find returns an object, or nil if there is none. The cache holds only what has
// our label: a name that it does not know is looked up live, once, before we
// first write there.
func (r *Reconciler) find(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (client.Object, error) {
	obj, err := r.empty(gvk)
	if err != nil {
		return nil, err
	}
	key := client.ObjectKey{Namespace: namespace, Name: name}
	err = r.client.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) {
		err = r.live.Get(ctx, key, obj)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %q: %w", gvk.Kind, name, err)
	}
	return obj, nil
}

// empty returns a new object of a kind, typed if we know its type.
func (r *Reconciler) empty(gvk schema.GroupVersionKind) (client.Object, error) {
	obj, err := r.client.Scheme().New(gvk)
	if runtime.IsNotRegisteredError(err) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(gvk)
		return u, nil
	}
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", gvk.Kind, err)
	}
	o, ok := obj.(client.Object)
	if !ok {
		return nil, fmt.Errorf("%s is no object", gvk.Kind)
	}
	return o, nil
}

// foreign returns a *waiting if obj belongs to somebody else, or still to an
// endpoint of the same name that was deleted.
func foreign(ep *v1alpha1.WebhookEndpoint, obj client.Object, kind string) error {
	owner := metav1.GetControllerOf(obj)
	switch {
	case owner != nil && owner.UID == ep.UID:
		return nil
	case owner != nil && owner.Kind == endpointKind && owner.Name == ep.Name:
		return &waiting{reason: v1alpha1.ReasonRollingOut, retry: foreignRetry,
			message: fmt.Sprintf("%s %q is still there from an endpoint of this name that was deleted; it is made anew when the cluster has removed it", kind, obj.GetName())}
	}
	return &waiting{reason: v1alpha1.ReasonNameConflict, stalled: true, retry: foreignRetry,
		message: fmt.Sprintf("%s %q exists and does not belong to this endpoint, so it is left alone; rename or delete it, or give the endpoint another name", kind, obj.GetName())}
}

// dismiss removes an autoscaler that is not wanted any more. That comes before all
// else, or the autoscaler would once more change the replicas that are applied.
func (r *Reconciler) dismiss(ctx context.Context, ep *v1alpha1.WebhookEndpoint, wanted map[desired.Ref]bool) error {
	for _, ref := range desired.Possible(ep.Name) {
		if ref.Kind == "HorizontalPodAutoscaler" && !wanted[ref] {
			return r.remove(ctx, ep, ref)
		}
	}
	return nil
}

// prune removes what is the endpoint's and not wanted any more.
func (r *Reconciler) prune(ctx context.Context, ep *v1alpha1.WebhookEndpoint, wanted map[desired.Ref]bool) error {
	var problems []error
	for _, ref := range desired.Possible(ep.Name) {
		if wanted[ref] || !r.kinds.present(ref.GroupVersionKind) {
			continue
		}
		problems = append(problems, r.remove(ctx, ep, ref))
	}
	return errors.Join(append(problems, r.pruneConfigs(ctx, ep))...)
}

func (r *Reconciler) remove(ctx context.Context, ep *v1alpha1.WebhookEndpoint, ref desired.Ref) error {
	obj, err := r.empty(ref.GroupVersionKind)
	if err != nil {
		return err
	}
	// What is ours has our label, so the cache knows it.
	err = r.client.Get(ctx, client.ObjectKey{Namespace: ep.Namespace, Name: ref.Name}, obj)
	if apierrors.IsNotFound(err) || (err == nil && (!metav1.IsControlledBy(obj, ep) || !obj.GetDeletionTimestamp().IsZero())) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s %q: %w", ref.Kind, ref.Name, err)
	}
	r.metrics.deletes.WithLabelValues(ref.Kind).Inc()
	uid, rv := obj.GetUID(), obj.GetResourceVersion()
	err = r.client.Delete(ctx, obj, client.Preconditions{UID: &uid, ResourceVersion: &rv}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s %q: %w", ref.Kind, ref.Name, err)
	}
	return nil
}
