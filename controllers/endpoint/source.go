package endpoint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// unlistedFor is how long a valid signature from an unlisted address is a
// condition. Receivers forget it only when they restart.
const unlistedFor = time.Hour

// sighting is what receivers together have seen of the addresses of those that
// send.
type sighting struct {
	// used is whether a secret has matched, seen whether a listed or public address
	// was found since, and unlisted whether one was not listed.
	used, seen, unlisted bool
	// unknown is whether trusted proxies have sent requests without an address.
	unknown bool
	// hidden is the finding that says that addresses are not the clients'; empty:
	// there is none. via and addresses are of the receivers that found it.
	hidden, via string
	addresses   []string
	// omitted names the provider's regions that the endpoint leaves out and from which
	// verified requests come.
	omitted []string
	// passed is whether a NetworkPolicy that is to keep unlisted addresses out does not.
	passed bool
}

// hiding lists the findings that mean that addresses are not the clients', the one
// that says most first.
func hiding() []string {
	return []string{statusz.SourceNode, statusz.SourcePod, statusz.SourcePrivate, statusz.SourceSingle}
}

func (r *Reconciler) sighted(ep *v1alpha1.WebhookEndpoint, res *resolution, pages []*statusz.Endpoint) sighting {
	s := sighting{omitted: omitted(res, pages), passed: passed(ep, pages)}
	for _, p := range pages {
		s.used = s.used || slices.ContainsFunc(p.Secret.Entries, func(e statusz.Entry) bool { return e.LastUsed != nil })
		// A receiver of an older version has no finding, and lets nobody else in.
		older := p.Sources.Finding == "" && p.Sources.Mode != string(v1alpha1.SourceObserve)
		s.seen = s.seen || p.Sources.Finding == statusz.SourcePreserved || older && s.used
		at := p.Sources.LastUnlistedValid
		s.unlisted = s.unlisted || (at != nil && r.clock.Since(*at) < unlistedFor)
		s.unknown = s.unknown || p.Sources.Unknown > 0
	}
	for _, finding := range hiding() {
		for _, p := range pages {
			if p.Sources.Finding != finding || s.hidden != "" && s.hidden != finding {
				continue
			}
			s.hidden, s.via = finding, p.Sources.Via
			s.addresses = append(s.addresses, p.Sources.Addresses...)
		}
	}
	return s
}

// setSource sets SourcePreserved by what receivers have seen. After an hour without
// a verified request they have nothing to judge by: then what was found last stays,
// as long as the endpoint is the same.
func (r *Reconciler) setSource(ep *v1alpha1.WebhookEndpoint, res *resolution, pages []*statusz.Endpoint) {
	s := r.sighted(ep, res, pages)
	was := condition(ep, v1alpha1.ConditionSourcePreserved)
	status, reason, message := metav1.ConditionFalse, v1alpha1.ReasonSourceHidden, ""
	switch {
	case s.unlisted && len(s.omitted) > 0 && (s.hidden == "" || s.hidden == statusz.SourceSingle):
		reason = v1alpha1.ReasonUnlistedSender
		message = fmt.Sprintf("Verified requests come from addresses of the provider's that spec.regions leaves out; add there: %s", strings.Join(s.omitted, ", "))
	case s.hidden != "":
		message = fmt.Sprintf("Verified requests come from %s. %s", whose(&s), cure(ep, &s))
	case s.unlisted:
		reason = v1alpha1.ReasonUnlistedSender
		message = "In the last hour a valid signature came from an address that is not listed: either the provider has new addresses, " +
			"or a proxy hides the client's; then list the proxy in spec.sources.trustedProxies, or see that it preserves addresses"
	case s.seen:
		status, reason, message = metav1.ConditionTrue, v1alpha1.ReasonSourceSeen, "Verified requests come from listed addresses"
		if resolve.Filled(ep).Spec.Sources.Mode == v1alpha1.SourceObserve {
			message = "Verified requests come with the addresses of those that send"
		}
	case s.used && judged(was, ep.Generation):
		setCondition(ep, v1alpha1.ConditionSourcePreserved, was.Status, was.Reason, was.Message)
		return
	default:
		status, reason, message = metav1.ConditionUnknown, v1alpha1.ReasonNoTraffic, "No verified request has come yet"+unbelieved(ep)
	}
	if s.unknown {
		message += ". Some requests come through trusted proxies without a client address that can be read; in mode Enforce they are refused: see what those proxies send"
	}
	if s.passed {
		message += ". Requests from addresses that are not listed reach receivers, which refuse them, although the NetworkPolicy is there to keep them out: " +
			"see that the cluster's network plugin enforces NetworkPolicies. (For an hour after a change of ranges these may be connections from before it.)"
	}
	setCondition(ep, v1alpha1.ConditionSourcePreserved, status, reason, message)
}

// omitted names the regions that an endpoint leaves out and in which an address is
// from which a verified request came.
func omitted(res *resolution, pages []*statusz.Endpoint) []string {
	if res == nil || res.result == nil {
		return nil
	}
	var regions []string
	for _, rg := range res.result.Omitted {
		for _, p := range pages {
			if slices.ContainsFunc(p.Sources.Addresses, func(text string) bool {
				a, err := netip.ParseAddr(text)
				return err == nil && rg.CIDR.Contains(a.Unmap())
			}) {
				regions = append(regions, rg.Region)
			}
		}
	}
	slices.Sort(regions)
	return slices.Compact(regions)
}

