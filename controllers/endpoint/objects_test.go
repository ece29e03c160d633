package endpoint_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// TestDriftIsRepaired changes and deletes what the operator made.
func TestDriftIsRepaired(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	quiet(t, op)
	name := "chat-receiver"

	t.Run("deleted", func(t *testing.T) {
		for _, ref := range made(t, ep) {
			u := object(ref, ep.Namespace)
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
				t.Fatal(err)
			}
			was := u.GetUID()
			if err := admin.Delete(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			until(t, ref.String()+" is back", func(ctx context.Context) error {
				again := object(ref, ep.Namespace)
				if err := admin.Get(ctx, client.ObjectKeyFromObject(again), again); err != nil {
					return err
				}
				if again.GetUID() == was {
					return fmt.Errorf("it is still the old one")
				}
				return nil
			})
		}
	})
	t.Run("value", func(t *testing.T) {
		d := named(&appsv1.Deployment{}, ep.Namespace, name)
		change(t, d, func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "evil:latest" })
		until(t, "the image is ours again", func(ctx context.Context) error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
				return err
			}
			return same("receiver:test", d.Spec.Template.Spec.Containers[0].Image)
		})
	})
	t.Run("opened policy", func(t *testing.T) {
		np := named(&networkingv1.NetworkPolicy{}, ep.Namespace, name)
		change(t, np, func(np *networkingv1.NetworkPolicy) { np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} })
		until(t, "the policy is closed again", func(ctx context.Context) error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(np), np); err != nil {
				return err
			}
			if len(np.Spec.Ingress) < 2 || len(np.Spec.Ingress[0].From) == 0 {
				return fmt.Errorf("ingress is %v", np.Spec.Ingress)
			}
			return nil
		})
	})
	t.Run("emptied selector", func(t *testing.T) { // a policy for other pods protects none of ours
		np := named(&networkingv1.NetworkPolicy{}, ep.Namespace, name)
		change(t, np, func(np *networkingv1.NetworkPolicy) {
			np.Spec.PodSelector.MatchLabels = map[string]string{"app": "other"}
		})
		until(t, "the policy selects receivers again", func(ctx context.Context) error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(np), np); err != nil {
				return err
			}
			return same(ep.Name, np.Spec.PodSelector.MatchLabels[desired.LabelEndpoint])
		})
	})
	t.Run("removed label", func(t *testing.T) { // without it the cache loses sight of the object
		svc := named(&corev1.Service{}, ep.Namespace, name)
		change(t, svc, func(svc *corev1.Service) { delete(svc.Labels, desired.LabelManagedBy) })
		until(t, "the label is back", func(ctx context.Context) error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(svc), svc); err != nil {
				return err
			}
			return same(desired.ManagedBy, svc.Labels[desired.LabelManagedBy])
		})
	})
	t.Run("config", func(t *testing.T) {
		cm := named(&corev1.ConfigMap{}, ep.Namespace, desired.ConfigMapName(ep.Name))
		change(t, cm, func(cm *corev1.ConfigMap) { cm.Data[desired.ConfigKey] = "nonsense" })
		until(t, "the configuration is back", func(ctx context.Context) error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(cm), cm); err != nil {
				return err
			}
			if !strings.Contains(cm.Data[desired.ConfigKey], "kind: ReceiverConfig") {
				return fmt.Errorf("it is %q", cm.Data[desired.ConfigKey])
			}
			return nil
		})
	})
	quiet(t, op)
}

// TestOthersFieldsAreLeft holds that what others add stays, and costs nothing.
func TestOthersFieldsAreLeft(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	quiet(t, op)
	d := named(&appsv1.Deployment{}, ep.Namespace, "chat-receiver")
	before := reconciles(t)
	change(t, d, func(d *appsv1.Deployment) {
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, "team", "chat")
		metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, "kubectl.kubernetes.io/restartedAt", "now") // kubectl rollout restart
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: "mesh", Image: "mesh:1"})
	})
	reconciled(t, before, 1)
	if writes := quiet(t, op); len(writes) > 0 {
		t.Errorf("what others added was written to: %q", writes)
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
		t.Fatal(err)
	}
	if len(d.Spec.Template.Spec.Containers) != 2 || d.Annotations["team"] != "chat" {
		t.Errorf("what others added is gone: %v", d.Spec.Template.Spec.Containers)
	}
}

