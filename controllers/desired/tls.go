package desired

import (
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Where the receiver finds the certificate that it serves.
const (
	tlsVolume = "tls"
	tlsDir    = "/etc/fairlead/tls"
)

// ServesTLS reports whether receivers serve TLS themselves: with types
// LoadBalancer and ClusterIP, if a certificate is named.
func ServesTLS(ep *v1alpha1.WebhookEndpoint) bool {
	e := ep.Spec.Exposure
	return e != nil && e.TLS != nil && !proxied(ep)
}

// TLSSecret is the name of the Secret with the endpoint's certificate, for an
// endpoint that has one.
func TLSSecret(ep *v1alpha1.WebhookEndpoint) string {
	return or(ep.Spec.Exposure.TLS.SecretName, ReceiverName(ep.Name)+"-tls")
}

// asksIssuer reports whether cert-manager shall issue the certificate. There is
// none for an endpoint without a host.
func asksIssuer(ep *v1alpha1.WebhookEndpoint) bool {
	e := ep.Spec.Exposure
	return e.TLS != nil && e.TLS.IssuerRef != nil && e.Host != ""
}

// AsksIssuer reports whether the endpoint, as its manifest has it, has
// cert-manager issue its certificate.
func AsksIssuer(ep *v1alpha1.WebhookEndpoint) bool { return asksIssuer(resolve.Filled(ep)) }

// certificate asks cert-manager to keep a certificate for the host in the Secret.
// Its key is made anew each time: a key that leaked is then of no use for longer
// than the certificate.
func (b *builder) certificate() *untyped {
	tls := b.ep.Spec.Exposure.TLS
	return b.untyped("cert-manager.io/v1", "Certificate", map[string]any{
		"secretName": TLSSecret(b.ep),
		"dnsNames":   []any{b.ep.Spec.Exposure.Host},
		"issuerRef": map[string]any{
			"name":  tls.IssuerRef.Name,
			"kind":  or(tls.IssuerRef.Kind, "Issuer"),
			"group": or(tls.IssuerRef.Group, "cert-manager.io"),
		},
		"privateKey": map[string]any{"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
		"usages":     []any{"digital signature", "server auth"},
	})
}
