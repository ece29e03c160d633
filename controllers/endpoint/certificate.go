package endpoint

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// When a certificate is a condition: when it ends soon, and what renews it should
// have done so long ago. Some live for a few days only, and are renewed when a third
// of that is left.
const (
	soon = 14 * 24 * time.Hour
	// lastPart is how many times as long a certificate lives as the part of its life
	// that counts as its end, where that is shorter.
	lastPart = 6
)

// warnedAt returns when a certificate, that there is, begins to be a condition.
// Receivers of older versions do not say when it began.
func warnedAt(c *statusz.TLS) time.Time {
	before := soon
	if c.NotBefore != nil {
		before = max(0, min(soon, c.NotAfter.Sub(*c.NotBefore)/lastPart))
	}
	return c.NotAfter.Add(-before)
}

// certificates returns what receivers say of the certificate that they serve; none
// if they serve none, or say nothing of it because they are of an older version.
func (r *Reconciler) certificates(ep *v1alpha1.WebhookEndpoint) []*statusz.TLS {
	if !desired.ServesTLS(ep) {
		return nil
	}
	var all []*statusz.TLS
	for _, rep := range r.poller.Reports(types.NamespacedName{Namespace: ep.Namespace, Name: ep.Name}) {
		if rep.TLS != nil {
			all = append(all, rep.TLS)
		}
	}
	return all
}

// nextOfCertificate returns the next moment at which there is something else to
// say of certificates; zero: there is none.
func nextOfCertificate(all []*statusz.TLS, now time.Time) time.Time {
	var next time.Time
	for _, c := range all {
		if c.NotAfter == nil {
			continue
		}
		for _, at := range []time.Time{warnedAt(c), *c.NotAfter} {
			if at.After(now) {
				next = earlier(next, at)
			}
		}
	}
	return next
}

// earlier returns the earlier of two moments; one that is zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// ending is how the end of a certificate is written: one that lives for days ends
// at some hour.
const ending = "2006-01-02 15:04 MST"

// served is what there is to say of the certificate that receivers serve.
type served struct {
	reason, message string
	// down means that nobody can send.
	down bool
}

// observeCertificate returns nil if there is nothing to say of the certificate, or
// if receivers serve none.
func (r *Reconciler) observeCertificate(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*served, error) {
	all := r.certificates(ep)
	if len(all) == 0 {
		return nil, nil
	}
	now, ends := r.clock.Now(), time.Time{}
	for _, c := range all {
		if c.NotAfter == nil {
			cure, err := r.cureOfCertificate(ctx, ep)
			return &served{v1alpha1.ReasonCertificateMissing, fmt.Sprintf("A receiver has no certificate to serve TLS with: %s. %s", orUnknown(c.Error), cure), true}, err
		}
		if !now.Before(warnedAt(c)) {
			ends = earlier(ends, *c.NotAfter)
		}
	}
	if ends.IsZero() {
		return nil, nil
	}
	verb, down := "ends", !now.Before(ends)
	if down {
		verb = "ended"
	}
	cure, err := r.cureOfCertificate(ctx, ep)
	return &served{v1alpha1.ReasonCertificateExpiring, fmt.Sprintf("The certificate %s at %s. %s%s", verb, ends.UTC().Format(ending), cure, r.notTaken(ep)), down}, err
}

// notTaken says why a receiver serves an older certificate than the one that it
// was given; nothing if none does.
func (r *Reconciler) notTaken(ep *v1alpha1.WebhookEndpoint) string {
	for _, c := range r.certificates(ep) {
		if c.NotAfter != nil && c.Error != "" {
			return fmt.Sprintf(". A receiver goes on with the certificate from before: %s; mend Secret %q", c.Error, desired.TLSSecret(ep))
		}
	}
	return ""
}

// allNames is how many names a receiver tells at most: there may be more.
const allNames = 16

// otherNames says that a certificate is not for the endpoint's host; nothing if it
// is, or if that is not known. It is no condition, because a proxy before the
// receivers may have the host's, and want another one of them.
func otherNames(ep *v1alpha1.WebhookEndpoint, all []*statusz.TLS) string {
	host := resolve.Filled(ep).Spec.Exposure.Host
	for _, c := range all {
		names := len(c.Names)
		if c.NotAfter == nil || host == "" || names == 0 || names >= allNames {
			continue
		}
		if (&x509.Certificate{DNSNames: c.Names}).VerifyHostname(host) != nil {
			return fmt.Sprintf(". Its certificate is for %s, and not for %s: clients refuse it, unless a proxy before the receivers has another one", strings.Join(c.Names, ", "), host)
		}
	}
	return ""
}

func orUnknown(text string) string {
	if text == "" {
		return "it does not say why"
	}
	return text
}

// cureOfCertificate says who has to bring the certificate.
func (r *Reconciler) cureOfCertificate(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (string, error) {
	secret := desired.TLSSecret(ep)
	if !desired.AsksIssuer(ep) {
		return fmt.Sprintf("Put a new one into Secret %q, of type kubernetes.io/tls with tls.crt and tls.key; receivers take it by themselves", secret), nil
	}
	why, err := r.notIssued(ctx, ep)
	if why == "" {
		why = fmt.Sprintf("See why cert-manager does not renew it: Certificate %q and its events", desired.ReceiverName(ep.Name))
	}
	return fmt.Sprintf("%s. Receivers take a new one in Secret %q by themselves", why, secret), err
}

// notIssued returns why cert-manager has not issued the endpoint's certificate;
// nothing if it has, or does not say.
func (r *Reconciler) notIssued(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (string, error) {
	name := desired.ReceiverName(ep.Name)
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(certificateKind)
	err := r.client.Get(ctx, client.ObjectKey{Namespace: ep.Namespace, Name: name}, obj)
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(obj, ep)) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading Certificate %q: %w", name, err)
	}
	conditions, _, err := unstructured.NestedSlice(obj.Object, "status", "conditions")
	if err != nil {
		return "", fmt.Errorf("reading the status of Certificate %q: %w", name, err)
	}
	for _, c := range conditions {
		c, _ := c.(map[string]any)
		if c["type"] == "Ready" && c["status"] == string(metav1.ConditionFalse) {
			return fmt.Sprintf("Certificate %q is not issued: %v: %v", name, c["reason"], c["message"]), nil
		}
	}
	return "", nil
}

// issuer returns, as *waiting, why cert-manager does not bring the certificate
// that it is asked for.
func (r *Reconciler) issuer(ctx context.Context, ep *v1alpha1.WebhookEndpoint) error {
	switch {
	case !desired.AsksIssuer(ep):
		return nil
	case !r.kinds.certificates():
		return &waiting{reason: v1alpha1.ReasonCertManagerMissing,
			message: "This cluster has no cert-manager: install it, or name a Secret in spec.exposure.tls.secretName and take issuerRef out"}
	case desired.ServesTLS(ep): // receivers say what they lack
		return nil
	}
	why, err := r.notIssued(ctx, ep)
	if err != nil || why == "" {
		return err
	}
	return &waiting{reason: v1alpha1.ReasonCertificateMissing, message: why}
}