// TestForeignObjects holds that a name which somebody else has is not touched,
// that a condition names it, and that all else is made.
func TestForeignObjects(t *testing.T) {
	start(t)
	ns := namespace(t)
	theirs := named(&corev1.Service{}, ns, "chat-receiver")
	theirs.Spec = corev1.ServiceSpec{Selector: map[string]string{"app": "theirs"}, Ports: []corev1.ServicePort{{Port: 80}}}
	create(t, theirs)
	budget := named(&policyv1.PodDisruptionBudget{}, ns, "chat-receiver") // with our labels: it is not ours for that
	budget.Labels = desired.Labels("chat")
	budget.Spec.MaxUnavailable = ptr.To(theirs.Spec.Ports[0].TargetPort)
	create(t, budget)
	ep := chat(ns)
	create(t, ep)
	c := is(t, ep, v1alpha1.ConditionReady, no, v1alpha1.ReasonNameConflict)
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonNameConflict)
	if !strings.Contains(c.Message, `"chat-receiver" exists and does not belong to this endpoint`) {
		t.Errorf("the message is %q", c.Message)
	}
	deployed(t, ep)
	for _, obj := range []client.Object{theirs, budget} {
		was := obj.GetResourceVersion()
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil || obj.GetResourceVersion() != was {
			t.Errorf("%T was touched (%v)", obj, err)
		}
	}
	if err := admin.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendDeliveries }) // foreign objects are not watched
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonDeliveriesSuspended)
}

// TestDeletedBetween holds that deleting an endpoint touches no object of another
// owner, and that an endpoint which is being deleted is not served.
func TestDeletedBetween(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	ep.Finalizers = []string{"example.com/wait"}
	create(t, ep)
	quiet(t, op)
	if err := admin.Delete(t.Context(), ep); err != nil {
		t.Fatal(err)
	}
	quiet(t, op)
	d := named(&appsv1.Deployment{}, ep.Namespace, "chat-receiver")
	if err := admin.Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if writes := quiet(t, op); len(writes) > 0 {
		t.Errorf("an endpoint that is being deleted was written for: %q", writes)
	}
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Finalizers = nil })

	again := chat(ep.Namespace) // its objects are still there, because no garbage collector runs here
	create(t, again)
	c := is(t, again, v1alpha1.ConditionReady, no, v1alpha1.ReasonRollingOut)
	if !strings.Contains(c.Message, "from an endpoint of this name that was deleted") {
		t.Errorf("the message is %q", c.Message)
	}
}

// TestExposureSwitch holds that what the old exposure made goes.
func TestExposureSwitch(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "a.example.com"}
		ep.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{IngressFrom: []v1alpha1.NetworkPeer{{PodSelector: &metav1.LabelSelector{}}}}
		ep.Spec.Receiver = &v1alpha1.Receiver{Autoscaling: &v1alpha1.Autoscaling{MaxReplicas: 4}}
	})
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	if got := ep.Status.URL; got != "https://a.example.com/" {
		t.Errorf("status.url is %q", got)
	}
	quiet(t, op)
	has(t, ep, "Ingress/chat-receiver", "HorizontalPodAutoscaler/chat-receiver")

	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer}
		ep.Spec.Receiver.Autoscaling, ep.Spec.NetworkPolicy.Enabled = nil, ptr.To(false)
	})
	is(t, ep, v1alpha1.ConditionExposed, no, v1alpha1.ReasonAddressPending)
	quiet(t, op)
	hasNot(t, ep, "Ingress/chat-receiver", "HorizontalPodAutoscaler/chat-receiver", "NetworkPolicy/chat-receiver")
	svc := named(&corev1.Service{}, ep.Namespace, "chat-receiver")
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(svc), svc); err != nil {
		t.Fatal(err)
	}
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer || len(svc.Spec.LoadBalancerSourceRanges) < 8 || svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		t.Errorf("the Service is %+v", svc.Spec)
	}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.7"}}
	if err := admin.Status().Update(t.Context(), svc); err != nil {
		t.Fatal(err)
	}
	is(t, ep, v1alpha1.ConditionExposed, yes, v1alpha1.ReasonExposed)
	if got := ep.Status.URL; got != "http://198.51.100.7/" {
		t.Errorf("status.url is %q", got)
	}

	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure = nil })
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	quiet(t, op)
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(svc), svc); err != nil {
		t.Fatal(err)
	}
	if s := svc.Spec; s.Type != corev1.ServiceTypeClusterIP || s.LoadBalancerSourceRanges != nil || s.Ports[0].NodePort != 0 || s.ExternalTrafficPolicy != "" {
		t.Errorf("the Service is %+v", s)
	}
}

