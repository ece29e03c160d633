package desired

import (
	"cmp"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

type egressAC = networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration

const (
	dnsPort = 53
	// nodeDNS is where a node's DNS cache listens by convention: inside a range that
	// is closed otherwise.
	nodeDNS = "169.254.20.10/32"
)

// The ports of URLs that name none.
const (
	httpPort  = 80
	httpsPort = 443
)

func everywhere4() netip.Prefix { return netip.MustParsePrefix("0.0.0.0/0") }
func everywhere6() netip.Prefix { return netip.MustParsePrefix("::/0") }

// local are the addresses at which machines and clouds tell secrets to whoever
// asks from inside.
func local() (v4, v6 []netip.Prefix) {
	return families(prefixes("169.254.0.0/16", "fd00:ec2::254/128", "fe80::/10"))
}

// private are the IPv4 addresses that are nobody's on the internet. In IPv6 it is
// easier to say which are somebody's: see public.
func private() []netip.Prefix {
	return prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
}

// public are all addresses on the internet.
func public() []*peerAC {
	return []*peerAC{block(everywhere4(), private()...), block(netip.MustParsePrefix("2000::/3"))}
}

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// egress says whom receivers may reach.
func (b *builder) egress() []*egressAC {
	if b.ep.Spec.NetworkPolicy.Egress == v1alpha1.EgressSinks {
		return b.egressToSinks()
	}
	v4, v6 := local()
	return []*egressAC{
		// Some network plugins count no pod among the addresses of a range, so that
		// pods are named too.
		egressRule(nil,
			block(everywhere4(), v4...), block(everywhere6(), v6...),
			networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(matching(nil))),
		egressRule(dns(), block(netip.MustParsePrefix(nodeDNS))),
	}
}

// egressRule lets to some ports of some peers; no ports are all of them, and no
// peers everybody.
func egressRule(ports []*portAC, peers ...*peerAC) *egressAC {
	return networkingv1ac.NetworkPolicyEgressRule().WithPorts(ports...).WithTo(peers...)
}

// dns is the ports of DNS, wherever it is: clusters have it as pods, on their
// nodes, or outside.
func dns() []*portAC {
	udp := networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolUDP).WithPort(intstr.FromInt32(dnsPort))
	return []*portAC{udp, tcp(dnsPort)}
}

// anyTCP is every port of TCP: a Service's port need not be its pods' port, which
// is the one that a policy sees.
func anyTCP() []*portAC {
	return []*portAC{networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP)}
}

// address is one address and port.
type address struct {
	addr netip.Addr
	port int32
}

// targets is where the sinks and responders are, as far as their URLs tell.
type targets struct {
	namespaces  map[string]bool
	publicPorts map[int32]bool
	addresses   map[address]bool
}

func (b *builder) egressToSinks() []*egressAC {
	rules := []*egressAC{
		egressRule(dns()),
		egressRule([]*portAC{tcp(InternalPort)}, b.sisters()...),
	}
	t := b.targets()
	if len(t.namespaces) > 0 {
		var peers []*peerAC
		for _, ns := range slices.Sorted(maps.Keys(t.namespaces)) {
			peers = append(peers, namespacePeer(ns))
		}
		rules = append(rules, egressRule(anyTCP(), peers...))
	}
	for _, a := range slices.SortedFunc(maps.Keys(t.addresses), address.compare) {
		rules = append(rules, egressRule([]*portAC{tcp(a.port)}, block(netip.PrefixFrom(a.addr, a.addr.BitLen()))))
	}
	if len(t.publicPorts) > 0 {
		var ports []*portAC
		for _, p := range slices.Sorted(maps.Keys(t.publicPorts)) {
			ports = append(ports, tcp(p))
		}
		rules = append(rules, egressRule(ports, public()...))
	}
	return rules
}

func (a address) compare(other address) int {
	return cmp.Or(a.addr.Compare(other.addr), cmp.Compare(a.port, other.port))
}

func (b *builder) targets() targets {
	t := targets{map[string]bool{}, map[int32]bool{}, map[address]bool{}}
	for _, s := range b.in.Config.Posted() {
		t.add(s.URL, b.ep.Namespace)
	}
	return t
}

// add opens the way to a URL. What cannot be dialled opens nothing.
func (t *targets) add(raw, ownNamespace string) {
	u, err := url.Parse(raw)
	if err != nil {
		return
	}
	port, ok := portOf(u)
	if !ok {
		return
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if a := addr.Unmap().WithZone(""); dialled(a) {
			t.addresses[address{a, port}] = true
		}
		return
	}
	namespaces, outside := whereIs(u.Hostname(), ownNamespace)
	for _, ns := range namespaces {
		if len(validation.IsDNS1123Label(ns)) == 0 { // there is no other namespace
			t.namespaces[ns] = true
		}
	}
	if outside {
		t.publicPorts[port] = true
	}
}

func portOf(u *url.URL) (int32, bool) {
	if u.Port() == "" {
		if u.Scheme == "https" {
			return httpsPort, true
		}
		return httpPort, true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return int32(n), err == nil && n > 0
}

// dialled reports whether receivers dial an address at all: never this machine,
// nor what is local to the link, metadata services among it.
func dialled(a netip.Addr) bool {
	_, v6 := local()
	return !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(v6, func(p netip.Prefix) bool { return p.Contains(a) })
}

// whereIs says in which namespaces a host may be, and whether it may be on the
// internet, as a pod resolves names: svc; svc.namespace; svc.namespace.svc, with
// or without the cluster's domain, and the same with a pod's name before it.
// Two labels may be either, so that both are opened.
func whereIs(host, ownNamespace string) (namespaces []string, outside bool) {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	switch {
	case slices.Contains(labels, ""):
		return nil, false
	case len(labels) == 1:
		return []string{ownNamespace}, false
	case len(labels) == 2:
		return labels[1:], true
	}
	for _, at := range []int{2, 3} {
		if len(labels) > at && labels[at] == "svc" {
			namespaces = append(namespaces, labels[at-1])
		}
	}
	return namespaces, len(namespaces) == 0
}
