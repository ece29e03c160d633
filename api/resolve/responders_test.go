package resolve_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// answering returns the endpoint and profile with a hook that is answered within
// two seconds.
func answering(some ...v1alpha1.Responder) (*v1alpha1.WebhookEndpoint, *v1alpha1.WebhookProvider) {
	ep, p := endpoint(), profile()
	p.Spec.Hooks[1].Deadline = "2s"
	ep.Spec.Responders = some
	return ep, p
}

func responder(hook string) v1alpha1.Responder {
	return v1alpha1.Responder{Hook: hook, HTTP: &v1alpha1.HTTPSink{URL: "http://moderator.shop.svc/check"}, OnFailure: v1alpha1.FailureDeny, Concurrency: 64}
}

// TestResponders holds what a receiver is told of a responder: a name in any
// case, a time-out below the hook's deadline, and Secrets as files.
func TestResponders(t *testing.T) {
	strict := responder("check")
	strict.Name, strict.Filter, strict.Timeout, strict.Concurrency = "strict", `data.kind == "message"`, "1999ms", 7
	strict.HTTP.CASecretRef = &v1alpha1.SecretKeyReference{Name: "ca", Key: "ca.crt"}
	strict.HTTP.Headers = []v1alpha1.SinkHeader{{Name: "Authorization", ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "moderator", Key: "token"}}}}
	ep, p := answering(strict, responder("check"))
	ep.Spec.Sinks[0].Hooks = []string{"push", "check"} // a copy of what was asked
	ep.Spec.Sinks[0].Filter = `type == "x"`
	res, err := resolve.Resolve(ep, p, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Responder{
		{Name: "strict", Hook: "check", Filter: `data.kind == "message"`, Timeout: metav1.Duration{Duration: 1999 * time.Millisecond}, OnFailure: v1alpha1.FailureDeny, Concurrency: 7,
			HTTP: &config.HTTPSink{URL: "http://moderator.shop.svc/check", CAFile: "ca/ca.crt", Headers: []config.SinkHeader{{Name: "Authorization", File: "moderator/token"}}}},
		{Name: "check", Hook: "check", Timeout: metav1.Duration{Duration: 1600 * time.Millisecond}, OnFailure: v1alpha1.FailureDeny, Concurrency: 64,
			HTTP: &config.HTTPSink{URL: "http://moderator.shop.svc/check"}},
	}
	if diff := cmp.Diff(want, res.Config.Responders) + cmp.Diff(`type == "x"`, res.Config.Sinks[0].Filter); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestResponderProblems(t *testing.T) {
	with := func(edit func(*v1alpha1.Responder)) v1alpha1.Responder {
		r := responder("check")
		edit(&r)
		return r
	}
	for name, tt := range map[string]struct {
		responder v1alpha1.Responder
		edit      func(*v1alpha1.WebhookEndpoint, *v1alpha1.WebhookProvider)
		want      []resolve.Problem
	}{
		"fine":         {responder("check"), nil, nil},
		"unknown hook": {responder("ask"), nil, []resolve.Problem{{"spec.responders[0].hook", `Provider "acme" has no hook "ask"; choose from check`}}},
		"asynchronous hook": {responder("push"), nil, []resolve.Problem{
			{"spec.responders[0].hook", `Hook "push" waits for no answer, so it needs no responder; choose from check, or list it in a sink's hooks`}}},
		"no synchronous hook": {responder("check"), func(_ *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) { p.Spec.Hooks = p.Spec.Hooks[:1] },
			[]resolve.Problem{{"spec.responders[0].hook", `Provider "acme" has no synchronous hook; take spec.responders out`}}},
		"time-out at the deadline": {with(func(r *v1alpha1.Responder) { r.Timeout = "2s" }), nil, []resolve.Problem{
			{"spec.responders[0].timeout", `Provider "acme" waits 2s for the answer of hook "check", so a timeout of 2s never helps; set it below that, to 1.6s say`}}},
		"time-out that is none": {with(func(r *v1alpha1.Responder) { r.Timeout = "soon" }), nil, []resolve.Problem{
			{"spec.responders[0].timeout", `Value "soon" is no duration; write it like 10s, 1500ms or 1h30m`}}},
		"filter that is true or false of nothing": {with(func(r *v1alpha1.Responder) { r.Filter = "1" }), nil, []resolve.Problem{
			{"spec.responders[0].filter", `The expression does not compile: the expression must be true or false, as in data.channel_type == "messaging"`}}},
		"sink of a hook that is answered": {responder("check"), func(ep *v1alpha1.WebhookEndpoint, _ *v1alpha1.WebhookProvider) {
			ep.Spec.Sinks[0].Hooks = []string{"check"}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ep, p := answering(tt.responder)
			if tt.edit != nil {
				tt.edit(ep, p)
			}
			if diff := cmp.Diff(tt.want, problems(ep, p)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func problems(ep *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider) []resolve.Problem {
	_, err := resolve.Resolve(ep, p, now)
	var out []resolve.Problem
	for _, found := range resolve.Problems(err) {
		out = append(out, *found)
	}
	return out
}

// TestFilterProblem holds that a sink's expression is compiled before any
// receiver sees it, and that the message says where it is wrong.
func TestFilterProblem(t *testing.T) {
	ep := endpoint()
	ep.Spec.Sinks[0].Filter = "data. =="
	found := problems(ep, profile())
	if len(found) != 1 || found[0].Field != "spec.sinks[0].filter" || len(found[0].Message) < len("The expression does not compile: ")+10 {
		t.Errorf("problems are %+v", found)
	}
}

// TestProxyProtocol holds that a PROXY header is believed of somebody, or the
// endpoint is refused.
func TestProxyProtocol(t *testing.T) {
	ep := endpoint()
	ep.Spec.Exposure.ProxyProtocol = v1alpha1.ProxyProtocolRequired
	want := []resolve.Problem{{"spec.sources.trustedProxies", "The PROXY protocol is believed of trusted proxies only; list the addresses of the load balancer, or set spec.exposure.proxyProtocol to None"}}
	if diff := cmp.Diff(want, problems(ep, profile())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for protocol, want := range map[v1alpha1.ProxyProtocol]bool{"": false, v1alpha1.ProxyProtocolNone: false, v1alpha1.ProxyProtocolRequired: true} {
		ep.Spec.Sources.TrustedProxies, ep.Spec.Exposure.ProxyProtocol = []v1alpha1.CIDR{"10.0.0.0/8"}, protocol
		res, err := resolve.Resolve(ep, profile(), now)
		if err != nil || res.Config.Sources.ProxyProtocol != want {
			t.Errorf("proxyProtocol %q: %v", protocol, err)
		}
	}
}

// TestBounds holds that the defaults of bounds are left out: a receiver of before
// there were such fields takes the configuration.
func TestBounds(t *testing.T) {
	for _, tt := range []struct{ in, connections, requests int32 }{{0, 0, 0}, {1, 4096, 1024}, {2, 64, 16}} {
		ep := endpoint()
		ep.Spec.Limits.MaxConnections, ep.Spec.Limits.MaxRequestsInFlight = tt.connections, tt.requests
		res, err := resolve.Resolve(ep, profile(), now)
		if err != nil {
			t.Fatal(err)
		}
		wantConnections, wantRequests := int(tt.connections), int(tt.requests)
		if tt.in < 2 {
			wantConnections, wantRequests = 0, 0
		}
		if l := res.Config.Limits; l.MaxConnections != wantConnections || l.MaxRequestsInFlight != wantRequests {
			t.Errorf("%d connections and %d requests come to %+v", tt.connections, tt.requests, l)
		}
	}
}

// TestOrigin holds which scheme and port the public URL has.
func TestOrigin(t *testing.T) {
	secret := &v1alpha1.ExposureTLS{SecretName: "cert"}
	on := func(port int32) *v1alpha1.LoadBalancerExposure { return &v1alpha1.LoadBalancerExposure{Port: port} }
	const lb = v1alpha1.ExposureLoadBalancer
	for name, tt := range map[string]struct {
		exposure v1alpha1.Exposure
		want     string
	}{
		"your own proxy":                  {v1alpha1.Exposure{Type: v1alpha1.ExposureClusterIP}, "https://a.example"},
		"your own proxy, and TLS":         {v1alpha1.Exposure{Type: v1alpha1.ExposureClusterIP, TLS: secret}, "https://a.example"},
		"Ingress":                         {v1alpha1.Exposure{Type: v1alpha1.ExposureIngress}, "https://a.example"},
		"Gateway":                         {v1alpha1.Exposure{Type: v1alpha1.ExposureGateway}, "https://a.example"},
		"load balancer":                   {v1alpha1.Exposure{Type: lb}, "http://a.example"},
		"load balancer that ends TLS":     {v1alpha1.Exposure{Type: lb, LoadBalancer: on(443)}, "https://a.example"},
		"load balancer, port":             {v1alpha1.Exposure{Type: lb, LoadBalancer: on(8080)}, "http://a.example:8080"},
		"load balancer and TLS":           {v1alpha1.Exposure{Type: lb, TLS: secret}, "https://a.example"},
		"load balancer, port and TLS":     {v1alpha1.Exposure{Type: lb, TLS: secret, LoadBalancer: on(8443)}, "https://a.example:8443"},
		"load balancer, port 80, and TLS": {v1alpha1.Exposure{Type: lb, TLS: secret, LoadBalancer: on(80)}, "https://a.example:80"},
	} {
		ep := endpoint()
		tt.exposure.Host, tt.exposure.Path = "a.example", "/hooks"
		ep.Spec.Exposure = &tt.exposure
		res, err := resolve.Resolve(ep, profile(), now)
		if err != nil {
			t.Fatal(err)
		}
		if res.Config.URL != tt.want+"/hooks" {
			t.Errorf("%s: %s, want %s/hooks", name, res.Config.URL, tt.want)
		}
	}
}
