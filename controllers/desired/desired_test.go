package desired_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

var update = flag.Bool("update", false, "accept what is built as the golden files")

// now is the moment of every test: the profile's ranges do not change.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// endpoint returns a minimal endpoint with the CRD's defaults.
func endpoint() *v1alpha1.WebhookEndpoint {
	return &v1alpha1.WebhookEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat", Generation: 3, UID: "11111111-2222-3333-4444-555555555555"},
		Spec: v1alpha1.WebhookEndpointSpec{
			Provider:  "acme",
			SecretRef: v1alpha1.SecretReference{Name: "signing"},
			Sources:   &v1alpha1.Sources{Mode: v1alpha1.SourceEnforce},
			Sinks:     []v1alpha1.Sink{httpSink("app", "http://app.shop.svc/hooks")},
			Queue: &v1alpha1.Queue{
				Type: v1alpha1.QueueEphemeral, Capacity: ptr.To(resource.MustParse("1Gi")), Retention: "24h", Reclaim: v1alpha1.ReclaimRetain,
				DeadLetters: &v1alpha1.DeadLetters{Capacity: ptr.To(resource.MustParse("256Mi")), WhenFull: v1alpha1.WhenFullReject},
			},
			Exposure: &v1alpha1.Exposure{Type: v1alpha1.ExposureClusterIP, Path: "/"},
			Limits:   &v1alpha1.Limits{MaxBodyBytes: ptr.To(resource.MustParse("1Mi"))},
			Receiver: &v1alpha1.Receiver{
				Resources: &v1alpha1.Resources{
					Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
					Limits:   corev1.ResourceList{"memory": resource.MustParse("512Mi")},
				},
				Drain: &v1alpha1.Drain{Delay: "5s", Grace: "60s"},
			},
			NetworkPolicy: &v1alpha1.NetworkPolicy{Enabled: ptr.To(true), Egress: v1alpha1.EgressOpen},
			Suspend:       v1alpha1.SuspendNone,
		},
	}
}

func httpSink(name, url string) v1alpha1.Sink {
	return v1alpha1.Sink{
		Name: name,
		HTTP: &v1alpha1.HTTPSink{URL: url},
		Delivery: &v1alpha1.Delivery{
			MaxAttempts: 20, MinBackoff: "1s", MaxBackoff: "10m", MaxAge: "72h",
			Timeout: "10s", Concurrency: 16, Ordering: v1alpha1.OrderingNone,
		},
	}
}

// profile returns a provider with two regions, one of which has IPv6.
func profile() *v1alpha1.WebhookProvider {
	p := &v1alpha1.WebhookProvider{
		ObjectMeta: metav1.ObjectMeta{Name: "acme", ResourceVersion: "7", UID: "of-the-profile"},
		Spec: v1alpha1.WebhookProviderSpec{
			Provenance: v1alpha1.Provenance{Documentation: "https://acme.example.com/docs", Checked: "2026-11-22"},
			Signatures: []v1alpha1.Signature{{Algorithm: v1alpha1.HMACSHA256, Header: "X-Signature", Content: "{body}"}},
			Hooks: []v1alpha1.Hook{
				{Name: "events", Mode: v1alpha1.HookAsync, Paths: []v1alpha1.HookPath{{Path: "/"}}},
				{Name: "orders", Mode: v1alpha1.HookAsync, Paths: []v1alpha1.HookPath{{Path: "/orders/paid"}, {Path: "/orders/sent"}}},
				{Name: "check", Mode: v1alpha1.HookSync, Paths: []v1alpha1.HookPath{{Path: "/check"}}, Deadline: "16500ms",
					Allow: &v1alpha1.Reply{Status: 200}, Deny: &v1alpha1.Reply{Status: 200, Body: "no"}},
			},
			Regions: []v1alpha1.Region{
				{Name: "west", Ranges: []v1alpha1.Range{{CIDR: "198.51.100.0/25"}, {CIDR: "2001:db8:1::/48"}}},
				{Name: "east", Ranges: []v1alpha1.Range{{CIDR: "203.0.113.9/32"}, {CIDR: "192.0.2.0/28"}}},
			},
		},
	}
	provider.SetDefaults(p)
	return p
}

