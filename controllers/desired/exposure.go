package desired

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1ac "sigs.k8s.io/gateway-api/applyconfiguration/apis/v1"

	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// servicePort is the Service's port where receivers serve plain HTTP, but for a
// load balancer's that says otherwise. Routes go there.
const servicePort = 80

func exposure(ep *v1alpha1.WebhookEndpoint) v1alpha1.ExposureType {
	return or(ep.Spec.Exposure.Type, v1alpha1.ExposureClusterIP)
}

// service is where webhooks come in.
func (b *builder) service() *corev1ac.ServiceApplyConfiguration {
	svc := corev1ac.Service(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...)
	spec := corev1ac.ServiceSpec().WithSelector(Selector(b.ep.Name))
	if exposure(b.ep) != v1alpha1.ExposureLoadBalancer {
		port := webhookServicePort(servicePort).WithAppProtocol("http")
		if ServesTLS(b.ep) {
			port.WithPort(httpsPort).WithAppProtocol("https")
		}
		return svc.WithSpec(spec.WithType(corev1.ServiceTypeClusterIP).WithPorts(port))
	}
	lb := b.ep.Spec.Exposure.LoadBalancer
	if lb == nil {
		lb = &v1alpha1.LoadBalancerExposure{}
	}
	// No appProtocol here: some clouds take it for an order to probe the path /,
	// at which a receiver answers no probe.
	spec.WithType(corev1.ServiceTypeLoadBalancer).
		WithPorts(webhookServicePort(resolve.LoadBalancerPort(b.ep.Spec.Exposure))).
		WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal). // keeps the client's address
		WithLoadBalancerSourceRanges(b.loadBalancerRanges()...)
	if lb.ClassName != "" {
		spec.WithLoadBalancerClass(lb.ClassName)
	}
	return svc.WithAnnotations(annotations(lb.Annotations)).WithSpec(spec)
}

func webhookServicePort(number int32) *corev1ac.ServicePortApplyConfiguration {
	return corev1ac.ServicePort().
		WithName(webhookPortName).WithProtocol(corev1.ProtocolTCP).
		WithPort(number).WithTargetPort(intstr.FromString(webhookPortName))
}

// loadBalancerRanges are the ranges that a load balancer lets in: those who send,
// and the proxies that are trusted to say who does, which may stand before it. None
// opens it to everybody, so that there are none only when nothing is enforced: a
// Service with no range of its IP family lists those of the other, which lets nobody
// in.
func (b *builder) loadBalancerRanges() []string {
	if !b.enforces() {
		return nil
	}
	all := slices.Concat(b.in.Config.Sources.Ranges, b.in.Config.Sources.TrustedProxies)
	v4, v6 := families(all)
	var out []netip.Prefix
	for _, f := range b.in.ServiceFamilies {
		switch corev1.IPFamily(f) {
		case corev1.IPv4Protocol:
			out = append(out, v4...)
		case corev1.IPv6Protocol:
			out = append(out, v6...)
		}
	}
	if len(out) == 0 {
		out = all
	}
	return texts(ordered(out))
}

// headlessService gives receivers names of their own, and is where they find
// each other to hand over what is left. It lists none that is not ready or that
// is on its way out: nobody is to hand events to it.
func (b *builder) headlessService() *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(HeadlessName(b.ep.Name), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithClusterIP(corev1.ClusterIPNone).
			WithSelector(Selector(b.ep.Name)).
			WithPorts(
				corev1ac.ServicePort().WithName(telemetryPortName).WithProtocol(corev1.ProtocolTCP).
					WithPort(TelemetryPort).WithTargetPort(intstr.FromInt32(TelemetryPort)),
				corev1ac.ServicePort().WithName(internalPortName).WithProtocol(corev1.ProtocolTCP).
					WithPort(InternalPort).WithTargetPort(intstr.FromInt32(InternalPort)),
			))
}

// routes returns what leads the public host to the Service: nothing for types
// that need no route, for a cluster without Gateway API, and where another
// endpoint has the host and path. There is no route without a host: it would take
// the requests of every host.
func (b *builder) routes() ([]Object, error) {
	e := b.ep.Spec.Exposure
	switch {
	case e.Host == "" || b.in.Unrouted:
		return nil, nil
	case e.Type == v1alpha1.ExposureGateway && e.Gateway != nil && b.in.Gateways:
		return []Object{b.httpRoute()}, nil
	case e.Type == v1alpha1.ExposureIngress:
		in, err := b.ingress()
		return []Object{in}, err
	}
	return nil, nil
}

