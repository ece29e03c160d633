package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
)

// routed is an endpoint with an Ingress.
func routed(namespace, name, host, path string) *v1alpha1.WebhookEndpoint {
	return chat(namespace, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Name = name
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: host, Path: path}
		ep.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{IngressFrom: []v1alpha1.NetworkPeer{{PodSelector: &metav1.LabelSelector{}}}}
	})
}

func ingressOf(ep *v1alpha1.WebhookEndpoint) *networkingv1.Ingress {
	return named(&networkingv1.Ingress{}, ep.Namespace, ep.Name+"-receiver")
}

// TestHostConflict holds that endpoints share a host by path, that of two with one
// URL the later has no route and says so, and that it comes when the older goes.
func TestHostConflict(t *testing.T) {
	start(t)
	namespaces := []string{namespace(t), namespace(t)}
	slices.Sort(namespaces) // of two endpoints made in one second, the one in the first is the older
	ns, other := namespaces[0], namespaces[1]
	host := ns + ".example.com"
	first := routed(ns, "a", host, "/chat")
	create(t, first)
	rollOut(t, first)
	is(t, first, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)

	beside := routed(other, "beside", host, "/chat/of/another")
	same := routed(ns, "same", host, "/chat")
	hook := routed(other, "hook", host, "/chat/before-message-send") // a hook of the first
	for _, ep := range []*v1alpha1.WebhookEndpoint{beside, same, hook} {
		create(t, ep)
		rollOut(t, ep)
	}
	is(t, beside, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	for ep, url := range map[*v1alpha1.WebhookEndpoint]string{same: "/chat", hook: "/chat/before-message-send"} {
		c := is(t, ep, v1alpha1.ConditionExposed, no, v1alpha1.ReasonHostConflict)
		if err := contains(c.Message, fmt.Sprintf("WebhookEndpoint %q in namespace %q is older and has https://%s%s too", "a", ns, host, url)); err != nil {
			t.Error(err)
		}
		is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonHostConflict)
		if err := gone(t.Context(), ingressOf(ep)); err != nil {
			t.Error(err)
		}
		has(t, ep, "Service/"+ep.Name+"-receiver")
	}

	change(t, first, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.Path = "/chats" }) // not below, nor above
	is(t, same, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	has(t, same, "Ingress/same-receiver")
	is(t, hook, v1alpha1.ConditionExposed, no, v1alpha1.ReasonHostConflict) // of the other one now
	if err := admin.Delete(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	is(t, hook, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)

	change(t, first, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.Path = "/chat" })
	is(t, hook, v1alpha1.ConditionExposed, no, v1alpha1.ReasonHostConflict)
	until(t, "the later route is gone", func(ctx context.Context) error { return gone(ctx, ingressOf(hook)) })
}

// TestHostNotAllowed holds that nobody blocks a host that is not his to have.
func TestHostNotAllowed(t *testing.T) {
	ns, other := namespace(t), namespace(t)
	host := ns + ".example.com"
	hosts, err := endpoint.ParseLimits([]string{ns + "=" + host, other + "=nothing.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	squatter := routed(other, "a", host, "/")
	create(t, squatter)
	start(t, func(o *endpoint.Options, _ *[]string) { o.Allowed = endpoint.Allowed{Hosts: hosts} })
	is(t, squatter, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonNotAllowed)
	ep := routed(ns, "b", host, "/")
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
}

// TestSources holds what cause and cure are named for each way to the receivers.
func TestSources(t *testing.T) {
	op := start(t)
	ns := namespace(t)
	lb := chat(ns, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Name = "lb"
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer}
	})
	in := routed(ns, "in", ns+".example.com", "/in")
	in.Spec.Exposure.Ingress = &v1alpha1.IngressExposure{Preset: v1alpha1.PresetTraefik}
	inside := chat(ns)
	address := map[*v1alpha1.WebhookEndpoint]string{lb: "10.8.1.1", in: "10.8.1.2", inside: "10.8.1.3"}
	for ep, ip := range address {
		create(t, ep)
		deployed(t, ep)
		op.pod(t, ep, ep.Name, ip, fine)
		c := is(t, ep, v1alpha1.ConditionSourcePreserved, na, v1alpha1.ReasonNoTraffic)
		if told := strings.Contains(c.Message, "list its pods' in spec.sources.trustedProxies"); told != (ep == in) {
			t.Errorf("%s: before any traffic it says %q", ep.Name, c.Message)
		}
	}
	for name, tt := range map[string]struct {
		ep           *v1alpha1.WebhookEndpoint
		finding, via string
		addresses    []string
		want         []string
	}{
		"node, load balancer": {lb, statusz.SourceNode, statusz.SourceViaPeer, []string{"10.0.0.7"},
			[]string{"the address of a receiver's own node", "(hairpin)", `externalTrafficPolicy Local of Service "lb-receiver"`}},
		"private, load balancer": {lb, statusz.SourcePrivate, statusz.SourceViaPeer, []string{"10.0.0.7", "10.0.0.9", "10.0.1.9"},
			[]string{"private addresses (10.0.0.0/24, 10.0.1.0/24)", "set spec.exposure.proxyProtocol to Required, and list its addresses, such as 10.0.0.0/24, 10.0.1.0/24, in spec.sources.trustedProxies"}},
		"single, load balancer, PROXY protocol": {lb, statusz.SourceSingle, statusz.SourceViaProxyProtocol, []string{"203.0.113.99"},
			[]string{"one single address that is not listed (203.0.113.99/32): a new one of the provider's, which belongs into spec.sources.additionalRanges, or else", "The load balancer, which spec.sources.trustedProxies lists, sees no client itself"}},
		"pod, Ingress": {in, statusz.SourcePod, statusz.SourceViaPeer, []string{"10.244.1.7", "10.244.1.9", "fd00::7"},
			[]string{"the pods' network (10.244.1.0/24, fd00::/64)", "List the addresses of the proxy's pods, such as 10.244.1.0/24, fd00::/64, in spec.sources.trustedProxies",
				"List the addresses of the Traefik pods"}},
		"node, Ingress that is trusted": {in, statusz.SourceNode, statusz.SourceViaHeader, []string{"10.0.0.7"},
			[]string{"its own Service needs externalTrafficPolicy Local, or the load balancer before it must speak the PROXY protocol to it"}},
		"pod, own proxy":             {inside, statusz.SourcePod, statusz.SourceViaPeer, nil, []string{"List your proxy's addresses in spec.sources.trustedProxies"}},
		"pod, own proxy, is trusted": {inside, statusz.SourcePod, statusz.SourceViaHeader, nil, []string{"Your proxy, which spec.sources.trustedProxies lists, sees no client itself"}},
	} {
		t.Run(name, func(t *testing.T) {
			op.says(tt.ep, address[tt.ep], func(p *statusz.Endpoint) {
				p.Secret.Entries[0].LastUsed = ptr.To(op.clock.Now())
				p.Sources = statusz.Sources{Finding: tt.finding, Via: tt.via, Addresses: tt.addresses, LastUnlistedValid: ptr.To(op.clock.Now())}
			})
			until(t, "it says so", func(ctx context.Context) error {
				c := is(t, tt.ep, v1alpha1.ConditionSourcePreserved, no, v1alpha1.ReasonSourceHidden)
				var missing []error
				for _, w := range tt.want {
					missing = append(missing, contains(c.Message, w))
				}
				return errors.Join(missing...)
			})
		})
	}
	finds := func(finding string) {
		op.says(lb, address[lb], func(p *statusz.Endpoint) {
			p.Secret.Entries[0].LastUsed = ptr.To(op.clock.Now())
			p.Sources.Finding = finding
		})
	}
	finds(statusz.SourcePreserved)
	is(t, lb, v1alpha1.ConditionSourcePreserved, yes, v1alpha1.ReasonSourceSeen)
	finds(statusz.SourceNoTraffic) // of the last hour: what was found before stays
	quiet(t, op)
	is(t, lb, v1alpha1.ConditionSourcePreserved, yes, v1alpha1.ReasonSourceSeen)
	change(t, lb, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources.Mode = v1alpha1.SourceObserve }) // another endpoint, nearly
	is(t, lb, v1alpha1.ConditionSourcePreserved, na, v1alpha1.ReasonNoTraffic)
}

