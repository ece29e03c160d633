package desired_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

func rawYAML(t testing.TB, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// toSinks returns what an endpoint needs that may only reach these sinks.
func toSinks(t testing.TB, urls ...string) ([]desired.Object, error) {
	t.Helper()
	ep := endpoint()
	ep.Spec.NetworkPolicy.Egress = v1alpha1.EgressSinks
	in := inputs(t, ep)
	in.Config.Sinks = nil
	for i, u := range urls {
		in.Config.Sinks = append(in.Config.Sinks, config.Sink{Name: fmt.Sprint(i), HTTP: &config.HTTPSink{URL: u}})
	}
	return desired.Objects(ep, in)
}

// brief writes an egress rule as ports > peers.
func brief(r networkingv1.NetworkPolicyEgressRule) string {
	var ports, peers []string
	for _, p := range r.Ports {
		s := string(*p.Protocol)
		if p.Port != nil {
			s += ":" + p.Port.String()
		}
		ports = append(ports, s)
	}
	for _, p := range r.To {
		switch {
		case p.IPBlock != nil && len(p.IPBlock.Except) > 0:
			peers = append(peers, p.IPBlock.CIDR+" but some")
		case p.IPBlock != nil:
			peers = append(peers, p.IPBlock.CIDR)
		case p.NamespaceSelector != nil:
			peers = append(peers, "namespace "+p.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
		default:
			peers = append(peers, "sisters")
		}
	}
	return strings.Join(ports, " ") + " > " + strings.Join(peers, ", ")
}

func TestEgressToSinks(t *testing.T) {
	const anywhere = "0.0.0.0/0 but some, 2000::/3"
	for name, tt := range map[string]struct {
		urls []string
		want []string
	}{
		"no http sink":             {nil, nil},
		"Service":                  {[]string{"http://app.shop.svc:8080/hooks"}, []string{"TCP > namespace shop"}},
		"Service of a domain":      {[]string{"http://app.back.svc.cluster.local"}, []string{"TCP > namespace back"}},
		"with a dot at its end":    {[]string{"http://app.back.svc.cluster.local./"}, []string{"TCP > namespace back"}},
		"in capitals":              {[]string{"http://App.Back.SVC/"}, []string{"TCP > namespace back"}},
		"pod of a Service":         {[]string{"http://app-0.app.back.svc"}, []string{"TCP > namespace back"}},
		"pod of a Service, domain": {[]string{"http://app-0.app.back.svc.cluster.local"}, []string{"TCP > namespace back"}},
		"one label":                {[]string{"http://app"}, []string{"TCP > namespace shop"}},
		"two labels may be either": {[]string{"https://app.back"}, []string{"TCP > namespace back", "TCP:443 > " + anywhere}},
		"public":                   {[]string{"https://hooks.example.org/in"}, []string{"TCP:443 > " + anywhere}},
		"public, plain":            {[]string{"http://hooks.example.org/in"}, []string{"TCP:80 > " + anywhere}},
		"public, port":             {[]string{"https://hooks.example.org:8443/in"}, []string{"TCP:8443 > " + anywhere}},
		"IPv4":                     {[]string{"http://10.1.2.3:81/"}, []string{"TCP:81 > 10.1.2.3/32"}},
		"IPv6":                     {[]string{"https://[2001:db8::7]/"}, []string{"TCP:443 > 2001:db8::7/128"}},
		"IPv4 as IPv6":             {[]string{"http://[::ffff:10.1.2.3]/"}, []string{"TCP:80 > 10.1.2.3/32"}},
		"metadata":                 {[]string{"http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://[fe80::1]/"}, nil},
		"loopback":                 {[]string{"http://127.0.0.1/", "http://[::1]/", "http://0.0.0.0/"}, nil},
		"port that is none":        {[]string{"http://10.1.2.3:0/", "http://10.1.2.3:65536/"}, nil},
		"no URL":                   {[]string{"http://[oops", "://", ""}, nil},
		"namespace that cannot be": {[]string{"http://app.no_such.svc"}, nil},
		"each once, and in an order": {
			[]string{"https://b.example.org", "http://app.zoo.svc", "https://a.example.org", "http://10.0.0.9", "http://app.back.svc", "http://10.0.0.10", "http://api.back.svc", "http://c.example.org"},
			[]string{"TCP > namespace back, namespace zoo", "TCP:80 > 10.0.0.9/32", "TCP:80 > 10.0.0.10/32", "TCP:80 TCP:443 > " + anywhere}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := toSinks(t, tt.urls...)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range policy(t, all).Spec.Egress {
				got = append(got, brief(r))
			}
			want := append([]string{"UDP:53 TCP:53 > ", "TCP:8082 > sisters"}, tt.want...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEgressToResponders holds that what answers a hook can be reached.
func TestEgressToResponders(t *testing.T) {
	all := build(t, shapes["responders"])
	var got []string
	for _, r := range policy(t, all).Spec.Egress {
		got = append(got, brief(r))
	}
	want := []string{"UDP:53 TCP:53 > ", "TCP:8082 > sisters", "TCP > namespace shop", "TCP:443 > 0.0.0.0/0 but some, 2000::/3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// FuzzEgress holds that no URL opens everything, or opens what is never dialled.
func FuzzEgress(f *testing.F) {
	for _, u := range []string{
		"http://app.shop.svc/hooks", "https://hooks.example.org:8443/in", "http://10.1.2.3", "http://[fe80::1%25eth0]:80/",
		"http://app", "http://a.b", "http://.", "http://..svc", "http://a.%62.svc", "http://169.254.169.254", "http://[::ffff:a9fe:a9fe]/", "\x7f", "\u0085", "\ufeff\uffff", "http://x:99999",
	} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, u string) {
		all, err := toSinks(t, u)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range policy(t, all).Spec.Egress[2:] { // behind DNS and sisters
			if len(r.To) == 0 || len(r.Ports) == 0 {
				t.Errorf("%q opens %s", u, brief(r))
			}
			for _, p := range r.To {
				checkTarget(t, u, p)
			}
		}
	})
}

func checkTarget(t *testing.T, u string, p networkingv1.NetworkPolicyPeer) {
	if p.NamespaceSelector != nil {
		if name := p.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]; len(validation.IsDNS1123Label(name)) > 0 {
			t.Errorf("%q opens namespace %q, which cannot be", u, name)
		}
		return
	}
	cidr := netip.MustParsePrefix(p.IPBlock.CIDR)
	metadata := netip.MustParseAddr("169.254.169.254")
	excepted := slices.ContainsFunc(p.IPBlock.Except, func(e string) bool { return netip.MustParsePrefix(e).Contains(metadata) })
	if cidr.Contains(metadata) && !excepted || cidr.Addr().IsLoopback() {
		t.Errorf("%q opens %s", u, cidr)
	}
}

// TestEgressOpen holds that metadata services stay closed when all else is open.
func TestEgressOpen(t *testing.T) {
	closed := []string{"169.254.169.254", "169.254.170.2", "fe80::1", "fd00:ec2::254"}
	for _, r := range policy(t, build(t, shape{})).Spec.Egress {
		for _, p := range r.To {
			if p.IPBlock == nil {
				continue
			}
			for _, a := range closed {
				in := func(c string) bool { return netip.MustParsePrefix(c).Contains(netip.MustParseAddr(a)) }
				if in(p.IPBlock.CIDR) && !slices.ContainsFunc(p.IPBlock.Except, in) {
					t.Errorf("%s is open by %s", a, brief(r))
				}
			}
		}
	}
}
