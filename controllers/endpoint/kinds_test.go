package endpoint_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// TestKindsComeAndGo installs Gateway API and PodMonitors under a running
// operator, and takes them away again.
func TestKindsComeAndGo(t *testing.T) {
	op := start(t)
	ns := namespace(t)
	gated := chat(ns, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Name = "gated"
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureGateway, Host: "b.example.com",
			Gateway: &v1alpha1.GatewayExposure{ParentRefs: []v1alpha1.GatewayReference{{Name: "public", Namespace: "infra"}}}}
		ep.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{IngressFrom: []v1alpha1.NetworkPeer{{NamespaceSelector: &metav1.LabelSelector{}}}}
	})
	create(t, gated)
	rollOut(t, gated)
	is(t, gated, v1alpha1.ConditionExposed, no, v1alpha1.ReasonGatewayAPIMissing)
	issued := chat(ns, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Name = "issued"
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "issued.example.com",
			TLS: &v1alpha1.ExposureTLS{IssuerRef: &v1alpha1.IssuerReference{Name: "public"}}}
		ep.Spec.NetworkPolicy = gated.Spec.NetworkPolicy.DeepCopy()
	})
	create(t, issued)
	rollOut(t, issued)
	is(t, issued, v1alpha1.ConditionExposed, no, v1alpha1.ReasonCertManagerMissing)

	crds := install(t)
	is(t, gated, v1alpha1.ConditionExposed, no, v1alpha1.ReasonRoutePending)
	route := named(&gatewayv1.HTTPRoute{}, ns, "gated-receiver")
	until(t, "the route is there, with time-outs", func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(route), route); err != nil {
			return err
		}
		if wait := route.Spec.Rules[0].Timeouts; wait == nil || *wait.Request != "20s" || *wait.BackendRequest != "20s" {
			return fmt.Errorf("its time-outs are %v", wait)
		}
		return nil
	})
	certify(t, issued)
	monitor := named(podMonitor(), ns, "gated-receiver")
	until(t, "the monitor is there", func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKeyFromObject(monitor), monitor)
	})
	answer := func(status metav1.ConditionStatus, reason string) {
		t.Helper()
		elsewhere := route.Spec.ParentRefs[0]
		elsewhere.Name = "another" // what it says of another parent, from before say, is of no interest
		route.Status.Parents = []gatewayv1.RouteParentStatus{parentStatus(route, elsewhere, no, "NotAllowed"), parentStatus(route, route.Spec.ParentRefs[0], status, reason)}
		if err := admin.Status().Update(t.Context(), route); err != nil {
			t.Fatal(err)
		}
	}
	answer(no, "NoMatchingListenerHostname")
	c := is(t, gated, v1alpha1.ConditionExposed, no, v1alpha1.ReasonRouteRefused)
	if err := contains(c.Message, `Gateway "public" does not take HTTPRoute "gated-receiver": NoMatchingListenerHostname: so it is`); err != nil {
		t.Error(err)
	}
	answer(yes, "Accepted")
	is(t, gated, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)

	t.Run("drift", func(t *testing.T) {
		if err := admin.Delete(t.Context(), monitor); err != nil {
			t.Fatal(err)
		}
		until(t, "the monitor is back", func(ctx context.Context) error {
			return admin.Get(ctx, client.ObjectKeyFromObject(monitor), monitor)
		})
		quiet(t, op)
	})
	whole := t
	t.Run("restart", func(t *testing.T) {
		op.stop()
		before := reconciles(t)
		op = start(whole)
		reconciled(t, before, 1)
		if writes := quiet(t, op); len(writes) > 0 {
			t.Errorf("a steady state was written to: %q", writes)
		}
	})
	t.Run("switch", func(t *testing.T) {
		change(t, issued, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.TLS = &v1alpha1.ExposureTLS{SecretName: "mine"} })
		until(t, "the Certificate is gone", func(ctx context.Context) error { return gone(ctx, certificate(issued)) })
		change(t, gated, func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureClusterIP}
		})
		until(t, "the route is gone", func(ctx context.Context) error { return gone(ctx, route) })
	})
	t.Run("gone", func(t *testing.T) {
		uninstall(t, crds)
		change(t, gated, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendDeliveries })
		is(t, gated, v1alpha1.ConditionReady, yes, v1alpha1.ReasonDeliveriesSuspended)
	})
	t.Run("back", func(t *testing.T) {
		install(t)
		until(t, "the monitor is back", func(ctx context.Context) error {
			monitor := named(podMonitor(), ns, "gated-receiver")
			return admin.Get(ctx, client.ObjectKeyFromObject(monitor), monitor)
		})
	})
}