// TestCertificates holds what is said of the certificate that receivers serve, and
// when, without anybody asking.
func TestCertificates(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{TLS: &v1alpha1.ExposureTLS{SecretName: "cert"}}
	})
	create(t, ep)
	rollOut(t, ep)
	op.pods.serves("10.8.2.1", &statusz.TLS{Error: "tls.crt is missing"})
	op.pod(t, ep, "one", "10.8.2.1", fine)
	says := func(status metav1.ConditionStatus, reason, message string) {
		t.Helper()
		c := is(t, ep, v1alpha1.ConditionExposed, status, reason)
		if err := contains(c.Message, message); err != nil {
			t.Error(err)
		}
	}
	says(no, v1alpha1.ReasonCertificateMissing, `A receiver has no certificate to serve TLS with: tls.crt is missing. Put a new one into Secret "cert", of type kubernetes.io/tls`)
	is(t, ep, v1alpha1.ConditionReady, no, v1alpha1.ReasonCertificateMissing)

	ends := op.clock.Now().Add(14*24*time.Hour + time.Minute)
	day := ends.UTC().Format("2006-01-02 15:04 MST")
	op.pods.serves("10.8.2.1", &statusz.TLS{NotAfter: statusz.When(ends)})
	says(yes, v1alpha1.ReasonExposed, `Service "chat-receiver" takes requests`)
	if want := "https://chat-receiver." + ep.Namespace + ".svc/"; ep.Status.URL != want {
		t.Errorf("status.url is %q, want %q", ep.Status.URL, want)
	}
	quiet(t, op)
	op.clock.Step(2 * time.Minute)
	says(no, v1alpha1.ReasonCertificateExpiring, "The certificate ends at "+day)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable) // it serves
	quiet(t, op)
	op.clock.Step(14 * 24 * time.Hour)
	is(t, ep, v1alpha1.ConditionReady, no, v1alpha1.ReasonCertificateExpiring)
	says(no, v1alpha1.ReasonCertificateExpiring, "The certificate ended at "+day)

	ends = op.clock.Now().Add(90 * 24 * time.Hour)
	op.pods.serves("10.8.2.1", &statusz.TLS{NotAfter: statusz.When(ends), Error: "tls.key does not go with tls.crt"})
	says(yes, v1alpha1.ReasonExposed, `A receiver goes on with the certificate from before: tls.key does not go with tls.crt; mend Secret "cert"`)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)

	begins := op.clock.Now() // one that lives for six days, and is renewed when two are left
	ends = begins.Add(6 * 24 * time.Hour)
	op.pods.serves("10.8.2.1", &statusz.TLS{NotBefore: statusz.When(begins), NotAfter: statusz.When(ends)})
	says(yes, v1alpha1.ReasonExposed, `Service "chat-receiver" takes requests`)
	op.clock.Step(5*24*time.Hour + time.Minute)
	says(no, v1alpha1.ReasonCertificateExpiring, "The certificate ends at")
}
