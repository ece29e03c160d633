package desired_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

func samePrefix(a, b netip.Prefix) bool { return a == b }

// somePeers is a peer of each kind.
func somePeers() []v1alpha1.NetworkPeer {
	return []v1alpha1.NetworkPeer{
		{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "infra"}},
			PodSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"proxy", "relay"}}}}},
		{IPBlock: &v1alpha1.IPBlock{CIDR: "10.20.0.0/16", Except: []v1alpha1.CIDR{"10.20.9.0/24", "10.20.1.0/24"}}},
	}
}

// combination is one of all endpoints that differ in what a NetworkPolicy goes by.
type combination struct {
	exposure                              v1alpha1.ExposureType
	mode                                  v1alpha1.SourceMode
	egress                                v1alpha1.EgressMode
	ingressFrom, metricsFrom, healthCheck bool
}

func combinations() []combination {
	var all []combination
	for _, e := range []v1alpha1.ExposureType{v1alpha1.ExposureClusterIP, v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureGateway, v1alpha1.ExposureIngress} {
		for _, m := range []v1alpha1.SourceMode{v1alpha1.SourceEnforce, v1alpha1.SourceObserve} {
			for _, g := range []v1alpha1.EgressMode{v1alpha1.EgressOpen, v1alpha1.EgressSinks} {
				for i := range 8 {
					all = append(all, combination{e, m, g, i&4 != 0, i&2 != 0, i&1 != 0})
				}
			}
		}
	}
	return all
}

// file is the golden file of the combination, which it shares with seven others.
func (c combination) file() string {
	return strings.ToLower(fmt.Sprintf("networkpolicy-%s-%s-%s", c.exposure, c.mode, c.egress))
}

func (c combination) edit(ep *v1alpha1.WebhookEndpoint) {
	ep.Spec.Exposure.Type, ep.Spec.Exposure.Host = c.exposure, "hooks.example.com"
	ep.Spec.Sources.Mode = c.mode
	np := &v1alpha1.NetworkPolicy{Enabled: ptr.To(true), Egress: c.egress}
	if c.ingressFrom {
		np.IngressFrom = somePeers()
	}
	if c.metricsFrom {
		np.MetricsFrom = []v1alpha1.NetworkPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "prometheus"}}}}
	}
	if c.healthCheck {
		np.HealthCheckRanges = []v1alpha1.CIDR{"192.0.2.64/26", "2001:db8:2::/64", "198.51.100.0/25"} // the last sends too
	}
	ep.Spec.NetworkPolicy = np
	ep.Spec.Sinks = append(ep.Spec.Sinks, httpSink("far", "https://hooks.example.org/in"), httpSink("fixed", "http://10.1.2.3:8443/in"))
}

func (c combination) build(t testing.TB) []desired.Object {
	ep := endpoint()
	c.edit(ep)
	return objects(t, ep, inputs(t, ep))
}

func policy(t testing.TB, all []desired.Object) *networkingv1.NetworkPolicy {
	t.Helper()
	o := object(t, all, "NetworkPolicy")
	if o == nil {
		t.Fatal("there is no NetworkPolicy")
	}
	return typed[networkingv1.NetworkPolicy](t, o)
}

// TestNetworkPolicies has every combination of exposure, mode, egress and peers
// in a golden file, a line for each rule.
func TestNetworkPolicies(t *testing.T) {
	docs := map[string][]string{}
	for _, c := range combinations() {
		o := object(t, c.build(t), "NetworkPolicy")
		spec := o["spec"].(map[string]any)
		docs[c.file()] = append(docs[c.file()], fmt.Sprintf(
			"# ingressFrom: %s, metricsFrom: %s, healthCheckRanges: %s\npodSelector: %s\npolicyTypes: %s\ningress:\n%segress:\n%s",
			some(c.ingressFrom), some(c.metricsFrom), some(c.healthCheck),
			line(t, spec["podSelector"]), line(t, spec["policyTypes"]), lines(t, spec["ingress"]), lines(t, spec["egress"])))
	}
	if len(docs) != 16 {
		t.Fatalf("there are %d files, want 16", len(docs))
	}
	for file, all := range docs {
		t.Run(file, func(t *testing.T) {
			if len(all) != 8 {
				t.Fatalf("there are %d combinations, want 8", len(all))
			}
			for _, doc := range all { // that it is YAML, and a policy
				typed[networkingv1.NetworkPolicySpec](t, rawYAML(t, doc))
			}
			golden(t, file, strings.Join(all, "---\n"))
		})
	}
}

