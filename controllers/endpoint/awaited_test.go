package endpoint_test

import (
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// TestNoNewsAtStart holds that an operator that starts, after an upgrade or because
// another one leads, writes nothing to the status of endpoints whose receivers say
// what they have said before: that it knows nothing yet is no news, and Ready must
// not be what it was before somebody looked.
func TestNoNewsAtStart(t *testing.T) {
	for name, tt := range map[string]struct {
		says   func(*statusz.Endpoint)
		ready  metav1.ConditionStatus
		reason string
	}{
		"well":             {fine, yes, v1alpha1.ReasonAvailable},
		"without a secret": {func(p *statusz.Endpoint) { p.Secret = statusz.Secret{} }, no, v1alpha1.ReasonSecretMissing},
		"refused":          {func(p *statusz.Endpoint) { p.Config.Error = "it has schema 99" }, no, v1alpha1.ReasonConfigRefused},
		"silent":           {nil, yes, v1alpha1.ReasonAvailable},
	} {
		t.Run(name, func(t *testing.T) {
			op := start(t)
			ep := chat(namespace(t))
			create(t, ep)
			rollOut(t, ep)
			for i := range 2 {
				op.pod(t, ep, fmt.Sprintf("chat-receiver-%d", i), fmt.Sprintf("10.8.0.%d", i+1), tt.says)
			}
			quiet(t, op)
			is(t, ep, v1alpha1.ConditionReady, tt.ready, tt.reason)
			op.stop()
			before := reconciles(t)
			again := op.again(t)
			reconciled(t, before, 1)
			if writes := quiet(t, again); len(writes) > 0 {
				t.Errorf("it wrote %q", writes)
			}
		})
	}
}

// TestNewGenerationAtStart holds that an operator that starts does not call an
// endpoint ready that was changed meanwhile, until a receiver has said that it works
// so; and that what was reported before does not pass for the newest generation's.
func TestNewGenerationAtStart(t *testing.T) {
	const ip = "10.8.1.1"
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	rollOut(t, ep)
	op.pod(t, ep, "chat-receiver-0", ip, fine)
	quiet(t, op)
	was := is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable).ObservedGeneration
	op.stop()
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendDeliveries })
	answer := make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	op.says(ep, ip, func(*statusz.Endpoint) { <-answer })
	op.again(t)
	t.Cleanup(release)
	is(t, ep, v1alpha1.ConditionReady, no, v1alpha1.ReasonConfigPending)
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(ep), ep); err != nil {
		t.Fatal(err)
	}
	if c := meta.FindStatusCondition(ep.Status.Conditions, v1alpha1.ConditionSecretReady); c == nil || c.Status != yes || c.ObservedGeneration != was {
		t.Errorf("SecretReady is %+v; want it True and of generation %d: of the newest nobody has reported yet", c, was)
	}
	release()
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonDeliveriesSuspended)
}
