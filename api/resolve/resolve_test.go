package resolve_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// now is a moment within the first of the overlapping ranges of profile.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// endpoint returns a minimal endpoint with the CRD's defaults.
func endpoint() *v1alpha1.WebhookEndpoint {
	return &v1alpha1.WebhookEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat", Generation: 3},
		Spec: v1alpha1.WebhookEndpointSpec{
			Provider:  "acme",
			SecretRef: v1alpha1.SecretReference{Name: "signing", Keys: []string{"current"}},
			Sources:   &v1alpha1.Sources{Mode: v1alpha1.SourceEnforce},
			Sinks: []v1alpha1.Sink{{
				Name: "app",
				HTTP: &v1alpha1.HTTPSink{
					URL:         "http://app.shop.svc/hooks",
					CASecretRef: &v1alpha1.SecretKeyReference{Name: "ca", Key: "ca.crt"},
					Headers: []v1alpha1.SinkHeader{
						{Name: "X-Team", Value: "orders"},
						{Name: "Authorization", ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "app", Key: "token"}}},
					},
				},
				Delivery: &v1alpha1.Delivery{
					MaxAttempts: 20, MinBackoff: "1s", MaxBackoff: "10m", MaxAge: "72h",
					Timeout: "10s", Concurrency: 16, Ordering: v1alpha1.OrderingNone,
				},
			}},
			Queue: &v1alpha1.Queue{
				Type: v1alpha1.QueueEphemeral, Capacity: ptr(resource.MustParse("1Gi")), Retention: "24h",
				DeadLetters: &v1alpha1.DeadLetters{Capacity: ptr(resource.MustParse("256Mi")), WhenFull: v1alpha1.WhenFullReject},
			},
			Exposure: &v1alpha1.Exposure{Path: "/hooks"},
			Limits:   &v1alpha1.Limits{MaxBodyBytes: ptr(resource.MustParse("1Mi")), RequestsPerSecondPerSource: 200},
			Receiver: &v1alpha1.Receiver{Drain: &v1alpha1.Drain{Delay: "5s", Grace: "60s"}},
			Suspend:  v1alpha1.SuspendNone,
		},
	}
}

func at(s string) *metav1.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return &metav1.Time{Time: t}
}

// profile returns a provider whose region west moves to another range: both are
// in use for the first week of 2027.
func profile() *v1alpha1.WebhookProvider {
	p := &v1alpha1.WebhookProvider{
		ObjectMeta: metav1.ObjectMeta{Name: "acme"},
		Spec: v1alpha1.WebhookProviderSpec{
			Signatures: []v1alpha1.Signature{{Algorithm: v1alpha1.HMACSHA256, Header: "X-Sig", Encoding: v1alpha1.EncodingHex, Content: "{body}"}},
			Hooks: []v1alpha1.Hook{
				{Name: "push", Mode: v1alpha1.HookAsync, Paths: []v1alpha1.HookPath{{Path: "/"}}},
				{Name: "check", Mode: v1alpha1.HookSync, Paths: []v1alpha1.HookPath{{Path: "/check"}}},
			},
			Regions: []v1alpha1.Region{
				{Name: "west", Ranges: []v1alpha1.Range{
					{CIDR: "198.51.100.0/25", ValidUntil: at("2027-01-08T00:00:00Z")},
					{CIDR: "198.51.100.128/25", ValidFrom: at("2027-01-01T00:00:00Z")},
				}},
				{Name: "east", Ranges: []v1alpha1.Range{{CIDR: "203.0.113.9/32"}, {CIDR: "203.0.113.7/32", ValidUntil: at("2028-01-01T00:00:00Z")}}},
			},
		},
	}
	provider.SetDefaults(p)
	return p
}

