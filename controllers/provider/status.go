package provider

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// maxMessage bounds the message of a condition, in bytes.
const maxMessage = 2 << 10

const (
	messageValid      = "Profile can be used"
	messageOverrides  = "Profile replaces the built-in one of this name"
	messageNoOverride = "Profile can be used; there is no built-in one of this name to replace, so take out spec.overridesBuiltIn"
)

// judge returns the status that a profile should have. Conditions that do not
// change keep their times, and conditions that are not ours stay.
func judge(p *v1alpha1.WebhookProvider) *v1alpha1.WebhookProviderStatus {
	s := p.Status.DeepCopy()
	if s == nil {
		s = &v1alpha1.WebhookProviderStatus{}
	}
	s.ObservedGeneration, s.Revision = &p.Generation, ""
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, ObservedGeneration: p.Generation}
	if err := provider.Usable(p); err != nil {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, v1alpha1.ReasonProviderInvalid, describe(err)
		stalled := ready
		stalled.Type, stalled.Status = v1alpha1.ConditionStalled, metav1.ConditionTrue
		meta.SetStatusCondition(&s.Conditions, stalled)
	} else {
		s.Revision = provider.Revision(p)
		ready.Status = metav1.ConditionTrue
		ready.Reason, ready.Message = praise(p)
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionStalled)
	}
	meta.SetStatusCondition(&s.Conditions, ready)
	return s
}

// praise returns the reason and the message of a profile that can be used.
func praise(p *v1alpha1.WebhookProvider) (reason, message string) {
	switch {
	case !provider.Overrides(p):
		return v1alpha1.ReasonValid, messageValid
	case provider.IsBuiltIn(p.Name):
		return v1alpha1.ReasonOverridesBuiltIn, messageOverrides
	}
	return v1alpha1.ReasonValid, messageNoOverride
}

// describe lists problems for a person who is to mend them, sorted, in at most
// maxMessage bytes. What does not fit is counted.
func describe(err error) string {
	const begin, more = "Profile cannot be used. Mend ", "; and %d more"
	room := maxMessage - len(begin) - len(more) - len("1000000")
	list := texts(err)
	fits := 0
	for ; fits < len(list); fits++ {
		if room -= len(list[fits]) + len("; "); room < 0 {
			break
		}
	}
	message := begin + strings.Join(list[:fits], "; ")
	switch left := len(list) - fits; {
	case fits == 0:
		return fmt.Sprintf("Profile cannot be used, for %d reasons, the first of which is too long to be shown; run fairlead validate", left)
	case left > 0:
		message += fmt.Sprintf(more, left)
	}
	return message
}

// texts lists the texts of all errors that were joined, sorted, each once.
func texts(err error) []string {
	var all []string
	for _, e := range provider.Flatten(err) {
		all = append(all, e.Error())
	}
	slices.Sort(all)
	return slices.Compact(all)
}
