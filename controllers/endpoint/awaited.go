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

// repeatReports leaves the conditions that receivers report as they are, and
// returns, as *waiting, the trouble that they have reported.
func repeatReports(ep *v1alpha1.WebhookEndpoint) error {
	for _, kind := range reported {
		if c := condition(ep, kind); c != nil {
			setCondition(ep, kind, c.Status, c.Reason, c.Message)
		}
	}
	ready := condition(ep, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse || !slices.Contains(reportedTrouble, ready.Reason) {
		return nil
	}
	return &waiting{reason: ready.Reason, message: ready.Message}
}

// repeatExposed leaves Exposed as it is if it goes by certificates, of which
// receivers report, and returns, as *waiting, if nobody can send for that. It
// returns false if there is nothing to repeat.
func repeatExposed(ep *v1alpha1.WebhookEndpoint) (bool, error) {
	c, ready := condition(ep, v1alpha1.ConditionExposed), condition(ep, v1alpha1.ConditionReady)
	byCertificate := []string{v1alpha1.ReasonExposed, v1alpha1.ReasonCertificateMissing, v1alpha1.ReasonCertificateExpiring}
	if c == nil || !slices.Contains(byCertificate, c.Reason) {
		return false, nil
	}
	setCondition(ep, c.Type, c.Status, c.Reason, c.Message)
	if ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == c.Reason {
		return true, &waiting{reason: c.Reason, message: c.Message}
	}
	return true, nil
}