func parentStatus(route *gatewayv1.HTTPRoute, of gatewayv1.ParentReference, accepted metav1.ConditionStatus, reason string) gatewayv1.RouteParentStatus {
	return gatewayv1.RouteParentStatus{ParentRef: of, ControllerName: "example.com/gateway",
		Conditions: []metav1.Condition{{Type: "Accepted", Status: accepted, Reason: reason, Message: "so it is", ObservedGeneration: route.Generation, LastTransitionTime: metav1.Now()}}}
}

// certify plays cert-manager, which at first does not issue a certificate.
func certify(t *testing.T, ep *v1alpha1.WebhookEndpoint) {
	t.Helper()
	c := certificate(ep)
	until(t, "the Certificate is there", func(ctx context.Context) error { return admin.Get(ctx, client.ObjectKeyFromObject(c), c) })
	spec, _, _ := unstructured.NestedMap(c.Object, "spec")
	if diff := cmp.Diff(map[string]any{"name": "public", "kind": "Issuer", "group": "cert-manager.io"}, spec["issuerRef"]) +
		cmp.Diff([]any{"issued.example.com"}, spec["dnsNames"]) + cmp.Diff("issued-receiver-tls", spec["secretName"]); diff != "" {
		t.Errorf("the Certificate (-want +got):\n%s", diff)
	}
	for _, says := range []string{"False", "True"} {
		change(t, c, func(c *unstructured.Unstructured) {
			c.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": says, "reason": "DoesNotExist", "message": "the order is refused"}}}
		})
		if says == "False" {
			got := is(t, ep, v1alpha1.ConditionExposed, no, v1alpha1.ReasonCertificateMissing)
			if err := contains(got.Message, `Certificate "issued-receiver" is not issued: DoesNotExist: the order is refused`); err != nil {
				t.Error(err)
			}
		}
	}
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
}

func certificate(ep *v1alpha1.WebhookEndpoint) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("cert-manager.io/v1")
	u.SetKind("Certificate")
	return named(u, ep.Namespace, ep.Name+"-receiver")
}

func podMonitor() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("monitoring.coreos.com/v1")
	u.SetKind("PodMonitor")
	return u
}

// loose is a CRD of that group and kind, which takes every field.
func loose(group, kind string) *apiextensionsv1.CustomResourceDefinition {
	singular := strings.ToLower(kind)
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: singular + "s." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: singular + "s", Singular: singular, Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: ptr.To(true)}}}}},
	}
}

// install installs the CRDs of Gateway API, from its module, and ones of the names
// of PodMonitors and Certificates.
func install(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatalf("finding Gateway API: %v", err)
	}
	crds, err := envtest.InstallCRDs(env.Config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(strings.TrimSpace(string(out)), "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml")},
		CRDs:  []*apiextensionsv1.CustomResourceDefinition{loose("monitoring.coreos.com", "PodMonitor"), loose("cert-manager.io", "Certificate")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := envtest.UninstallCRDs(env.Config, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
			t.Error(err)
		}
		undiscovered(context.Background(), t) // an operator that starts now would wait for kinds that are about to go
	})
	return crds
}

// undiscovered waits until the API server has forgotten the kinds.
func undiscovered(ctx context.Context, t *testing.T) {
	t.Helper()
	d := discovery.NewDiscoveryClientForConfigOrDie(env.Config)
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		for _, gv := range []string{gatewayv1.GroupVersion.String(), "monitoring.coreos.com/v1", "cert-manager.io/v1"} {
			if _, err := d.ServerResourcesForGroupVersionWithContext(ctx, gv); !apierrors.IsNotFound(err) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		t.Errorf("waiting until the kinds are forgotten: %v", err)
	}
}

func uninstall(t *testing.T, crds []*apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	if err := envtest.UninstallCRDs(env.Config, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
		t.Fatal(err)
	}
	for _, crd := range crds {
		until(t, crd.Name+" is gone", func(ctx context.Context) error { return gone(ctx, crd.DeepCopy()) })
	}
}
