package endpoint_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
