package endpoint_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// kstatus returns what tools that go by kstatus, GitOps controllers among them,
// make of an endpoint as it stands in the API server.
func kstatus(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*status.Result, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookEndpoint"))
	if err := admin.Get(ctx, client.ObjectKeyFromObject(ep), u); err != nil {
		return nil, err
	}
	return status.Compute(u)
}

// judged holds that kstatus says the same now.
func judged(t *testing.T, ep *v1alpha1.WebhookEndpoint, want status.Status) {
	t.Helper()
	got, err := kstatus(t.Context(), ep)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != want {
		t.Errorf("kstatus says %s, want %s: %s", got.Status, want, got.Message)
	}
}

// TestKstatus follows an endpoint through every state that kstatus knows.
func TestKstatus(t *testing.T) {
	ep := chat(namespace(t))
	create(t, ep)
	judged(t, ep, status.InProgressStatus) // nobody has seen it yet

	op := start(t)
	is(t, ep, v1alpha1.ConditionReconciling, yes, v1alpha1.ReasonNoReceivers)
	judged(t, ep, status.InProgressStatus)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	judged(t, ep, status.CurrentStatus)

	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"atlantis"} })
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonInvalidSpec)
	judged(t, ep, status.FailedStatus)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = nil })
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	judged(t, ep, status.CurrentStatus)

	for _, tt := range []struct {
		suspend v1alpha1.SuspendMode
		reason  string
	}{
		{v1alpha1.SuspendIntake, v1alpha1.ReasonIntakeSuspended},
		{v1alpha1.SuspendDeliveries, v1alpha1.ReasonDeliveriesSuspended},
	} {
		change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = tt.suspend })
		is(t, ep, v1alpha1.ConditionReady, yes, tt.reason)
		judged(t, ep, status.CurrentStatus) // as was asked for
	}

	op.stop()
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendNone })
	judged(t, ep, status.InProgressStatus) // what the status says is of another generation
	start(t)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	judged(t, ep, status.CurrentStatus)
}

// TestKstatusTerminating holds that an endpoint that is being deleted is left as
// it is: its receivers serve until the cluster collects them.
func TestKstatusTerminating(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	quiet(t, op)
	// Nobody collects garbage here, so it stays until its finalizer is taken away.
	if err := admin.Delete(t.Context(), ep, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
		if err := admin.Patch(context.Background(), ep, patch); err != nil {
			t.Error(err)
		}
	})
	until(t, "kstatus says that it is terminating", func(ctx context.Context) error {
		got, err := kstatus(ctx, ep)
		if err == nil && got.Status != status.TerminatingStatus {
			err = fmt.Errorf("it says %s: %s", got.Status, got.Message)
		}
		return err
	})
	if writes := quiet(t, op); len(writes) > 0 {
		t.Errorf("an endpoint that is being deleted was written for: %q", writes)
	}
	judged(t, ep, status.TerminatingStatus)
}
