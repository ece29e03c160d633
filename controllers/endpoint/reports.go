package endpoint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// reported lists the conditions that receivers report.
var reported = []string{v1alpha1.ConditionSecretReady, v1alpha1.ConditionSinksReady, v1alpha1.ConditionSourcePreserved, v1alpha1.ConditionDurable}

// observeReports sets the conditions that receivers report, from the last that
// each has said, and returns why the endpoint does not work as specified.
// Receivers that cannot be asked make a condition Unknown, never False.
func (r *Reconciler) observeReports(ep *v1alpha1.WebhookEndpoint, res *resolution) error {
	if r.awaited(ep) {
		return repeated(ep) // and the conditions stay as they are
	}
	var pages []*statusz.Endpoint
	silent := 0
	for _, rep := range r.poller.Reports(types.NamespacedName{Namespace: ep.Namespace, Name: ep.Name}) {
		if rep.Page == nil {
			silent++
			continue
		}
		pages = append(pages, rep.Page)
	}
	if len(pages) == 0 {
		message := "No receiver has reported yet"
		if silent > 0 {
			message = "No receiver can be asked; see Available, and whether a network policy keeps the operator from port 9090 of the pods"
		}
		for _, kind := range reported {
			setCondition(ep, kind, metav1.ConditionUnknown, v1alpha1.ReasonUnreachable, message)
		}
		return nil
	}
	setSinks(ep, pages)
	r.setSource(ep, res, pages)
	setDurable(ep, pages)
	return first(setSecret(ep, pages), configTaken(ep, pages))
}

// setSecret sets SecretReady, and returns it as *waiting if nothing can be
// verified.
func setSecret(ep *v1alpha1.WebhookEndpoint, pages []*statusz.Endpoint) error {
	name := ep.Spec.SecretRef.Name
	missing, problems, without := map[string]bool{}, map[string]string{}, false
	for _, p := range pages {
		without = without || len(p.Secret.Entries) == 0
		for _, entry := range p.Secret.Missing {
			missing[entry] = true
		}
		maps.Copy(problems, p.Secret.Problems)
	}
	var says []string
	for _, entry := range slices.Sorted(maps.Keys(missing)) {
		says = append(says, fmt.Sprintf("Secret %q has no entry %q; add it, or take it out of spec.secretRef.keys", name, entry))
	}
	for _, entry := range slices.Sorted(maps.Keys(problems)) {
		says = append(says, fmt.Sprintf("Entry %q of Secret %q: %s", entry, name, problems[entry]))
	}
	message := strings.Join(says, ". ")
	switch {
	case without && message == "":
		message = fmt.Sprintf("Secret %q is missing or has no entry; make it with the provider's signing secret in it", name)
		fallthrough
	case without:
		setCondition(ep, v1alpha1.ConditionSecretReady, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing, message)
		return &waiting{reason: v1alpha1.ReasonSecretMissing, message: message}
	case len(missing) > 0:
		setCondition(ep, v1alpha1.ConditionSecretReady, metav1.ConditionFalse, v1alpha1.ReasonEntryMissing, message)
	case len(problems) > 0:
		setCondition(ep, v1alpha1.ConditionSecretReady, metav1.ConditionFalse, v1alpha1.ReasonEntryUnusable, message)
	default:
		setCondition(ep, v1alpha1.ConditionSecretReady, metav1.ConditionTrue, v1alpha1.ReasonSecretsUsable,
			"Every receiver that reports holds usable signing secrets"+unmatched(pages))
	}
	return nil
}

// unmatched says that requests come and that no secret has verified one yet. What
// strangers send says nothing any more as soon as one has.
func unmatched(pages []*statusz.Endpoint) string {
	var all statusz.Refused
	for _, p := range pages {
		if slices.ContainsFunc(p.Secret.Entries, func(e statusz.Entry) bool { return e.LastUsed != nil }) {
			return ""
		}
		if n := p.Secret.Refused; n != nil {
			all.Unsigned, all.Wrong, all.Late = all.Unsigned+n.Unsigned, all.Wrong+n.Wrong, all.Late+n.Late
		}
	}
	switch {
	case all.Late > 0:
		return ", but no request has been taken: some were signed with one of them, too long ago or too far ahead; see whether this cluster's clocks are right"
	case all.Wrong > 0:
		return ", but no request has been verified: signatures came that none of them makes. See whether they are those of the same app at the provider, and whether something on the way changes bodies"
	case all.Unsigned > 0:
		return ", but no request has been verified: those that came have no signature. See whether spec.provider is right, and whether a proxy drops headers"
	}
	return ""
}

// setDurable sets Durable by the kind of queue.
func setDurable(ep *v1alpha1.WebhookEndpoint, pages []*statusz.Endpoint) {
	for _, p := range pages {
		if !p.Queue.SyncedBeforeReply {
			setCondition(ep, v1alpha1.ConditionDurable, metav1.ConditionFalse, v1alpha1.ReasonNotSynced,
				"A receiver acknowledges events before they are on disk; do not rely on it")
			return
		}
	}
	if desired.Persistent(ep) {
		setCondition(ep, v1alpha1.ConditionDurable, metav1.ConditionTrue, v1alpha1.ReasonSyncedOnVolume,
			"Events are on the replica's volume before they are acknowledged")
		return
	}
	setCondition(ep, v1alpha1.ConditionDurable, metav1.ConditionTrue, v1alpha1.ReasonSyncedOnNode,
		"Events are on the node's disk before they are acknowledged; what is queued there is lost with the node, unless spec.queue.type is Persistent")
}

// configTaken returns, as *waiting, that a receiver works by an older
// configuration.
func configTaken(ep *v1alpha1.WebhookEndpoint, pages []*statusz.Endpoint) error {
	var older error
	for _, p := range pages {
		if p.Config.Error != "" {
			return &waiting{reason: v1alpha1.ReasonConfigRefused, message: "A receiver goes on with an older configuration: " + p.Config.Error}
		}
		if p.Config.Generation < ep.Generation {
			older = configPending()
		}
	}
	return older
}

func configPending() *waiting {
	return &waiting{reason: v1alpha1.ReasonConfigPending,
		message: "Receivers have not taken the newest configuration yet; the kubelet may need 90 seconds to bring it"}
}
