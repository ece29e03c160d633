package helm

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

const operator = "fairlead-operator"

func deployment(t *testing.T, text string) appsv1.Deployment {
	t.Helper()
	return as[appsv1.Deployment](t, render(t, text), "Deployment", operator)
}

// TestPodsAreRestricted holds what no value of any case changes.
func TestPodsAreRestricted(t *testing.T) {
	for _, text := range []string{"", "runAsUser: 1000", "{runAsUser: null, runAsGroup: null}", valuesOf(t, "minimal")} {
		pod := deployment(t, text).Spec.Template.Spec
		s := pod.Containers[0].SecurityContext
		if !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != "RuntimeDefault" || pod.HostNetwork ||
			*s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
			t.Errorf("with %q pods may more than they need: %+v, %+v", text, pod.SecurityContext, s)
		}
	}
}

// TestArguments holds what each value tells the operator.
func TestArguments(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for text, want := range map[string]string{
		"namespaces: [a, b]": "--namespaces=a,b",
		"allowed: {exposures: {'*': [ClusterIP, Gateway]}}":    "--allowed-exposures=*=ClusterIP,Gateway",
		"allowed: {exposures: {shop: []}}":                     "--allowed-exposures=shop=",
		"allowed: {hosts: {shop: ['*.example.com']}}":          "--allowed-hosts=shop=*.example.com",
		"allowed: {annotations: ['example.com/*']}":            "--allowed-annotations=example.com/*",
		"watchProviders: false":                                "--watch-providers=false",
		"metrics: {enabled: false}":                            "--metrics-bind-address=0",
		"receiver: {image: {digest: '" + digest + "'}}":        "--receiver-image=docker.io/fairlead/receiver:v0.1.0@" + digest,
		"global: {imageRegistry: registry.example.com:5000/x}": "--receiver-image=registry.example.com:5000/x/fairlead/receiver:v0.1.0",
	} {
		if args := deployment(t, text).Spec.Template.Spec.Containers[0].Args; !slices.Contains(args, want) {
			t.Errorf("with %s the arguments are %q, want %s among them", text, args, want)
		}
	}
}

// TestObjects holds which objects a value adds or takes away.
func TestObjects(t *testing.T) {
	for _, tt := range []struct {
		text, kind string
		want       int
	}{
		{"", "NetworkPolicy", 1},
		{"networkPolicy: {enabled: false}", "NetworkPolicy", 0},
		{"", "CustomResourceDefinition", 2},
		{"crds: {enabled: false}", "CustomResourceDefinition", 0},
		{"", "PodDisruptionBudget", 1},
		{"disruptionBudget: {enabled: false}", "PodDisruptionBudget", 0},
		{"rbac: {create: false}", "ClusterRoleBinding", 0},
		{"rbac: {create: false, people: false}", "ClusterRole", 0},
		{"namespaces: [a]", "ClusterRoleBinding", 2}, // metrics, reading providers
		{"{namespaces: [a], metrics: {enabled: false}, rbac: {readProviders: false}}", "ClusterRoleBinding", 0},
		{"namespaces: [a, b]", "RoleBinding", 3}, // and the Lease
		{"metrics: {enabled: false}", "Service", 0},
		{"metrics: {podMonitor: {enabled: true}}", "PodMonitor", 0}, // the cluster has not the kind
		{"", "Secret", 0},
	} {
		if got := render(t, tt.text).kind(tt.kind); len(got) != tt.want {
			t.Errorf("with %q there are %ss %v, want %d", tt.text, tt.kind, got, tt.want)
		}
	}
}

func TestKeepKinds(t *testing.T) {
	for text, want := range map[string]string{"": "keep", "crds: {keep: false}": ""} {
		crd := render(t, text).find("CustomResourceDefinition", "webhookendpoints.fairlead.dev")
		if got := crd.GetAnnotations()["helm.sh/resource-policy"]; got != want {
			t.Errorf("with %q the policy is %q, want %q", text, got, want)
		}
	}
}

func TestEgress(t *testing.T) {
	p := as[networkingv1.NetworkPolicy](t, render(t, "networkPolicy: {egress: {restrict: true}}"), "NetworkPolicy", operator)
	if len(p.Spec.PolicyTypes) != 2 || len(p.Spec.Egress) != 2 {
		t.Errorf("the policy is %+v, want the API server and receivers alone", p.Spec)
	}
}

// refused are values that mean nothing, or too much.
var refused = []string{
	"hostNetwork: true",
	"securityContext: {runAsNonRoot: false}",
	"podSecurityContext: {}",
	"runAsUser: 0",
	"replica: 2",
	"image: {digest: sha256:abc}",
	"image: {digest: 'md5:00000000000000000000000000000000'}",
	"image: {registry: 'https://registry.example.com'}",
	"allowed: {exposures: {'*': [NodePort]}}",
	"allowed: {hosts: {'*': ['a,b']}}",
	"allowed: {annotation: []}",
	"namespaces: [Shop]",
	"namespaces: shop",
	"pprofBindAddress: 0.0.0.0:6060",
	"logLevel: loud",
	"discoveryInterval: 30",
	"endpoints: [{name: a}]",
	"endpoints: [{name: a, spec: {provider: stripe}, secret: x}]",
	"{replicas: 2, leaderElection: false}",
	"serviceAccount: {create: false}",
	"{namespaces: [a], endpoints: [{name: e, namespace: b, spec: {provider: stripe}}]}",
}

func TestRefused(t *testing.T) {
	for _, text := range refused {
		if _, err := renderAs(t, release, text); err == nil {
			t.Errorf("%s: nothing is said of it", text)
		}
	}
}
