package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A pod is one that has an address of its own.
type pod struct {
	*corev1.Pod
	address netip.Addr
}

// A view is what the API server knows at one moment.
type view struct {
	pods       []pod // as living returns them
	namespaces map[string]labels.Set
	policies   []*networkingv1.NetworkPolicy
}

// living returns the pods that can send or be sent to, sorted by their names. If two
// have the same address, the newer one has it now.
func living(all []*corev1.Pod) []pod {
	byAddress := map[netip.Addr]pod{}
	for _, p := range all {
		a, err := netip.ParseAddr(p.Status.PodIP)
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if err != nil || !a.Is4() || p.Spec.HostNetwork || ended {
			continue
		}
		if other, ok := byAddress[a]; !ok || other.CreationTimestamp.Before(&p.CreationTimestamp) {
			byAddress[a] = pod{p, a}
		}
	}
	var pods []pod
	for _, p := range byAddress {
		pods = append(pods, p)
	}
	slices.SortFunc(pods, func(a, b pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

// A match is true of a connection if all of its parts are.
type match struct {
	peers  []netip.Prefix // what has the address of the other side; nil: any has
	except []netip.Prefix // has it not
	port   port
}

// A port is a range of them; the zero one is all of any protocol.
type port struct {
	protocol    string // as nft writes it
	first, last int32  // 0, 0: all of the protocol
}

// A gate is what lets connections to a pod or from it. It stands only where some
// policy applies; one without matches lets nothing through.
type gate struct {
	pod     pod
	matches []match
}

// ingress returns the gates before pods: what any of a pod's policies lets through.
func (v view) ingress() []gate {
	return v.gates(networkingv1.PolicyTypeIngress, func(np *networkingv1.NetworkPolicy, p pod) []match {
		var all []match
		for _, r := range np.Spec.Ingress {
			for _, to := range numbered(r.Ports, p) {
				all = append(all, v.allow(np.Namespace, r.From, to)...)
			}
		}
		return all
	})
}

// egress returns the gates behind pods. A port that is named there is that of the
// pod at the other side.
func (v view) egress() []gate {
	return v.gates(networkingv1.PolicyTypeEgress, func(np *networkingv1.NetworkPolicy, _ pod) []match {
		var all []match
		for _, r := range np.Spec.Egress {
			for _, to := range numbered(r.Ports, pod{}) {
				all = append(all, v.allow(np.Namespace, r.To, to)...)
			}
			all = append(all, v.allowNamed(np.Namespace, r)...)
		}
		return all
	})
}

func (v view) gates(kind networkingv1.PolicyType, matches func(*networkingv1.NetworkPolicy, pod) []match) []gate {
	var all []gate
	for _, p := range v.pods {
		g, stands := gate{pod: p}, false
		for _, np := range v.policies {
			if np.Namespace == p.Namespace && slices.Contains(kinds(np), kind) && selects(&np.Spec.PodSelector, p.Labels) {
				stands = true
				g.matches = append(g.matches, matches(np, p)...)
			}
		}
		if stands {
			all = append(all, g)
		}
	}
	return all
}

// kinds returns what a policy is about, as the API server fills it in.
func kinds(np *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	if len(np.Spec.PolicyTypes) > 0 {
		return np.Spec.PolicyTypes
	}
	all := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(np.Spec.Egress) > 0 {
		all = append(all, networkingv1.PolicyTypeEgress)
	}
	return all
}

func selects(s *metav1.LabelSelector, set labels.Set) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(set)
}

// allow returns what lets peers use a port. No peers are everybody.
func (v view) allow(namespace string, peers []networkingv1.NetworkPolicyPeer, to port) []match {
	if len(peers) == 0 {
		return []match{{port: to}}
	}
	var all []match
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if cidrs := prefixes(peer.IPBlock.CIDR); len(cidrs) > 0 {
				all = append(all, match{cidrs, prefixes(peer.IPBlock.Except...), to})
			}
			continue
		}
		var addresses []netip.Prefix
		for _, p := range v.pods {
			if v.is(p, namespace, peer) {
				addresses = append(addresses, netip.PrefixFrom(p.address, 32))
			}
		}
		if len(addresses) > 0 { // or else it is nobody
			all = append(all, match{peers: addresses, port: to})
		}
	}
	return all
}

// is reports whether selectors in a policy of namespace mean p.
func (v view) is(p pod, namespace string, peer networkingv1.NetworkPolicyPeer) bool {
	switch {
	case peer.NamespaceSelector != nil:
		if !selects(peer.NamespaceSelector, v.namespaces[p.Namespace]) {
			return false
		}
	case p.Namespace != namespace:
		return false
	}
	return peer.PodSelector == nil || selects(peer.PodSelector, p.Labels)
}

// allowNamed returns what lets through to those ports of a rule that have names.
// Blocks of addresses have no such ports.
func (v view) allowNamed(namespace string, r networkingv1.NetworkPolicyEgressRule) []match {
	var named []networkingv1.NetworkPolicyPort
	for _, np := range r.Ports {
		if np.Port != nil && np.Port.Type == intstr.String {
			named = append(named, np)
		}
	}
	if len(named) == 0 {
		return nil
	}
	var all []match
	for _, p := range v.pods {
		meant := len(r.To) == 0 || slices.ContainsFunc(r.To, func(peer networkingv1.NetworkPolicyPeer) bool {
			return peer.IPBlock == nil && v.is(p, namespace, peer)
		})
		if !meant {
			continue
		}
		for _, to := range numbered(named, p) {
			all = append(all, match{peers: []netip.Prefix{netip.PrefixFrom(p.address, 32)}, port: to})
		}
	}
	return all
}

// numbered returns the ports of a rule: those with names as target has them. No
// ports are all.
func numbered(ports []networkingv1.NetworkPolicyPort, target pod) []port {
	if len(ports) == 0 {
		return []port{{}}
	}
	var all []port
	for _, np := range ports {
		protocol := corev1.ProtocolTCP
		if np.Protocol != nil {
			protocol = *np.Protocol
		}
		to := port{protocol: strings.ToLower(string(protocol))}
		switch {
		case np.Port == nil:
			all = append(all, to)
		case np.Port.Type == intstr.String:
			all = append(all, target.named(np.Port.StrVal, protocol)...)
		default:
			to.first, to.last = np.Port.IntVal, np.Port.IntVal
			if np.EndPort != nil {
				to.last = *np.EndPort
			}
			all = append(all, to)
		}
	}
	return all
}

// named returns the ports of a pod that have a name. One pod may have several, in
// several containers.
func (p pod) named(name string, protocol corev1.Protocol) []port {
	if p.Pod == nil {
		return nil
	}
	var all []port
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) { // of the first, sidecars have ports
		for _, cp := range c.Ports {
			if cp.Name == name && cmp.Or(cp.Protocol, corev1.ProtocolTCP) == protocol {
				all = append(all, port{strings.ToLower(string(protocol)), cp.ContainerPort, cp.ContainerPort})
			}
		}
	}
	return all
}

// prefixes returns the IPv4 ones of CIDRs, sorted, without those that are within
// others: nft takes no sets of ranges that overlap.
func prefixes(cidrs ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range cidrs {
		if p, err := netip.ParsePrefix(c); err == nil && p.Addr().Is4() {
			all = append(all, p.Masked())
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	var apart []netip.Prefix
	for _, p := range all { // one that holds others is sorted before them
		if n := len(apart); n == 0 || !apart[n-1].Overlaps(p) {
			apart = append(apart, p)
		}
	}
	return apart
}
