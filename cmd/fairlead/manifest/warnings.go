package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

const (
	maxEntries    = 16 // signing secrets that a receiver uses
	shortSecret   = 16 // bytes; shorter ones can be guessed
	secretMissing = "Secret %q is not in the files; until it exists in namespace %q requests are answered 503"
)

// warnings says what is allowed and may not be meant.
func (f *File) warnings(ep *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) []string {
	var all []string
	switch {
	case !provider.Overrides(p):
	case provider.IsBuiltIn(p.Name):
		all = append(all, fmt.Sprintf("Provider %q is a WebhookProvider that replaces the built-in profile", p.Name))
	default:
		all = append(all, fmt.Sprintf("Provider %q has no built-in profile to replace; take out its spec.overridesBuiltIn", p.Name))
	}
	if ep.Spec.Sources.Mode == v1alpha1.SourceObserve {
		all = append(all, "Every address may send, because spec.sources.mode is Observe")
	}
	// In a cluster nobody gets in through the proxy that a Gateway or an Ingress is.
	if desired.HidesClients(ep) {
		all = append(all, "Behind the proxy every request is refused, because every address is the proxy's; list its pods' in spec.sources.trustedProxies")
	}
	if desired.NeedsIngressFrom(ep) {
		all = append(all, "The NetworkPolicy lets no proxy to the receivers; list its pods in spec.networkPolicy.ingressFrom")
	}
	switch ep.Spec.Suspend {
	case v1alpha1.SuspendIntake:
		all = append(all, "Every request is answered 503, because spec.suspend is Intake")
	case v1alpha1.SuspendDeliveries:
		all = append(all, "Nothing is delivered, because spec.suspend is Deliveries")
	}
	return append(all, f.secretWarnings(ep)...)
}

func (f *File) secretWarnings(ep *v1alpha1.WebhookEndpoint) []string {
	ref := ep.Spec.SecretRef
	s := f.Secret(ep.Namespace, ref.Name)
	if s == nil {
		return []string{fmt.Sprintf(secretMissing, ref.Name, ep.Namespace)}
	}
	keys := ref.Keys
	if len(keys) == 0 {
		keys = slices.Sorted(maps.Keys(s.Data))
	}
	var all []string
	if len(keys) == 0 {
		all = append(all, fmt.Sprintf("Secret %q has no entry; add a signing secret", ref.Name))
	}
	if len(keys) > maxEntries {
		all = append(all, fmt.Sprintf("Secret %q has %d entries and only %d are used; name them in spec.secretRef.keys", ref.Name, len(keys), maxEntries))
	}
	for _, key := range keys {
		if w := entryWarning(s, key); w != "" {
			all = append(all, w)
		}
	}
	return all
}

// entryWarning speaks of an entry's length as a receiver sees it: without one
// newline at the end.
func entryWarning(s *corev1.Secret, key string) string {
	v, ok := s.Data[key]
	v = bytes.TrimSuffix(bytes.TrimSuffix(v, []byte("\n")), []byte("\r"))
	switch {
	case !ok:
		return fmt.Sprintf("Secret %q has no entry %q; add it, or take it out of spec.secretRef.keys", s.Name, key)
	case len(v) == 0:
		return fmt.Sprintf("Secret %q: entry %q is empty and will not be used", s.Name, key)
	case len(v) < shortSecret:
		return fmt.Sprintf("Secret %q: entry %q is shorter than %d bytes; ask the provider for a longer secret", s.Name, key, shortSecret)
	}
	return ""
}
