package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// everything lists what there is in a namespace with some labels, of every kind
// that the cluster has, as kind, name and uid; but for events.
func everything(t *testing.T, namespace string, selector string) []string {
	t.Helper()
	var kinds []string
	for kind := range strings.FieldsSeq(kubectl(t, "api-resources", "--verbs=list", "--namespaced", "-o", "name")) {
		if !strings.HasPrefix(kind, "events") {
			kinds = append(kinds, kind)
		}
	}
	out := kubectl(t, "-n", namespace, "get", strings.Join(kinds, ","), "-l", selector, "--ignore-not-found",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\n"}{end}`)
	all := strings.Split(strings.TrimSpace(out), "\n")
	if out == "" {
		return nil
	}
	slices.Sort(all)
	return all
}

// TestDelete holds that everything goes with an endpoint, and nothing else.
func TestDelete(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	operate(t, ns, image)
	ep := chat(ns, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "hooks.example.com"}
		ep.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{IngressFrom: []v1alpha1.NetworkPeer{{IPBlock: &v1alpha1.IPBlock{CIDR: "10.0.0.0/8"}}}}
		ep.Spec.Receiver = &v1alpha1.Receiver{Autoscaling: &v1alpha1.Autoscaling{MaxReplicas: 3}}
	})
	other := chat(ns)
	other.Name = "other"
	mine := map[string]string{"mine": "yes"}
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "stream", Labels: mine}})
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "chat-receiver", Labels: mine}})
	create(t, ep)
	create(t, other)
	ready(t, ep)
	ready(t, other)

	const of = desired.LabelEndpoint + "="
	has := everything(t, ns, of+"chat")
	for _, kind := range []string{"ServiceAccount", "ConfigMap", "NetworkPolicy", "Service", "Deployment", "ReplicaSet", "Pod",
		"PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress", "EndpointSlice"} {
		if !slices.ContainsFunc(has, func(o string) bool { return strings.HasPrefix(o, kind+"/chat-") }) {
			t.Errorf("there is no %s of the endpoint to be removed", kind)
		}
	}
	kept := append(everything(t, ns, of+"other"), everything(t, ns, "mine")...)
	if len(kept) < 10 {
		t.Fatalf("there are only %q besides", kept)
	}
	kubectl(t, "-n", ns, "delete", "whe", "chat")
	until(t, "all of it is gone", func(context.Context) error {
		if left := everything(t, ns, of+"chat"); len(left) > 0 {
			return fmt.Errorf("left are %q", left)
		}
		return nil
	})
	same(t, "objects of others", kept, append(everything(t, ns, of+"other"), everything(t, ns, "mine")...))
	ready(t, other)
}

// volumes makes what a Persistent endpoint's claims are bound to, as nobody here
// provides volumes.
func volumes(t *testing.T, ep *v1alpha1.WebhookEndpoint, n int) {
	t.Helper()
	for i := range n {
		claim := fmt.Sprintf("data-%s-%d", desired.ReceiverName(ep.Name), i)
		create(t, &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: ep.Namespace + "-" + claim},
			Spec: corev1.PersistentVolumeSpec{
				Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")},
				AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				ClaimRef:               &corev1.ObjectReference{Namespace: ep.Namespace, Name: claim},
				PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/none"}},
			},
		})
	}
}

// claims lists the endpoint's claims that are bound and not on their way out.
func claims(ctx context.Context, ep *v1alpha1.WebhookEndpoint) ([]string, error) {
	var list corev1.PersistentVolumeClaimList
	err := admin.List(ctx, &list, client.InNamespace(ep.Namespace), client.MatchingLabels{desired.LabelEndpoint: ep.Name})
	var out []string
	for i := range list.Items {
		out = append(out, fmt.Sprintf("%s %s", list.Items[i].Name, list.Items[i].Status.Phase))
	}
	slices.Sort(out)
	return out, err
}

// TestPersistent holds that each receiver has a volume, and that the endpoint's
// reclaim decides whether volumes go with it.
func TestPersistent(t *testing.T) {
	t.Parallel()
	for reclaim, want := range map[v1alpha1.ReclaimPolicy][]string{
		v1alpha1.ReclaimRetain: {"data-chat-receiver-0 Bound", "data-chat-receiver-1 Bound"},
		v1alpha1.ReclaimDelete: nil,
	} {
		t.Run(string(reclaim), func(t *testing.T) {
			t.Parallel()
			ns := namespace(t)
			operate(t, ns, image)
			ep := chat(ns, func(ep *v1alpha1.WebhookEndpoint) {
				ep.Spec.Queue = &v1alpha1.Queue{Type: v1alpha1.QueuePersistent, Reclaim: reclaim}
			})
			volumes(t, ep, 2)
			create(t, ep)
			ready(t, ep)
			got, err := claims(t.Context(), ep)
			if err != nil || !slices.Equal(got, []string{"data-chat-receiver-0 Bound", "data-chat-receiver-1 Bound"}) {
				t.Fatalf("the claims are %q, %v, want two that are bound", got, err)
			}
			kubectl(t, "-n", ns, "delete", "whe", "chat")
			until(t, "all but the volumes is gone", func(context.Context) error {
				left := everything(t, ns, desired.LabelEndpoint+"=chat")
				left = slices.DeleteFunc(left, func(o string) bool { return strings.HasPrefix(o, "PersistentVolumeClaim/") })
				if len(left) > 0 {
					return fmt.Errorf("left are %q", left)
				}
				return nil
			})
			until(t, "the volumes are as they should be", func(ctx context.Context) error {
				got, err := claims(ctx, ep)
				if err == nil && !slices.Equal(got, want) {
					err = fmt.Errorf("the claims are %q, want %q", got, want)
				}
				return err
			})
		})
	}
}
