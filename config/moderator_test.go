package config_test

import (
	"bytes"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// TestModeratorManifests holds that the sample moderator's objects are what they
// say they are, belong together, and ask for no rights.
func TestModeratorManifests(t *testing.T) {
	var d appsv1.Deployment
	var s corev1.Service
	var b policyv1.PodDisruptionBudget
	var n networkingv1.NetworkPolicy
	documents := bytes.Split(content(t, "samples/moderator/moderator.yaml"), []byte("\n---\n"))
	for i, into := range []any{&d, &s, &b, &n} {
		if i >= len(documents) {
			t.Fatalf("there are %d documents", len(documents))
		}
		if err := yaml.UnmarshalStrict(documents[i], into); err != nil {
			t.Fatalf("document %d: %v", i+1, err)
		}
	}
	const label = "app.kubernetes.io/name"
	name := d.Spec.Template.Labels[label]
	for what, got := range map[string]string{
		"Deployment": d.Spec.Selector.MatchLabels[label], "Service": s.Spec.Selector[label],
		"PodDisruptionBudget": b.Spec.Selector.MatchLabels[label], "NetworkPolicy": n.Spec.PodSelector.MatchLabels[label],
	} {
		if got != name || name == "" {
			t.Errorf("the %s selects pods called %q; they are called %q", what, got, name)
		}
	}
	if s.Spec.Ports[0].TargetPort != intstr.FromString(d.Spec.Template.Spec.Containers[0].Ports[0].Name) {
		t.Errorf("the Service's port %v is none of the container's", s.Spec.Ports[0].TargetPort)
	}
	url := "http://" + s.Name + "." + s.Namespace + ".svc/"
	if !strings.Contains(string(content(t, "samples/cluster/stream-chat-moderated.yaml")), url) {
		t.Errorf("the sample endpoint has no responder at %s", url)
	}
	checkRestricted(t, &d.Spec.Template.Spec)
}

// checkRestricted holds what the Pod Security Standard of that name asks for, and
// some more.
func checkRestricted(t *testing.T, p *corev1.PodSpec) {
	t.Helper()
	c, pod := p.Containers[0].SecurityContext, p.SecurityContext
	switch {
	case p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken:
		t.Error("the pod has an API token")
	case pod == nil || pod.RunAsNonRoot == nil || !*pod.RunAsNonRoot || pod.RunAsUser == nil || *pod.RunAsUser == 0:
		t.Error("the pod may run as root")
	case pod.SeccompProfile == nil || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Error("the pod has not the runtime's seccomp profile")
	case c == nil || c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem:
		t.Error("the container may gain privileges, or write to its root")
	case c.Capabilities == nil || len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" || len(c.Capabilities.Add) > 0:
		t.Error("the container has capabilities")
	}
}
