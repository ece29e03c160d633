package endpoint

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// reportedTrouble lists the reasons for which Ready is False because receivers say
// so.
var reportedTrouble = []string{v1alpha1.ReasonSecretMissing, v1alpha1.ReasonConfigRefused, v1alpha1.ReasonConfigPending}

// awaited reports whether there are receivers that this operator has not asked yet,
// and something that was reported before. An operator that has just started knows
// nothing, and that is no news: what the one before it was told holds until
// receivers have been asked.
func (r *Reconciler) awaited(ep *v1alpha1.WebhookEndpoint) bool {
	return condition(ep, reported[0]) != nil && r.poller.Awaits(types.NamespacedName{Namespace: ep.Namespace, Name: ep.Name})
}

// repeated returns, as *waiting, the trouble that receivers have reported. What was
// reported is of the generation of then: of a newer one nobody has said that it
// works, so that is waited for.
func repeated(ep *v1alpha1.WebhookEndpoint) error {
	ready := condition(ep, v1alpha1.ConditionReady)
	switch {
	case ready == nil || ready.ObservedGeneration != ep.Generation:
		return configPending()
	case ready.Status == metav1.ConditionFalse && slices.Contains(reportedTrouble, ready.Reason):
		return &waiting{reason: ready.Reason, message: ready.Message}
	}
	return nil
}

// repeatedExposed returns whether Exposed can stay as it is because it goes by
// certificates, of which receivers report, and, as *waiting, if nobody can send for
// that.
func repeatedExposed(ep *v1alpha1.WebhookEndpoint) (bool, error) {
	c, ready := condition(ep, v1alpha1.ConditionExposed), condition(ep, v1alpha1.ConditionReady)
	byCertificate := []string{v1alpha1.ReasonExposed, v1alpha1.ReasonCertificateMissing, v1alpha1.ReasonCertificateExpiring}
	if c == nil || c.ObservedGeneration != ep.Generation || !slices.Contains(byCertificate, c.Reason) {
		return false, nil
	}
	if ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == c.Reason {
		return true, &waiting{reason: c.Reason, message: c.Message}
	}
	return true, nil
}