// TestReplicasAreHandedOver holds that a switch to an autoscaler, and back,
// never sets another number than the one that is.
func TestReplicasAreHandedOver(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver = &v1alpha1.Receiver{Replicas: 3} })
	create(t, ep)
	seen := map[int32]bool{}
	replicas := func(want int32) {
		t.Helper()
		quiet(t, op)
		d := deployed(t, ep)
		if seen[*d.Spec.Replicas] = true; *d.Spec.Replicas != want {
			t.Errorf("there are %d replicas, want %d", *d.Spec.Replicas, want)
		}
	}
	scale := func(n int32) { // as an autoscaler or a person does
		t.Helper()
		d := deployed(t, ep)
		s := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: n}}
		if err := admin.SubResource("scale").Update(t.Context(), d, client.WithSubResourceBody(s), client.FieldOwner("autoscaler")); err != nil {
			t.Fatal(err)
		}
	}
	replicas(3)
	scale(7) // nobody's business while the endpoint says 3
	replicas(3)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Receiver.Replicas, ep.Spec.Receiver.Autoscaling = 0, &v1alpha1.Autoscaling{MaxReplicas: 9}
	})
	replicas(3)
	scale(8)
	replicas(8)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendDeliveries })
	replicas(8)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver.Autoscaling = nil })
	replicas(8) // and nobody says otherwise
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver.Replicas = 5 })
	replicas(5)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver.Replicas = 0 })
	replicas(5)
	if diff := cmp.Diff(map[int32]bool{3: true, 8: true, 5: true}, seen); diff != "" {
		t.Errorf("numbers of replicas (-want +got):\n%s", diff)
	}
}

// TestScaledToZero holds that an endpoint without receivers is not Ready, also
// when somebody wants it so.
func TestScaledToZero(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	change(t, deployed(t, ep), func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](0) })
	rollOut(t, ep)
	c := is(t, ep, v1alpha1.ConditionAvailable, no, v1alpha1.ReasonNoReceivers)
	if err := contains(c.Message, "was scaled to 0, so nobody takes events"); err != nil {
		t.Error(err)
	}
	is(t, ep, v1alpha1.ConditionReady, no, v1alpha1.ReasonNoReceivers)
	quiet(t, op)
	if got := *deployed(t, ep).Spec.Replicas; got != 0 {
		t.Errorf("there are %d replicas: the number that somebody set was changed", got)
	}
}

// TestNoNeedlessRestart holds that the pod template changes only when receivers
// must be started anew, and that their configuration changes with the endpoint.
func TestNoNeedlessRestart(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	quiet(t, op)
	was := deployed(t, ep).Generation
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Regions = []string{"us-east"}
		ep.Spec.Sinks[0].HTTP.URL = "http://other.shop.svc/"
		ep.Spec.Exposure = &v1alpha1.Exposure{Host: "hooks.example.com", Path: "/stream"}
	})
	quiet(t, op)
	if got := deployed(t, ep).Generation; got != was {
		t.Errorf("the Deployment is of generation %d, want %d as before", got, was)
	}
	if text := configOf(t, ep); !strings.Contains(text, "http://other.shop.svc/") || !strings.Contains(text, "path: /stream") {
		t.Errorf("the configuration is\n%s", text)
	}
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.SecretRef.Name = "another" })
	quiet(t, op)
	if got := deployed(t, ep).Generation; got == was {
		t.Error("another Secret must be mounted, and the Deployment is as before")
	}
}

// made lists the objects that the endpoint has.
func made(t *testing.T, ep *v1alpha1.WebhookEndpoint) []desired.Ref {
	t.Helper()
	var out []desired.Ref
	have := present(t.Context(), t, ep)
	for _, ref := range desired.Possible(ep.Name) {
		for _, p := range have {
			if p == ref.Kind+"/"+ref.Name {
				out = append(out, ref)
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("the endpoint has no objects")
	}
	return out
}

func object(ref desired.Ref, namespace string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(ref.GroupVersionKind)
	return named(u, namespace, ref.Name)
}

// configOf returns what the endpoint's receivers read.
func configOf(t *testing.T, ep *v1alpha1.WebhookEndpoint) string {
	t.Helper()
	cm := named(&corev1.ConfigMap{}, ep.Namespace, desired.ConfigMapName(ep.Name))
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(cm), cm); err != nil {
		t.Fatal(err)
	}
	return cm.Data[desired.ConfigKey]
}

func same(want, got string) error {
	if want != got {
		return fmt.Errorf("it is %q, want %q", got, want)
	}
	return nil
}
