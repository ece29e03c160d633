package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// observeExposure sets Exposed and the URLs, and returns why requests from
// outside do not arrive.
func (r *Reconciler) observeExposure(ctx context.Context, ep *v1alpha1.WebhookEndpoint, res *resolution) error {
	base, err := r.exposed(ctx, ep, res)
	var w *waiting
	if err != nil && !errors.As(err, &w) {
		return err
	}
	if res != nil {
		s := status(ep)
		s.URL, s.Hooks = desired.URLs(res.config, base)
	}
	if w != nil {
		setCondition(ep, v1alpha1.ConditionExposed, metav1.ConditionFalse, w.reason, w.message)
		return w
	}
	if r.awaited(ep) {
		if done, err := repeatedExposed(ep); done {
			return err
		}
	}
	certificate, err := r.observeCertificate(ctx, ep)
	if err != nil {
		return err
	}
	if certificate != nil {
		setCondition(ep, v1alpha1.ConditionExposed, metav1.ConditionFalse, certificate.reason, certificate.message)
		if certificate.down {
			return &waiting{reason: certificate.reason, message: certificate.message}
		}
		return nil // it serves, and Exposed says for how long
	}
	setCondition(ep, v1alpha1.ConditionExposed, metav1.ConditionTrue, v1alpha1.ReasonExposed, exposedMessage(ep)+r.notTaken(ep)+otherNames(ep, r.certificates(ep)))
	return nil
}

func exposedMessage(ep *v1alpha1.WebhookEndpoint) string {
	name := desired.ReceiverName(ep.Name)
	switch resolve.Filled(ep).Spec.Exposure.Type {
	case v1alpha1.ExposureLoadBalancer:
		return fmt.Sprintf("The load balancer of Service %q takes requests", name)
	case v1alpha1.ExposureGateway:
		return fmt.Sprintf("HTTPRoute %q is accepted", name)
	case v1alpha1.ExposureIngress:
		return fmt.Sprintf("Ingress %q is made; whether a controller serves it, it does not say", name)
	}
	return fmt.Sprintf("Service %q takes requests inside the cluster; what brings them there is yours", name)
}

// exposed returns where requests arrive if no host is set, and, as *waiting, why
// none do.
func (r *Reconciler) exposed(ctx context.Context, ep *v1alpha1.WebhookEndpoint, res *resolution) (string, error) {
	inside := fmt.Sprintf("%s://%s.%s.svc", scheme(ep), desired.ReceiverName(ep.Name), ep.Namespace)
	if res != nil && res.conflict != nil {
		return inside, res.conflict
	}
	if err := r.issuer(ctx, ep); err != nil {
		return inside, err
	}
	if desired.NeedsIngressFrom(ep) {
		return inside, &waiting{reason: v1alpha1.ReasonIngressFromMissing, stalled: true,
			message: "The NetworkPolicy lets nobody to the receivers: list the pods of your proxy in spec.networkPolicy.ingressFrom"}
	}
	switch resolve.Filled(ep).Spec.Exposure.Type {
	case v1alpha1.ExposureLoadBalancer:
		return r.loadBalancer(ctx, ep)
	case v1alpha1.ExposureGateway:
		return inside, r.route(ctx, ep)
	}
	return inside, nil
}

// loadBalancer returns the address of the endpoint's load balancer.
func (r *Reconciler) loadBalancer(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (string, error) {
	svc, err := r.service(ctx, ep)
	if err != nil {
		return "", err
	}
	if svc != nil {
		for _, in := range svc.Status.LoadBalancer.Ingress {
			host := in.Hostname
			if host == "" {
				host = in.IP
			}
			if host != "" && len(svc.Spec.Ports) > 0 {
				return baseURL(ep, host, svc.Spec.Ports[0].Port), nil
			}
		}
	}
	return "", &waiting{reason: v1alpha1.ReasonAddressPending,
		message: fmt.Sprintf("The load balancer of Service %q has no address yet; if it stays so, see that Service's events", desired.ReceiverName(ep.Name))}
}

// scheme is what receivers speak.
func scheme(ep *v1alpha1.WebhookEndpoint) string {
	if desired.ServesTLS(ep) {
		return "https"
	}
	return "http"
}

// baseURL returns scheme, host and port. At port 443, whoever may end TLS, somebody
// does.
func baseURL(ep *v1alpha1.WebhookEndpoint, host string, port int32) string {
	u := url.URL{Scheme: scheme(ep), Host: host}
	if port == 443 {
		u.Scheme = "https"
	}
	if (u.Scheme == "https" && port != 443) || (u.Scheme == "http" && port != 80) {
		u.Host = net.JoinHostPort(host, strconv.Itoa(int(port)))
		return u.String()
	}
	if strings.Contains(host, ":") {
		u.Host = "[" + host + "]"
	}
	return u.String()
}

// service returns the endpoint's Service, or nil.
func (r *Reconciler) service(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*corev1.Service, error) {
	svc := &corev1.Service{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: ep.Namespace, Name: desired.ReceiverName(ep.Name)}, svc)
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(svc, ep)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Service %q: %w", desired.ReceiverName(ep.Name), err)
	}
	return svc, nil
}

// route returns, as *waiting, why the Gateways do not serve the endpoint's
// HTTPRoute. Every parent must accept it.
func (r *Reconciler) route(ctx context.Context, ep *v1alpha1.WebhookEndpoint) error {
	name := desired.ReceiverName(ep.Name)
	if !r.kinds.gateways() {
		return &waiting{reason: v1alpha1.ReasonGatewayAPIMissing,
			message: "This cluster has no HTTPRoutes: install Gateway API, or choose another spec.exposure.type"}
	}
	pending := &waiting{reason: v1alpha1.ReasonRoutePending,
		message: fmt.Sprintf("No Gateway has accepted HTTPRoute %q yet; see that the Gateways in spec.exposure.gateway.parentRefs exist and that their controller runs", name)}
	route := &gatewayv1.HTTPRoute{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: ep.Namespace, Name: name}, route)
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(route, ep)) {
		return pending
	}
	if err != nil {
		return fmt.Errorf("reading HTTPRoute %q: %w", name, err)
	}
	for i := range route.Spec.ParentRefs {
		accepted, err := parentOf(route, &route.Spec.ParentRefs[i])
		if err != nil {
			return err
		}
		if !accepted {
			return pending
		}
	}
	return nil
}

// parentOf reports whether one of the Gateways that a route names takes it. The
// error is a *waiting with what that Gateway has against it.
func parentOf(route *gatewayv1.HTTPRoute, ref *gatewayv1.ParentReference) (accepted bool, err error) {
	for i := range route.Status.Parents {
		p := &route.Status.Parents[i]
		if !equality.Semantic.DeepEqual(p.ParentRef, *ref) {
			continue
		}
		for _, kind := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
			c := meta.FindStatusCondition(p.Conditions, string(kind))
			if c != nil && c.Status == metav1.ConditionFalse && c.ObservedGeneration >= route.Generation {
				return false, &waiting{reason: v1alpha1.ReasonRouteRefused,
					message: fmt.Sprintf("Gateway %q does not take HTTPRoute %q: %s: %s", p.ParentRef.Name, route.Name, c.Reason, c.Message)}
			}
		}
		accepted = accepted || meta.IsStatusConditionTrue(p.Conditions, string(gatewayv1.RouteConditionAccepted))
	}
	return accepted, nil
}
