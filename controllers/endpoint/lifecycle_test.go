package endpoint_test

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

const (
	yes = metav1.ConditionTrue
	no  = metav1.ConditionFalse
	na  = metav1.ConditionUnknown
)

// present lists the objects that an endpoint has, as "Kind/name".
func present(ctx context.Context, t *testing.T, ep *v1alpha1.WebhookEndpoint) []string {
	t.Helper()
	var out []string
	for _, ref := range desired.Possible(ep.Name) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(ref.GroupVersionKind)
		err := admin.Get(ctx, client.ObjectKey{Namespace: ep.Namespace, Name: ref.Name}, u)
		if err == nil && metav1.IsControlledBy(u, ep) {
			out = append(out, ref.Kind+"/"+ref.Name)
		}
	}
	return out
}

// TestLifecycle follows an endpoint from nothing to Ready.
func TestLifecycle(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	if got := *ep.Status.ObservedGeneration; got != -1 {
		t.Errorf("a new endpoint has observedGeneration %d, want -1", got)
	}
	is(t, ep, v1alpha1.ConditionReady, no, v1alpha1.ReasonNoReceivers)
	is(t, ep, v1alpha1.ConditionReconciling, yes, v1alpha1.ReasonNoReceivers)
	is(t, ep, v1alpha1.ConditionProviderResolved, yes, v1alpha1.ReasonBuiltIn)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	is(t, ep, v1alpha1.ConditionExposed, yes, v1alpha1.ReasonExposed)
	is(t, ep, v1alpha1.ConditionSecretReady, na, v1alpha1.ReasonUnreachable)
	op.pod(t, ep, "chat-receiver-1", "10.9.0.1", fine)
	is(t, ep, v1alpha1.ConditionSecretReady, yes, v1alpha1.ReasonSecretsUsable)
	is(t, ep, v1alpha1.ConditionDurable, yes, v1alpha1.ReasonSyncedOnNode)

	want := []string{"ServiceAccount/chat-receiver", "ConfigMap/chat-receiver-v1", "Deployment/chat-receiver", "Service/chat-receiver",
		"Service/chat-receiver-headless", "NetworkPolicy/chat-receiver", "PodDisruptionBudget/chat-receiver"}
	if diff := cmp.Diff(want, present(t.Context(), t, ep), sorted); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if want := "http://chat-receiver." + ep.Namespace + ".svc/"; ep.Status.URL != want {
		t.Errorf("status.url is %q, want %q", ep.Status.URL, want)
	}
	if ep.Status.SourceRangeCount == nil || int(*ep.Status.SourceRangeCount) != len(ep.Status.SourceRanges) || len(ep.Status.SourceRanges) < 8 {
		t.Errorf("status.sourceRanges has %d ranges", len(ep.Status.SourceRanges))
	}
	if ep.Status.Profile == nil || ep.Status.Profile.Origin != v1alpha1.ProfileBuiltIn {
		t.Errorf("status.profile is %+v", ep.Status.Profile)
	}
	t.Log(len(op.written()), "writes in all")
}

// TestSteady holds that an endpoint that is as it should be costs no write: not
// when something about it happens, and not when the operator starts anew.
func TestSteady(t *testing.T) {
	op := start(t)
	ns := namespace(t)
	all := everyShape(ns)
	for _, ep := range all {
		create(t, ep)
	}
	for _, ep := range all {
		if ep.Spec.Queue == nil || ep.Spec.Queue.Type != v1alpha1.QueuePersistent {
			rollOut(t, ep)
		}
	}
	quiet(t, op)
	op.stop()
	for range 2 {
		before := reconciles(t)
		again := start(t)
		for _, ep := range all { // something happens that changes nothing
			p := pending(t, ep, ep.Name)
			if err := admin.Delete(t.Context(), p, client.GracePeriodSeconds(0)); err != nil {
				t.Fatal(err)
			}
		}
		reconciled(t, before, len(all))
		if writes := quiet(t, again); len(writes) > 0 {
			t.Errorf("a steady state was written to: %q", writes)
		}
		again.stop()
	}
}
