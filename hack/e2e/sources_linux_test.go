package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// moderatorImage is the sample of a responder.
const moderatorImage = "docker.io/fairlead/moderator:" + imageTag

// trySources holds that whom the provider lists is served with its own address, and
// that nobody else is.
func trySources(t *testing.T, r *rig) {
	const ns, vip = "e2e-sources", "192.0.2.10"
	k := key{Namespace: ns, Name: "chat"}
	r.namespace(t, ns)
	sink := r.sink(t, ns, "app")
	r.service(t, ns, "moderator", moderatorImage, "--mask=heck", "--refuse=pills", "--drain-delay=0s")
	listed, unlisted := r.host(t, streamUSEast), r.host(t, nobody)
	from, public := listed.client(), vip+":80"

	r.must(t, "kubectl apply of a Stream endpoint with two sinks and a responder leads to Ready", func(t *testing.T, line *row) {
		r.apply(t, signingSecret(ns, streamChat), manifest(k, streamChat, fmt.Sprintf(`
  regions: [us-east, eu-west]
  sinks:
  - {name: app, http: {url: %s/app}}
  - {name: archive, http: {url: %s/archive}}
  responders:
  - {hook: before-message-send, http: {url: "http://moderator.%s.svc/before-message-send"}, timeout: 1200ms, onFailure: Deny}
  exposure: {type: LoadBalancer, path: /stream}
`, sink.url, sink.url, ns)))
		line.note("receivers available after %s", seconds(r.becomes(t, k, v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonReceiversAvailable)))
		r.becomes(t, k, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonAddressPending)
		r.balance(t, k, vip)
		line.note("Ready %s after the load balancer's address", seconds(r.ready(t, k)))
	})
	r.step(t, "the status says what was promised: conditions, URL, hooks, ranges, who enforces them, the profile", func(t *testing.T, _ *row) {
		r.holdsStatus(t, k, "http://"+vip+"/stream")
	})
	r.step(t, "the host that owns 34.225.10.29 is served through the load balancer's address and through the node port", func(t *testing.T, _ *row) {
		for _, address := range []string{public, r.nodePort(t, k)} {
			answers(t, listed.client(), address, stream("/stream", message("through "+address)), http.StatusOK, "{}")
		}
		r.arrive(t, sink, "/app", 2)
		r.arrive(t, sink, "/archive", 2)
	})
	r.step(t, "its address is preserved: the receivers saw it, and the condition SourcePreserved says so", func(t *testing.T, line *row) {
		line.note("SourcePreserved after %s", seconds(r.becomes(t, k, v1alpha1.ConditionSourcePreserved, metav1.ConditionTrue, v1alpha1.ReasonSourceSeen)))
		r.sawOnly(t, k, streamUSEast)
	})
	r.step(t, "the responder on the cluster answers the synchronous hook: passed, masked, refused", func(t *testing.T, line *row) {
		for text, want := range map[string]string{
			"good morning": "", "what the heck": "****", "buy pills": `"type":"error"`,
		} {
			q := stream("/stream/before-message-send", fmt.Appendf(nil, `{"message":{"id":"m1","text":%q,"type":"regular","attachments":[]},"user":{"id":"ada"},"channel":{"cid":"messaging:fun","id":"fun","type":"messaging"}}`, text))
			var a *answer
			line.note("%q in %s", text, seconds(took(func() { a = answers(t, from, public, q, http.StatusOK, "") })))
			if !strings.Contains(a.body, want) {
				t.Errorf("the message %q was answered %q, want %q in it", text, a.body, want)
			}
		}
	})
	r.step(t, "the host that owns 203.0.113.7 can't connect: not through the load balancer, the node port, or to a pod", func(t *testing.T, _ *row) {
		for _, address := range append(r.podAddresses(t, k), public, r.nodePort(t, k)) {
			if err := unlisted.connects(t.Context(), address); !errors.Is(err, errCut) {
				t.Errorf("connecting to %s: got %v, want %v", address, err, errCut)
			}
		}
	})
	r.step(t, "with networkPolicy.enabled false it connects, and the receiver refuses it with 403", func(t *testing.T, line *row) {
		r.patch(t, ns, "webhookendpoint/chat", `{"spec":{"networkPolicy":{"enabled":false}}}`)
		line.note("policy gone after %s", seconds(r.policyGone(t, k)))
		for _, address := range append(r.podAddresses(t, k), r.nodePort(t, k)) {
			c := unlisted.client()
			eventually(t, soon, "a connection to "+address, func(ctx context.Context) error { return unlisted.connects(ctx, address) })
			answers(t, c, address, stream("/stream", message("from nobody")), http.StatusForbidden, `{"error":"this client address may not send here"}`)
		}
		answers(t, from, public, stream("/stream", message("still listed")), http.StatusOK, "{}")
		r.arrive(t, sink, "/app", 3)
		r.ready(t, k)
		r.enforcedBy(t, k, v1alpha1.EnforcedByReceiver)
	})
}

