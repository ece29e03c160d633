package desired

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

type (
	peerAC = networkingv1ac.NetworkPolicyPeerApplyConfiguration
	portAC = networkingv1ac.NetworkPolicyPortApplyConfiguration
	ruleAC = networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration
)

// policed reports whether the endpoint has a NetworkPolicy.
func policed(ep *v1alpha1.WebhookEndpoint) bool {
	e := ep.Spec.NetworkPolicy.Enabled
	return e == nil || *e
}

// proxied reports whether requests come from a proxy's pods, and not with the
// client's own address.
func proxied(ep *v1alpha1.WebhookEndpoint) bool {
	t := ep.Spec.Exposure.Type
	return t == v1alpha1.ExposureGateway || t == v1alpha1.ExposureIngress
}

// networkPolicy keeps everybody from the receivers but those who send, those who
// measure, and their own kind.
func (b *builder) networkPolicy() *networkingv1ac.NetworkPolicyApplyConfiguration {
	spec := networkingv1ac.NetworkPolicySpec().
		WithPodSelector(b.selector()).
		WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress).
		WithEgress(b.egress()...)
	if !b.enforces() {
		spec.WithIngress(ingressRule(WebhookPort)) // without peers: everybody
	} else {
		spec.WithIngress(allow(WebhookPort, b.senders())...)
	}
	spec.WithIngress(allow(TelemetryPort, b.readers())...)
	spec.WithIngress(allow(InternalPort, b.sisters())...)
	return networkingv1ac.NetworkPolicy(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).WithSpec(spec)
}

// allow lets peers to a port. It returns no rule if there are no peers: a rule
// without peers would let everybody in.
func allow(port int32, peers []*peerAC) []*ruleAC {
	if len(peers) == 0 {
		return nil
	}
	return []*ruleAC{ingressRule(port).WithFrom(peers...)}
}

func ingressRule(port int32) *ruleAC {
	return networkingv1ac.NetworkPolicyIngressRule().WithPorts(tcp(port))
}

// senders are the peers that may post webhooks while ranges are enforced. Behind
// a proxy that is the proxy alone: the receiver sees to the ranges. So it does for
// those that speak the PROXY protocol.
func (b *builder) senders() []*peerAC {
	np := b.ep.Spec.NetworkPolicy
	named := peersOf(np.IngressFrom)
	if proxied(b.ep) {
		return named
	}
	ranges := slices.Clone(b.in.Config.Sources.Ranges)
	if b.in.Config.Sources.ProxyProtocol { // they connect, and say for whom
		ranges = append(ranges, b.in.Config.Sources.TrustedProxies...)
	}
	for _, c := range np.HealthCheckRanges {
		if p, ok := prefix(c); ok {
			ranges = append(ranges, p)
		}
	}
	return append(blocks(ordered(ranges)), named...)
}

// readers are the peers that may read metrics and status.
func (b *builder) readers() []*peerAC {
	var all []*peerAC
	if o := b.in.Operator; o.Namespace != "" {
		peer := namespacePeer(o.Namespace)
		if len(o.Labels) > 0 {
			peer.WithPodSelector(matching(o.Labels))
		}
		all = append(all, peer)
	}
	return append(all, peersOf(b.ep.Spec.NetworkPolicy.MetricsFrom)...)
}

// sisters are the receivers of the same endpoint.
func (b *builder) sisters() []*peerAC {
	return []*peerAC{networkingv1ac.NetworkPolicyPeer().WithPodSelector(b.selector())}
}

// namespacePeer is all pods of a namespace.
func namespacePeer(name string) *peerAC {
	return networkingv1ac.NetworkPolicyPeer().
		WithNamespaceSelector(matching(map[string]string{corev1.LabelMetadataName: name}))
}

// peersOf returns the peers that a manifest lists, in its order, without those
// that are nobody.
func peersOf(list []v1alpha1.NetworkPeer) []*peerAC {
	var all []*peerAC
	for i := range list {
		if p := peerOf(&list[i]); p != nil {
			all = append(all, p)
		}
	}
	return all
}

func peerOf(p *v1alpha1.NetworkPeer) *peerAC {
	if p.IPBlock != nil {
		return ipBlock(p.IPBlock)
	}
	if p.NamespaceSelector == nil && p.PodSelector == nil {
		return nil
	}
	out := networkingv1ac.NetworkPolicyPeer()
	if p.NamespaceSelector != nil {
		out.WithNamespaceSelector(labelSelector(p.NamespaceSelector))
	}
	if p.PodSelector != nil {
		out.WithPodSelector(labelSelector(p.PodSelector))
	}
	return out
}