func some(yes bool) string {
	if yes {
		return "some"
	}
	return "none"
}

// line writes a value as JSON, which is YAML too.
func line(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func lines(t *testing.T, list any) string {
	var out strings.Builder
	for _, v := range list.([]any) {
		fmt.Fprintf(&out, "- %s\n", line(t, v))
	}
	return out.String()
}

// rulesFor returns the ingress rules that hold for a port.
func rulesFor(np *networkingv1.NetworkPolicy, port int) []networkingv1.NetworkPolicyIngressRule {
	var out []networkingv1.NetworkPolicyIngressRule
	for _, r := range np.Spec.Ingress {
		if len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port == nil || p.Port.IntValue() == port }) {
			out = append(out, r)
		}
	}
	return out
}

// open reports whether a rule lets everybody in.
func open(r networkingv1.NetworkPolicyIngressRule) bool {
	return len(r.From) == 0 || slices.ContainsFunc(r.From, func(p networkingv1.NetworkPolicyPeer) bool {
		return p.IPBlock == nil && p.NamespaceSelector == nil && p.PodSelector == nil || p.IPBlock != nil && strings.HasSuffix(p.IPBlock.CIDR, "/0")
	})
}

// TestClosed holds, for every combination, who can reach which port at most.
func TestClosed(t *testing.T) {
	for _, c := range combinations() {
		all := c.build(t)
		np := policy(t, all)
		for _, o := range all {
			checkCanonical(t, o)
		}
		for _, r := range np.Spec.Ingress {
			if len(r.Ports) != 1 {
				t.Errorf("%+v: a rule for %d ports", c, len(r.Ports))
			}
		}
		for _, port := range []int{desired.TelemetryPort, desired.InternalPort} {
			if rules := rulesFor(np, port); len(rules) != 1 || open(rules[0]) {
				t.Errorf("%+v: port %d has the rules %v", c, port, rules)
			}
		}
		webhooks := rulesFor(np, desired.WebhookPort)
		proxied := c.exposure == v1alpha1.ExposureGateway || c.exposure == v1alpha1.ExposureIngress
		switch {
		case c.mode == v1alpha1.SourceObserve:
			if len(webhooks) != 1 || len(webhooks[0].From) != 0 {
				t.Errorf("%+v: nothing is enforced, and webhooks have the rules %v", c, webhooks)
			}
		case proxied && !c.ingressFrom:
			if len(webhooks) != 0 {
				t.Errorf("%+v: nobody is named, and webhooks have the rules %v", c, webhooks)
			}
		case len(webhooks) != 1 || open(webhooks[0]):
			t.Errorf("%+v: webhooks have the rules %v", c, webhooks)
		}
		svc := typed[corev1.Service](t, object(t, all, "Service")).Spec
		if want := c.exposure == v1alpha1.ExposureLoadBalancer && c.mode == v1alpha1.SourceEnforce; want != (len(svc.LoadBalancerSourceRanges) > 0) {
			t.Errorf("%+v: the load balancer's ranges are %v", c, svc.LoadBalancerSourceRanges)
		}
	}
}