func TestConfig(t *testing.T) {
	ep := endpoint()
	ep.Spec.Exposure.Host = "hooks.example.com"
	ep.Spec.Sources.TrustedProxies = []v1alpha1.CIDR{"10.0.0.1/8"}
	res, err := resolve.Resolve(ep, profile(), now)
	if err != nil {
		t.Fatal(err)
	}
	c := res.Config
	type summary struct {
		Source, URL, Path, SecretDir string
		Keys                         []string
		Sources                      config.Sources
		Limits                       config.Limits
		Queue                        config.Queue
		Sink                         config.Sink
		Drain                        config.Drain
	}
	seconds := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
	want := summary{
		Source: "/namespaces/shop/webhookendpoints/chat", URL: "https://hooks.example.com/hooks", Path: "/hooks",
		SecretDir: "signing", Keys: []string{"current"},
		Sources: config.Sources{
			Mode:           v1alpha1.SourceEnforce,
			Ranges:         prefixes("198.51.100.0/25", "203.0.113.7/32", "203.0.113.9/32"),
			TrustedProxies: prefixes("10.0.0.0/8"),
		},
		Limits: config.Limits{MaxBodyBytes: 1 << 20, RequestsPerSecondPerSource: 200},
		Queue: config.Queue{CapacityBytes: 1 << 30, Retention: seconds(86400),
			DeadLetters: config.DeadLetters{CapacityBytes: 256 << 20, WhenFull: v1alpha1.WhenFullReject}},
		Sink: config.Sink{
			Name: "app",
			HTTP: &config.HTTPSink{URL: "http://app.shop.svc/hooks", CAFile: "ca/ca.crt",
				Headers: []config.SinkHeader{{Name: "X-Team", Value: "orders"}, {Name: "Authorization", File: "app/token"}}},
			Delivery: config.Delivery{MaxAttempts: 20, MinBackoff: seconds(1), MaxBackoff: seconds(600),
				MaxAge: seconds(259200), Timeout: seconds(10), Concurrency: 16},
		},
		Drain: config.Drain{Delay: seconds(5), Grace: seconds(60)},
	}
	got := summary{c.Endpoint.Source(), c.URL, c.Path, c.Secret.Dir, c.Secret.Keys, c.Sources, c.Limits, c.Queue, c.Sinks[0], c.Drain}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

// TestURL holds which scheme and port the provider is told: only a load balancer
// that is not on port 443 is without TLS.
func TestURL(t *testing.T) {
	type exposure = v1alpha1.Exposure
	balancer := func(port int32) *v1alpha1.LoadBalancerExposure {
		return &v1alpha1.LoadBalancerExposure{Port: port}
	}
	const host = "hooks.example.com"
	for name, tt := range map[string]struct {
		exposure exposure
		want     string
	}{
		"no host":                  {exposure{Path: "/a"}, ""},
		"no type":                  {exposure{Host: host, Path: "/a"}, "https://hooks.example.com/a"}, // as fairlead run may have it
		"cluster IP":               {exposure{Type: v1alpha1.ExposureClusterIP, Host: host, Path: "/a"}, "https://hooks.example.com/a"},
		"gateway":                  {exposure{Type: v1alpha1.ExposureGateway, Host: host, Path: "/a"}, "https://hooks.example.com/a"},
		"ingress":                  {exposure{Type: v1alpha1.ExposureIngress, Host: host, Path: "/"}, "https://hooks.example.com/"},
		"balancer":                 {exposure{Type: v1alpha1.ExposureLoadBalancer, Host: host, Path: "/a"}, "http://hooks.example.com/a"},
		"balancer, default port":   {exposure{Type: v1alpha1.ExposureLoadBalancer, Host: host, Path: "/a", LoadBalancer: balancer(80)}, "http://hooks.example.com/a"},
		"balancer, port not said":  {exposure{Type: v1alpha1.ExposureLoadBalancer, Host: host, Path: "/a", LoadBalancer: balancer(0)}, "http://hooks.example.com/a"},
		"balancer with TLS":        {exposure{Type: v1alpha1.ExposureLoadBalancer, Host: host, Path: "/a", LoadBalancer: balancer(443)}, "https://hooks.example.com/a"},
		"balancer on another port": {exposure{Type: v1alpha1.ExposureLoadBalancer, Host: host, Path: "/a", LoadBalancer: balancer(8443)}, "http://hooks.example.com:8443/a"},
	} {
		t.Run(name, func(t *testing.T) {
			ep := endpoint()
			ep.Spec.Exposure = &tt.exposure
			res, err := resolve.Resolve(ep, profile(), now)
			if err != nil {
				t.Fatal(err)
			}
			if res.Config.URL != tt.want {
				t.Errorf("the URL is %q, want %q", res.Config.URL, tt.want)
			}
		})
	}
}

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestConfigIsReadable holds that a receiver takes what Resolve makes.
func TestConfigIsReadable(t *testing.T) {
	builtIn, err := provider.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(builtIn, profile()) {
		ep := endpoint()
		ep.Spec.Provider = p.Name
		ep.Spec.Sources.AdditionalRanges = []v1alpha1.CIDR{"192.0.2.0/24"} // some list no regions
		res, err := resolve.Resolve(ep, p, now)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		data, err := json.Marshal(res.Config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Decode(data); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// TestRanges walks through a move from one range to another, to the second.
func TestRanges(t *testing.T) {
	const old, moved, east = "west 198.51.100.0/25", "west 198.51.100.128/25", "east 203.0.113.9/32"
	const brief = "east 203.0.113.7/32"
	for name, tt := range map[string]struct {
		now    string
		edit   func(*v1alpha1.WebhookEndpoint)
		want   []string
		change string
	}{
		"before":            {"2026-12-31T23:59:59Z", nil, []string{brief, east, old}, "2027-01-01T00:00:00Z"},
		"overlap begins":    {"2027-01-01T00:00:00Z", nil, []string{brief, east, old, moved}, "2027-01-08T00:00:00Z"},
		"overlap ends":      {"2027-01-07T23:59:59Z", nil, []string{brief, east, old, moved}, "2027-01-08T00:00:00Z"},
		"after":             {"2027-01-08T00:00:00Z", nil, []string{brief, east, moved}, "2028-01-01T00:00:00Z"},
		"nothing to come":   {"2028-01-01T00:00:00Z", nil, []string{east, moved}, ""},
		"another time zone": {"2027-01-08T01:59:59+02:00", nil, []string{brief, east, old, moved}, "2027-01-08T00:00:00Z"},
		"one region": {"2027-01-08T00:00:00Z", func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"west"} },
			[]string{moved}, ""}, // a change in east is not this endpoint's
		"additional": {"2028-01-01T00:00:00Z", func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Sources.AdditionalRanges = []v1alpha1.CIDR{"2001:db8::1/32", "192.0.2.77/24", "::ffff:203.0.113.9/128", "192.0.2.0/24"}
		}, []string{" 192.0.2.0/24", " 203.0.113.9/32", " 2001:db8::/32", east, moved}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ep := endpoint()
			if tt.edit != nil {
				tt.edit(ep)
			}
			res, err := resolve.Resolve(ep, profile(), at(tt.now).Time)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range res.Ranges {
				got = append(got, fmt.Sprintf("%s %s", r.Region, r.CIDR))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
			change := ""
			if !res.NextChange.IsZero() {
				change = res.NextChange.UTC().Format(time.RFC3339)
			}
			if change != tt.change {
				t.Errorf("next change is %q, want %q", change, tt.change)
			}
		})
	}
}

// TestSharedRange holds that a range which two regions list, or the endpoint
// itself does again, is enforced once.
func TestSharedRange(t *testing.T) {
	p := profile()
	p.Spec.Regions = []v1alpha1.Region{
		{Name: "a", Ranges: []v1alpha1.Range{{CIDR: "203.0.113.0/24"}}},
		{Name: "b", Ranges: []v1alpha1.Range{{CIDR: "203.0.113.0/24"}}},
	}
	res, err := resolve.Resolve(endpoint(), p, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Ranges) != 2 || len(res.Config.Sources.Ranges) != 1 {
		t.Errorf("got %v and %v, want it for each region, and once for the receiver", res.Ranges, res.Config.Sources.Ranges)
	}
}

func TestProblems(t *testing.T) {
	type edit = func(*v1alpha1.WebhookEndpoint, *v1alpha1.WebhookProvider)
	for name, tt := range map[string]struct {
		edit edit
		want []resolve.Problem
	}{
		"unknown region": {
			func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
				ep.Spec.Regions = []string{"west", "mars"}
			},
			[]resolve.Problem{{"spec.regions[1]", `Provider "acme" has no region "mars"; choose from east, west`}},
		},
		"region of a provider without": {
			func(ep *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) {
				ep.Spec.Regions, p.Spec.Regions = []string{"west"}, nil
				ep.Spec.Sources.AdditionalRanges = []v1alpha1.CIDR{"192.0.2.0/24"}
			},
			[]resolve.Problem{{"spec.regions[0]", `Provider "acme" lists no regions; leave spec.regions out`}},
		},
		"nothing to enforce": {
			func(_ *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) { p.Spec.Regions = nil },
			[]resolve.Problem{{"spec.sources.mode", `Everybody would be refused, because provider "acme" lists no address that is in use; list its addresses in spec.sources.additionalRanges, or set mode to Observe`}},
		},
		"nothing in use": {
			func(_ *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) {
				p.Spec.Regions = []v1alpha1.Region{{Name: "west", Ranges: []v1alpha1.Range{{CIDR: "192.0.2.0/24", ValidUntil: &metav1.Time{Time: now}}}}}
			},
			[]resolve.Problem{{"spec.sources.mode", `Everybody would be refused, because provider "acme" lists no address that is in use; list its addresses in spec.sources.additionalRanges, or set mode to Observe`}},
		},
		"nothing to observe is fine": {
			func(ep *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) {
				ep.Spec.Sources.Mode, p.Spec.Regions = v1alpha1.SourceObserve, nil
			}, nil,
		},
		"mapped range of everybody": {
			func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
				ep.Spec.Sources.AdditionalRanges = []v1alpha1.CIDR{"::ffff:0.0.0.0/96"}
			},
			[]resolve.Problem{{"spec.sources.additionalRanges[0]", `Range "::ffff:0.0.0.0/96" lists every address; write a CIDR such as 203.0.113.7/32`}},
		},
		"hooks": {
			func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
				ep.Spec.Sinks[0].Hooks = []string{"push", "pull", "check"}
			},
			[]resolve.Problem{
				{"spec.sinks[0].hooks[1]", `Provider "acme" has no hook "pull"; choose from check, push`},
				{"spec.sinks[0].hooks[2]", `Hook "check" waits for an answer, and nobody gives one; add a responder for it to spec.responders, or take it out`},
			},
		},
		// The CRD refuses it too; an object from before the CRD did may be stored.
		"order among several receivers": {
			func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
				ep.Spec.Sinks[0].Delivery.Ordering = v1alpha1.OrderingBySubject
			},
			[]resolve.Problem{{"spec.sinks[0].delivery.ordering", "Ordering BySubject needs all events of a subject in one queue, and each receiver has its own; " +
				"set spec.receiver.replicas to 1 and take out spec.receiver.autoscaling, or set ordering to None"}},
		},
		"signed URL without a host": {
			func(_ *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) {
				p.Spec.Signatures[0].Content = "{url}{body}"
			},
			[]resolve.Problem{{"spec.exposure.host", `Provider "acme" signs the endpoint's URL; set host to the public host name that the provider posts to`}},
		},
		"several at once": {
			func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
				ep.Spec.Regions = []string{"mars"}
				ep.Spec.Sinks[0].Delivery.Timeout = "soon"
			},
			[]resolve.Problem{
				{"spec.regions[0]", `Provider "acme" has no region "mars"; choose from east, west`},
				{"spec.sinks[0].delivery.timeout", `Value "soon" is no duration; write it like 10s, 1500ms or 1h30m`},
			},
		},
		"certificate among the signing secrets": {
			func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
				ep.Spec.SecretRef.Keys = nil
				ep.Spec.Exposure.TLS = &v1alpha1.ExposureTLS{SecretName: ep.Spec.SecretRef.Name}
			},
			[]resolve.Problem{{"spec.exposure.tls.secretName", `Secret "signing" holds the signing secrets, and its certificate, which everybody may read, would be one of them; put the certificate into a Secret of its own`}},
		},
		"certificate beside the signing secrets": {
			func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
				ep.Spec.Exposure.TLS = &v1alpha1.ExposureTLS{SecretName: ep.Spec.SecretRef.Name}
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ep, p := endpoint(), profile()
			tt.edit(ep, p)
			_, err := resolve.Resolve(ep, p, now)
			var got []resolve.Problem
			for _, found := range resolve.Problems(err) {
				got = append(got, *found)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInputsStayAsTheyAre holds that Resolve can be called on cached objects.
func TestInputsStayAsTheyAre(t *testing.T) {
	ep, p := endpoint(), profile()
	ep.Spec.Sources.AdditionalRanges = []v1alpha1.CIDR{"192.0.2.0/24", "192.0.2.0/25"}
	wantEP, wantP := ep.DeepCopy(), p.DeepCopy()
	if _, err := resolve.Resolve(ep, p, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantEP, ep) + cmp.Diff(wantP, p); diff != "" {
		t.Errorf("the inputs were changed:\n%s", diff)
	}
}