// holdsStatus fails the test unless a load-balanced endpoint's status is as it is to
// be before any traffic.
func (r *rig) holdsStatus(t testing.TB, k key, url string) {
	t.Helper()
	ep, err := r.endpoint(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		condition string
		status    metav1.ConditionStatus
		reason    string
	}{
		{v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonAvailable},
		{v1alpha1.ConditionProviderResolved, metav1.ConditionTrue, v1alpha1.ReasonBuiltIn},
		{v1alpha1.ConditionSecretReady, metav1.ConditionTrue, v1alpha1.ReasonSecretsUsable},
		{v1alpha1.ConditionSinksReady, metav1.ConditionTrue, v1alpha1.ReasonSinksDelivering},
		{v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonReceiversAvailable},
		{v1alpha1.ConditionExposed, metav1.ConditionTrue, v1alpha1.ReasonExposed},
		{v1alpha1.ConditionSourcePreserved, metav1.ConditionUnknown, v1alpha1.ReasonNoTraffic},
		{v1alpha1.ConditionDurable, metav1.ConditionTrue, v1alpha1.ReasonSyncedOnNode},
	} {
		if err := conditionIs(ep, want.condition, want.status, want.reason); err != nil {
			t.Errorf("want %s %s %s: %v", want.condition, want.status, want.reason, err)
		}
	}
	s := ep.Status
	if s.URL != url || s.DedupScope != v1alpha1.DedupScopeReplica || s.AllowlistEnforcedBy != v1alpha1.EnforcedByNetworkPolicy {
		t.Errorf("status has URL %q, dedup scope %q, enforcer %q", s.URL, s.DedupScope, s.AllowlistEnforcedBy)
	}
	if len(s.Conditions) != 8 { // neither Reconciling nor Stalled
		t.Errorf("there are %d conditions: %v", len(s.Conditions), s.Conditions)
	}
	if !slices.Contains(s.Hooks, v1alpha1.HookStatus{Name: "before-message-send", URL: url + "/before-message-send"}) {
		t.Errorf("status has hooks %v", s.Hooks)
	}
	if len(s.SourceRanges) != 7 || !slices.Contains(s.SourceRanges, v1alpha1.SourceRange{Region: "us-east", CIDR: streamUSEast + "/32"}) {
		t.Errorf("status has ranges %v", s.SourceRanges)
	}
	if p := s.Profile; p == nil || p.Name != streamChat || p.Origin != v1alpha1.ProfileBuiltIn || !strings.HasPrefix(p.Revision, "sha256:") {
		t.Errorf("status has profile %v", p)
	}
}

// podAddresses are the webhook ports of the endpoint's receivers.
func (r *rig) podAddresses(t testing.TB, k key) []string {
	t.Helper()
	var all []string
	for _, p := range r.receivers(t, k) {
		all = append(all, p.Status.PodIP+":8080")
	}
	if len(all) == 0 {
		t.Fatalf("endpoint %s has no receivers", k)
	}
	return all
}

// arrive waits until so many events have come to a sink's path.
func (r *rig) arrive(t testing.TB, s *sink, path string, want int) {
	t.Helper()
	eventually(t, soon, fmt.Sprintf("%d events at %s%s", want, s.name, path), func(ctx context.Context) error {
		all, err := s.events(ctx, path)
		if err == nil && len(all) != want {
			err = fmt.Errorf("there are %d", len(all))
		}
		return err
	})
}

// sawOnly fails the test unless the endpoint's receivers have had verified requests
// from address and from nowhere else.
func (r *rig) sawOnly(t testing.TB, k key, address string) {
	t.Helper()
	pages, err := r.statusPages(t.Context(), t, k)
	if err != nil {
		t.Fatal(err)
	}
	var verified int64
	for _, p := range pages {
		for _, ep := range p.Endpoints {
			s := ep.Sources
			verified += s.Verified
			if s.Verified > 0 && (s.Finding != statusz.SourcePreserved || s.Via != statusz.SourceViaPeer || !slices.Equal(s.Addresses, []string{address})) {
				t.Errorf("a receiver says of its clients: %s, by %s, %v", s.Finding, s.Via, s.Addresses)
			}
		}
	}
	if verified == 0 {
		t.Error("no receiver has seen a verified request")
	}
}

var errThere = errors.New("it is still there")

// policyGone waits until the endpoint has no NetworkPolicy.
func (r *rig) policyGone(t testing.TB, k key) time.Duration {
	t.Helper()
	return eventually(t, soon, "the end of the NetworkPolicy", func(ctx context.Context) error {
		err := r.kube.Get(ctx, key{Namespace: k.Namespace, Name: k.Name + "-receiver"}, &networkingv1.NetworkPolicy{})
		if err == nil {
			return errThere
		}
		return client.IgnoreNotFound(err)
	})
}

// enforcedBy waits until the status says who enforces the ranges.
func (r *rig) enforcedBy(t testing.TB, k key, want v1alpha1.Enforcer) {
	t.Helper()
	eventually(t, soon, "enforced by "+string(want), func(ctx context.Context) error {
		ep, err := r.endpoint(ctx, k)
		if err == nil && ep.Status.AllowlistEnforcedBy != want {
			err = fmt.Errorf("enforced by %s", ep.Status.AllowlistEnforcedBy)
		}
		return err
	})
}