// TestNobody holds that peers who come to nothing let nobody in, instead of
// everybody.
func TestNobody(t *testing.T) {
	for name, peer := range map[string]v1alpha1.NetworkPeer{
		"empty":                 {},
		"no range":              {IPBlock: &v1alpha1.IPBlock{CIDR: "everybody"}},
		"everybody":             {IPBlock: &v1alpha1.IPBlock{CIDR: "0.0.0.0/0"}},
		"everybody, mapped":     {IPBlock: &v1alpha1.IPBlock{CIDR: "::ffff:0.0.0.0/96"}},
		"all excepted":          {IPBlock: &v1alpha1.IPBlock{CIDR: "10.0.0.0/8", Except: []v1alpha1.CIDR{"10.0.0.0/8"}}},
		"more than excepted":    {IPBlock: &v1alpha1.IPBlock{CIDR: "10.1.0.0/16", Except: []v1alpha1.CIDR{"10.0.0.0/8"}}},
		"exception is no range": {IPBlock: &v1alpha1.IPBlock{CIDR: "10.1.0.0/16", Except: []v1alpha1.CIDR{"some"}}},
	} {
		t.Run(name, func(t *testing.T) {
			ep := endpoint()
			ep.Spec.Exposure.Type = v1alpha1.ExposureGateway
			ep.Spec.NetworkPolicy.IngressFrom = []v1alpha1.NetworkPeer{peer}
			ep.Spec.NetworkPolicy.MetricsFrom = []v1alpha1.NetworkPeer{peer}
			in := inputs(t, ep)
			in.Operator = desired.Operator{}
			np := policy(t, objects(t, ep, in))
			if len(rulesFor(np, desired.WebhookPort))+len(rulesFor(np, desired.TelemetryPort)) != 0 || !desired.NeedsIngressFrom(ep) {
				t.Errorf("the rules are %v", np.Spec.Ingress)
			}
		})
	}
}