// The times that a proxy is told to wait for the receiver. Whoever waits last
// must be the provider: an answer of the proxy's own would not be in its words.
const (
	// leastWait is the longest time that a provider we know waits for an answer to an
	// event; profiles name the deadlines of synchronous hooks only.
	leastWait = 15 * time.Second
	// waitMargin is for what clocks and networks add.
	waitMargin = 5 * time.Second
)

// patience is how long a proxy waits for the receiver: longer than any hook's
// deadline.
func (b *builder) patience() time.Duration {
	longest := leastWait
	for i := range b.in.Config.Hooks {
		if d, err := b.in.Config.Hooks[i].Deadline.Parse(); err == nil {
			longest = max(longest, d)
		}
	}
	return longest + waitMargin
}

func (b *builder) httpRoute() *gatewayv1ac.HTTPRouteApplyConfiguration {
	e := b.ep.Spec.Exposure
	rule := gatewayv1ac.HTTPRouteRule().
		WithMatches(gatewayv1ac.HTTPRouteMatch().WithPath(gatewayv1ac.HTTPPathMatch().
			WithType(gatewayv1.PathMatchPathPrefix).WithValue(b.in.Config.Path))).
		WithBackendRefs(gatewayv1ac.HTTPBackendRef().
			WithName(gatewayv1.ObjectName(b.name())).WithPort(servicePort))
	if b.in.RouteTimeouts {
		wait := gatewayv1.Duration(seconds(b.patience()) + "s")
		rule.WithTimeouts(gatewayv1ac.HTTPRouteTimeouts().WithRequest(wait).WithBackendRequest(wait))
	}
	spec := gatewayv1ac.HTTPRouteSpec().WithHostnames(gatewayv1.Hostname(e.Host)).WithRules(rule)
	for i := range e.Gateway.ParentRefs {
		spec.WithParentRefs(parent(&e.Gateway.ParentRefs[i]))
	}
	return gatewayv1ac.HTTPRoute(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).WithSpec(spec)
}

func parent(g *v1alpha1.GatewayReference) *gatewayv1ac.ParentReferenceApplyConfiguration {
	out := gatewayv1ac.ParentReference().WithName(gatewayv1.ObjectName(g.Name))
	if g.Namespace != "" {
		out.WithNamespace(gatewayv1.Namespace(g.Namespace))
	}
	if g.SectionName != "" {
		out.WithSectionName(gatewayv1.SectionName(g.SectionName))
	}
	if g.Port != 0 {
		out.WithPort(g.Port)
	}
	return out
}

// seconds writes a duration in whole seconds, rounded up: every proxy reads that.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

func (b *builder) ingress() (*networkingv1ac.IngressApplyConfiguration, error) {
	e := b.ep.Spec.Exposure
	backend := networkingv1ac.IngressBackend().WithService(networkingv1ac.IngressServiceBackend().
		WithName(b.name()).WithPort(networkingv1ac.ServiceBackendPort().WithNumber(servicePort)))
	spec := networkingv1ac.IngressSpec().WithRules(networkingv1ac.IngressRule().
		WithHost(e.Host).
		WithHTTP(networkingv1ac.HTTPIngressRuleValue().WithPaths(networkingv1ac.HTTPIngressPath().
			WithPath(b.in.Config.Path).WithPathType(networkingv1.PathTypePrefix).WithBackend(backend))))
	if e.TLS != nil {
		spec.WithTLS(networkingv1ac.IngressTLS().WithHosts(e.Host).WithSecretName(TLSSecret(b.ep)))
	}
	out := networkingv1ac.Ingress(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).WithSpec(spec)
	if e.Ingress == nil {
		return out, nil
	}
	if e.Ingress.ClassName != "" {
		spec.WithIngressClassName(e.Ingress.ClassName)
	}
	preset, err := b.presetAnnotations(e.Ingress)
	return out.WithAnnotations(preset).WithAnnotations(annotations(e.Ingress.Annotations)), err
}