// inputs resolves the endpoint as the operator does.
func inputs(t testing.TB, ep *v1alpha1.WebhookEndpoint) desired.Inputs {
	t.Helper()
	res, err := resolve.Resolve(ep, profile(), now)
	if err != nil {
		t.Fatal(err)
	}
	return desired.Inputs{
		Config:   res.Config,
		Image:    "registry.example.com/fairlead/receiver:v1",
		Replicas: ptr.To(desired.InitialReplicas),
		Operator: desired.Operator{Namespace: "fairlead-system", Labels: map[string]string{"app.kubernetes.io/name": "fairlead-operator"}},
	}
}

func objects(t testing.TB, ep *v1alpha1.WebhookEndpoint, in desired.Inputs) []desired.Object {
	t.Helper()
	all, err := desired.Objects(ep, in)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// object returns the one of a kind, as a tree of JSON; nil if there is none. Of
// Services it is the first: not the headless one.
func object(t testing.TB, all []desired.Object, kind string) map[string]any {
	t.Helper()
	for _, o := range all {
		if *o.GetKind() == kind {
			return tree(t, o)
		}
	}
	return nil
}

func tree(t testing.TB, v any) map[string]any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// typed decodes an object strictly into its Go type.
func typed[T any](t testing.TB, o any) *T {
	t.Helper()
	data, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := yaml.UnmarshalStrict(data, out); err != nil {
		t.Fatalf("%T: %v", out, err)
	}
	return out
}

// kinds has a decoder for each kind; none for PodMonitor, whose type is not ours
// to import.
var kinds = map[string]func(testing.TB, any) any{
	"ServiceAccount":          func(t testing.TB, o any) any { return typed[corev1.ServiceAccount](t, o) },
	"ConfigMap":               func(t testing.TB, o any) any { return typed[corev1.ConfigMap](t, o) },
	"Service":                 func(t testing.TB, o any) any { return typed[corev1.Service](t, o) },
	"Deployment":              func(t testing.TB, o any) any { return typed[appsv1.Deployment](t, o) },
	"StatefulSet":             func(t testing.TB, o any) any { return typed[appsv1.StatefulSet](t, o) },
	"NetworkPolicy":           func(t testing.TB, o any) any { return typed[networkingv1.NetworkPolicy](t, o) },
	"PodDisruptionBudget":     func(t testing.TB, o any) any { return typed[policyv1.PodDisruptionBudget](t, o) },
	"HorizontalPodAutoscaler": func(t testing.TB, o any) any { return typed[autoscalingv2.HorizontalPodAutoscaler](t, o) },
	"Ingress":                 func(t testing.TB, o any) any { return typed[networkingv1.Ingress](t, o) },
	"HTTPRoute":               func(t testing.TB, o any) any { return typed[gatewayv1.HTTPRoute](t, o) },
}

// checkCanonical holds that no field is misspelt, and that every value comes back
// as it was written once it has been through the API's own type: no null, no
// zero that is left out, no quantity that is written in another way.
func checkCanonical(t testing.TB, o desired.Object) {
	t.Helper()
	decode, ok := kinds[*o.GetKind()]
	if !ok {
		return
	}
	missing(t, *o.GetKind(), tree(t, o), tree(t, decode(t, o)))
}

// missing reports what want has and got does not.
func missing(t testing.TB, at string, want, got any) {
	switch w := want.(type) {
	case nil:
		t.Errorf("%s is null", at)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s does not come back", at)
		}
		for k := range w {
			missing(t, at+"."+k, w[k], g[k])
		}
	case []any:
		g, _ := got.([]any)
		if len(w) == 0 || len(w) != len(g) {
			t.Errorf("%s has %d elements and comes back with %d", at, len(w), len(g))
			return
		}
		for i := range w {
			missing(t, at, w[i], g[i])
		}
	default: // a string, a number or a bool
		if want != got {
			t.Errorf("%s is %v and comes back as %v", at, want, got)
		}
	}
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".yaml")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; accept what is built with: go test ./controllers/desired -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); if it is meant, accept it with: go test ./controllers/desired -update\n%s", file, diff)
	}
}

// stream writes objects as they are applied.
func stream(t *testing.T, all []desired.Object) string {
	t.Helper()
	text, err := desired.Stream(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