// TestPeers holds that ranges are written as the API server wants them.
func TestPeers(t *testing.T) {
	ep := endpoint()
	ep.Spec.NetworkPolicy.HealthCheckRanges = []v1alpha1.CIDR{"35.191.1.2/16", "::ffff:35.191.0.0/112", "2001:DB8::1/64", "0.0.0.0/0"}
	ep.Spec.NetworkPolicy.IngressFrom = []v1alpha1.NetworkPeer{
		{IPBlock: &v1alpha1.IPBlock{CIDR: "10.1.2.3/8", Except: []v1alpha1.CIDR{"10.9.0.1/16", "192.0.2.0/24", "10.2.0.0/16"}}},
	}
	var got []string
	for _, p := range rulesFor(policy(t, objects(t, ep, inputs(t, ep))), desired.WebhookPort)[0].From {
		got = append(got, strings.Join(append([]string{p.IPBlock.CIDR}, p.IPBlock.Except...), " "))
	}
	want := []string{"35.191.0.0/16", "192.0.2.0/28", "198.51.100.0/25", "203.0.113.9/32", "2001:db8::/64", "2001:db8:1::/48", "10.0.0.0/8 10.2.0.0/16 10.9.0.0/16"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
}

// TestRegions holds which ranges are let in.
func TestRegions(t *testing.T) {
	for name, tt := range map[string]struct {
		regions []string
		want    []string
	}{
		"one": {[]string{"west"}, []string{"198.51.100.0/25", "2001:db8:1::/48"}},
		"all": {nil, []string{"192.0.2.0/28", "198.51.100.0/25", "203.0.113.9/32", "2001:db8:1::/48"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = tt.regions }})
			for _, p := range rulesFor(policy(t, all), desired.WebhookPort)[0].From {
				got = append(got, p.IPBlock.CIDR)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoadBalancerRanges holds that a Service gets the ranges of its families,
// and never none while ranges are enforced.
func TestLoadBalancerRanges(t *testing.T) {
	v4, v6 := []string{"192.0.2.0/28", "198.51.100.0/25", "203.0.113.9/32"}, []string{"2001:db8:1::/48"}
	both := append(slices.Clone(v4), v6...)
	for name, tt := range map[string]struct {
		families     []string
		regions      []string
		own, proxies []v1alpha1.CIDR
		want         []string
	}{
		"unknown":        {want: both},
		"IPv4":           {families: []string{"IPv4"}, want: v4},
		"IPv6":           {families: []string{"IPv6"}, want: v6},
		"both":           {families: []string{"IPv6", "IPv4"}, want: both},
		"something else": {families: []string{"IPv8"}, want: both},
		"none of it":     {families: []string{"IPv6"}, regions: []string{"east"}, want: []string{"192.0.2.0/28", "203.0.113.9/32"}},
		"own":            {families: []string{"IPv6"}, own: []v1alpha1.CIDR{"2001:db8:3::/48", "10.0.0.0/8"}, want: append(slices.Clone(v6), "2001:db8:3::/48")},
		"proxies":        {families: []string{"IPv4"}, proxies: []v1alpha1.CIDR{"10.20.0.0/24", "2001:db8:4::/48"}, want: append([]string{"10.20.0.0/24"}, v4...)},
	} {
		t.Run(name, func(t *testing.T) {
			all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) {
				ep.Spec.Exposure.Type = v1alpha1.ExposureLoadBalancer
				ep.Spec.Regions, ep.Spec.Sources.AdditionalRanges, ep.Spec.Sources.TrustedProxies = tt.regions, tt.own, tt.proxies
			}, in: func(in *desired.Inputs) { in.ServiceFamilies = tt.families }})
			if diff := cmp.Diff(tt.want, typed[corev1.Service](t, object(t, all, "Service")).Spec.LoadBalancerSourceRanges); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLastGood holds that objects go by the configuration that receivers have,
// and not by a manifest that could not be resolved.
func TestLastGood(t *testing.T) {
	ep := endpoint()
	in := inputs(t, ep)
	ep.Spec.Sources.Mode = v1alpha1.SourceObserve
	ep.Spec.Exposure.Type = v1alpha1.ExposureLoadBalancer
	ep.Spec.SecretRef.Name = "other"
	all := objects(t, ep, in)
	if rules := rulesFor(policy(t, all), desired.WebhookPort); len(rules) != 1 || open(rules[0]) {
		t.Errorf("webhooks have the rules %v", rules)
	}
	if ranges := typed[corev1.Service](t, object(t, all, "Service")).Spec.LoadBalancerSourceRanges; len(ranges) == 0 {
		t.Error("the load balancer is open")
	}
	if text := line(t, object(t, all, "Deployment")); strings.Contains(text, `"other"`) || !strings.Contains(text, `"signing"`) {
		t.Error("the pods mount a Secret that the configuration does not name")
	}
}

func TestEnforcer(t *testing.T) {
	for _, c := range combinations() {
		ep := endpoint()
		c.edit(ep)
		proxied := c.exposure == v1alpha1.ExposureGateway || c.exposure == v1alpha1.ExposureIngress
		for _, enabled := range []bool{true, false} {
			ep.Spec.NetworkPolicy.Enabled = ptr.To(enabled)
			want := v1alpha1.EnforcedByReceiver
			if c.mode == v1alpha1.SourceObserve {
				want = v1alpha1.EnforcedByNone
			} else if enabled && !proxied {
				want = v1alpha1.EnforcedByNetworkPolicy
			}
			if got := desired.Enforcer(ep); got != want {
				t.Errorf("%+v, enabled %v: enforced by %s, want %s", c, enabled, got, want)
			}
			needs := enabled && proxied && c.mode == v1alpha1.SourceEnforce && !c.ingressFrom
			if got := desired.NeedsIngressFrom(ep); got != needs {
				t.Errorf("%+v, enabled %v: needs ingressFrom is %v, want %v", c, enabled, got, needs)
			}
		}
	}
	bare := &v1alpha1.WebhookEndpoint{}
	if got := desired.Enforcer(bare); got != v1alpha1.EnforcedByNetworkPolicy || desired.NeedsIngressFrom(bare) {
		t.Errorf("an endpoint without settings is enforced by %s", got)
	}
}

// TestProxyProtocolPeers holds that what says who the client is gets to say it, and
// that the receiver then is the one that keeps unlisted addresses out.
func TestProxyProtocolPeers(t *testing.T) {
	s := shapes["loadbalancer-tls"]
	ep := endpoint()
	s.ep(ep)
	if got := desired.Enforcer(ep); got != v1alpha1.EnforcedByReceiver {
		t.Errorf("the allowlist is enforced by %s", got)
	}
	for protocol, want := range map[v1alpha1.ProxyProtocol]bool{v1alpha1.ProxyProtocolRequired: true, v1alpha1.ProxyProtocolNone: false} {
		all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) { s.ep(ep); ep.Spec.Exposure.ProxyProtocol = protocol }})
		got := false
		for _, r := range rulesFor(policy(t, all), desired.WebhookPort) {
			got = got || slices.ContainsFunc(r.From, func(p networkingv1.NetworkPolicyPeer) bool {
				return p.IPBlock != nil && p.IPBlock.CIDR == "10.20.0.0/24"
			})
		}
		if got != want {
			t.Errorf("with proxyProtocol %s the trusted proxy is let in: %t", protocol, got)
		}
	}
}
