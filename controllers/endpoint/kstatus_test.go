package endpoint_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// TestKstatus follows an endpoint through every state that kstatus knows.
func TestKstatus(t *testing.T) {
	ep := chat(namespace(t))
	create(t, ep)
	judged(t, ep, "new", status.InProgressStatus) // nobody has seen it yet: observedGeneration is -1

	op := start(t)
	is(t, ep, v1alpha1.ConditionReconciling, yes, v1alpha1.ReasonNoReceivers)
	quiet(t, op)
	judged(t, ep, "reconciling", status.InProgressStatus)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	quiet(t, op)
	judged(t, ep, "ready", status.CurrentStatus)

	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"atlantis"} })
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonInvalidSpec)
	judged(t, ep, "stalled", status.FailedStatus)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendIntake })
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonInvalidSpec)
	judged(t, ep, "stalled-suspended", status.FailedStatus)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions, ep.Spec.Suspend = nil, v1alpha1.SuspendNone })
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)

	for _, tt := range []struct {
		suspend       v1alpha1.SuspendMode
		reason, state string
	}{
		{v1alpha1.SuspendIntake, v1alpha1.ReasonIntakeSuspended, "intake-suspended"},
		{v1alpha1.SuspendDeliveries, v1alpha1.ReasonDeliveriesSuspended, "deliveries-suspended"},
	} {
		change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = tt.suspend })
		is(t, ep, v1alpha1.ConditionReady, yes, tt.reason)
		judged(t, ep, tt.state, status.CurrentStatus) // as was asked for
	}

	op.stop()
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendNone })
	judged(t, ep, "unseen-change", status.InProgressStatus) // what the status says is of another generation
	op = start(t)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	quiet(t, op)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Provider = "nobody" })
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonProviderUnknown)
	judged(t, ep, "provider-unknown", status.FailedStatus)
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
	judged(t, ep, "terminating", status.TerminatingStatus)
}
