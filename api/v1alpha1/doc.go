// Package v1alpha1 holds the kinds that users write: WebhookEndpoint and
// WebhookProvider. Their doc comments are the reference documentation, and
// their markers become the CRDs in config/crd.
//
// What lives here is schema: types, bounds, defaults and CEL rules. What a
// schema cannot see (an unknown region, say) is checked by api/resolve.
//
// +kubebuilder:object:generate=true
// +groupName=fairlead.dev
package v1alpha1