// ipBlock returns nil for a block of which nothing is left. An exception outside
// the range excepts nothing, and the API server refuses it, so it is left out.
func ipBlock(from *v1alpha1.IPBlock) *peerAC {
	cidr, ok := prefix(from.CIDR)
	if !ok {
		return nil
	}
	var except []netip.Prefix
	for _, c := range from.Except {
		e, ok := prefix(c)
		if !ok || e.Overlaps(cidr) && e.Bits() <= cidr.Bits() {
			return nil
		}
		if e.Overlaps(cidr) {
			except = append(except, e)
		}
	}
	return block(cidr, ordered(except)...)
}

func labelSelector(s *metav1.LabelSelector) *metav1ac.LabelSelectorApplyConfiguration {
	out := matching(s.MatchLabels)
	for i := range s.MatchExpressions {
		e := &s.MatchExpressions[i]
		out.WithMatchExpressions(metav1ac.LabelSelectorRequirement().
			WithKey(e.Key).WithOperator(e.Operator).WithValues(e.Values...))
	}
	return out
}

// matching selects what has all of the labels; with none, everything.
func matching(labels map[string]string) *metav1ac.LabelSelectorApplyConfiguration {
	return metav1ac.LabelSelector().WithMatchLabels(labels)
}

// block is a range of addresses without the excepted ones.
func block(cidr netip.Prefix, except ...netip.Prefix) *peerAC {
	return networkingv1ac.NetworkPolicyPeer().WithIPBlock(
		networkingv1ac.IPBlock().WithCIDR(cidr.String()).WithExcept(texts(except)...))
}

func blocks(ranges []netip.Prefix) []*peerAC {
	var all []*peerAC
	for _, r := range ranges {
		all = append(all, block(r))
	}
	return all
}

func tcp(port int32) *portAC {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP).WithPort(intstr.FromInt32(port))
}

// mappedBits is how many bits ::ffff:0:0/96 fixes before an IPv4 address.
const mappedBits = 96

// prefix reads a range that the schema has checked, and writes it as the API
// server wants it: without bits behind its length, and IPv4 as IPv4. Not ok is
// what is no range, and a range of /0.
func prefix(c v1alpha1.CIDR) (p netip.Prefix, ok bool) {
	p, err := netip.ParsePrefix(string(c))
	if err != nil {
		return p, false
	}
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-mappedBits))
	}
	return p.Masked(), p.Bits() > 0
}

// families splits ranges by IP family.
func families(all []netip.Prefix) (v4, v6 []netip.Prefix) {
	for _, p := range all {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return v4, v6
}

// ordered returns the ranges sorted, IPv4 first, each once.
func ordered(all []netip.Prefix) []netip.Prefix {
	all = slices.Clone(all)
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

func texts(all []netip.Prefix) []string {
	var out []string
	for _, p := range all {
		out = append(out, p.String())
	}
	return out
}

// Enforcer says what keeps unlisted addresses from the endpoint as its manifest
// has it.
func Enforcer(ep *v1alpha1.WebhookEndpoint) v1alpha1.Enforcer {
	ep = resolve.Filled(ep)
	switch {
	case ep.Spec.Sources.Mode == v1alpha1.SourceObserve:
		return v1alpha1.EnforcedByNone
	case policed(ep) && !proxied(ep) && ep.Spec.Exposure.ProxyProtocol != v1alpha1.ProxyProtocolRequired:
		return v1alpha1.EnforcedByNetworkPolicy
	}
	return v1alpha1.EnforcedByReceiver
}

// HidesClients reports whether the endpoint, as its manifest has it, refuses
// everybody until spec.sources.trustedProxies lists the proxy's pods, because every
// address is theirs.
func HidesClients(ep *v1alpha1.WebhookEndpoint) bool {
	ep = resolve.Filled(ep)
	return proxied(ep) && ep.Spec.Sources.Mode != v1alpha1.SourceObserve && len(ep.Spec.Sources.TrustedProxies) == 0
}

// NeedsIngressFrom reports whether the endpoint's NetworkPolicy, as its manifest
// has it, lets nobody to the webhook port until spec.networkPolicy.ingressFrom
// lists the proxy's pods.
func NeedsIngressFrom(ep *v1alpha1.WebhookEndpoint) bool {
	ep = resolve.Filled(ep)
	return policed(ep) && proxied(ep) && ep.Spec.Sources.Mode != v1alpha1.SourceObserve &&
		len(peersOf(ep.Spec.NetworkPolicy.IngressFrom)) == 0
}