// passed reports whether requests reach receivers that the endpoint's NetworkPolicy
// lets nobody send. Where it lets more in than receivers do, that cannot be told.
func passed(ep *v1alpha1.WebhookEndpoint, pages []*statusz.Endpoint) bool {
	n := resolve.Filled(ep).Spec.NetworkPolicy
	if desired.Enforcer(ep) != v1alpha1.EnforcedByNetworkPolicy || n != nil && len(n.IngressFrom)+len(n.HealthCheckRanges) > 0 {
		return false
	}
	return slices.ContainsFunc(pages, func(p *statusz.Endpoint) bool {
		return p.Sources.Mode == string(v1alpha1.SourceEnforce) && p.Sources.Via == statusz.SourceViaPeer && p.Sources.Unlisted > 0
	})
}

// unbelieved says that nobody will get in, as can be told before anybody has tried.
func unbelieved(ep *v1alpha1.WebhookEndpoint) string {
	if !desired.HidesClients(ep) {
		return ""
	}
	return ". All will be refused, because every address is the proxy's: list its pods' in spec.sources.trustedProxies"
}

// judged reports whether a condition holds what was found of this generation.
func judged(was *metav1.Condition, generation int64) bool {
	return was != nil && was.ObservedGeneration == generation && was.Status != metav1.ConditionUnknown && was.Reason != v1alpha1.ReasonUnlistedSender
}

// whose says whose the addresses seem to be.
func whose(s *sighting) string {
	switch s.hidden {
	case statusz.SourceNode:
		return "the address of a receiver's own node: something on the way passes them on without the client's"
	case statusz.SourcePod:
		return "the pods' network" + of(s) + ", so through a proxy in the cluster"
	case statusz.SourcePrivate:
		return "private addresses" + of(s) + ", so through a load balancer or another node"
	}
	return "one single address that is not listed" + of(s) + ": a new one of the provider's, which belongs into spec.sources.additionalRanges, or else that of a load balancer or relay"
}

// of names the ranges in a text.
func of(s *sighting) string {
	if at := ranges(s); at != "" {
		return " (" + at + ")"
	}
	return ""
}

// cure says what to do, which depends on what brings requests to the receivers. A
// proxy that is trusted already, and names such an address, sees no client itself.
func cure(ep *v1alpha1.WebhookEndpoint, s *sighting) string {
	trusted := s.via == statusz.SourceViaHeader || s.via == statusz.SourceViaProxyProtocol
	e := resolve.Filled(ep).Spec.Exposure
	switch e.Type {
	case v1alpha1.ExposureLoadBalancer:
		return cureLoadBalancer(ep, s, trusted)
	case v1alpha1.ExposureGateway, v1alpha1.ExposureIngress:
		return cureProxy(e, s, trusted)
	}
	if trusted {
		return "Your proxy, which spec.sources.trustedProxies lists, sees no client itself: have what is before it preserve addresses, or list that too"
	}
	return fmt.Sprintf("List your proxy's addresses%s in spec.sources.trustedProxies, and have it send X-Forwarded-For; if it passes on connections, "+
		"have it speak the PROXY protocol and set spec.exposure.proxyProtocol to Required", such(s))
}

func cureLoadBalancer(ep *v1alpha1.WebhookEndpoint, s *sighting, trusted bool) string {
	switch {
	case trusted:
		return "The load balancer, which spec.sources.trustedProxies lists, sees no client itself: have what is before it preserve addresses, or list that too"
	case s.hidden == statusz.SourceNode:
		return fmt.Sprintf("A request from inside the cluster to the public address comes so (hairpin): have it sent from outside. See that the network keeps client addresses with "+
			"externalTrafficPolicy Local of Service %q. A load balancer that hides clients must speak the PROXY protocol: "+
			"set spec.exposure.proxyProtocol to Required, and list its addresses in spec.sources.trustedProxies", desired.ReceiverName(ep.Name))
	}
	return fmt.Sprintf("Have the load balancer of Service %q preserve client addresses, as one that passes on packets does; or have it speak the PROXY protocol, "+
		"set spec.exposure.proxyProtocol to Required, and list its addresses%s in spec.sources.trustedProxies", desired.ReceiverName(ep.Name), such(s))
}

func cureProxy(e *v1alpha1.Exposure, s *sighting, trusted bool) string {
	var advice string
	if e.Ingress != nil && e.Ingress.Preset != "" {
		if p, err := desired.PresetOf(e.Ingress.Preset); err == nil {
			advice = ". " + strings.TrimSpace(p.TrustedProxies)
		}
	}
	if trusted {
		return "The proxy, which spec.sources.trustedProxies lists, sees no client itself: its own Service needs externalTrafficPolicy Local, " +
			"or the load balancer before it must speak the PROXY protocol to it" + advice
	}
	return fmt.Sprintf("List the addresses of the proxy's pods%s in spec.sources.trustedProxies, so that its X-Forwarded-For is believed%s", such(s), advice)
}

// such names the ranges as an example.
func such(s *sighting) string {
	if at := ranges(s); at != "" && s.hidden != statusz.SourceNode {
		return ", such as " + at + ","
	}
	return ""
}

const (
	// someRanges is how many ranges a message names.
	someRanges = 3
	// The sizes of a range around a private address: proxies come and go, and a
	// message must not with each of them.
	bits4, bits6 = 24, 64
)

// ranges names the ranges that the addresses are in; of a single public address,
// itself.
func ranges(s *sighting) string {
	var all []netip.Prefix
	for _, text := range s.addresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		a = a.Unmap().WithZone("")
		bits := a.BitLen()
		if s.hidden != statusz.SourceSingle {
			bits = bits6
			if a.Is4() {
				bits = bits4
			}
		}
		all = append(all, netip.PrefixFrom(a, bits).Masked())
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	all = slices.Compact(all)
	names := make([]string, 0, someRanges)
	for _, p := range all[:min(len(all), someRanges)] {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}
