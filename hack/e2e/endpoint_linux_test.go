package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// key names an endpoint.
type key = client.ObjectKey

func (r *rig) endpoint(ctx context.Context, k key) (*v1alpha1.WebhookEndpoint, error) {
	ep := &v1alpha1.WebhookEndpoint{}
	return ep, r.kube.Get(ctx, k, ep)
}

// becomes waits until a condition of the endpoint's newest generation has a status
// and, unless it is empty, a reason. It returns how long that took.
func (r *rig) becomes(t testing.TB, k key, condition string, status metav1.ConditionStatus, reason string) time.Duration {
	t.Helper()
	return eventually(t, awhile, fmt.Sprintf("endpoint %s: %s is %s %s", k, condition, status, reason), func(ctx context.Context) error {
		ep, err := r.endpoint(ctx, k)
		if err != nil {
			return err
		}
		return conditionIs(ep, condition, status, reason)
	})
}

// ready waits until the endpoint's newest generation is Ready.
func (r *rig) ready(t testing.TB, k key) time.Duration {
	t.Helper()
	return r.becomes(t, k, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
}

// conditionIs says by an error what is otherwise.
func conditionIs(ep *v1alpha1.WebhookEndpoint, condition string, status metav1.ConditionStatus, reason string) error {
	if ep.Status == nil || ep.Status.ObservedGeneration == nil || *ep.Status.ObservedGeneration != ep.Generation {
		return fmt.Errorf("no operator has seen generation %d", ep.Generation)
	}
	c := meta.FindStatusCondition(ep.Status.Conditions, condition)
	if c == nil {
		return fmt.Errorf("there is no condition %s", condition)
	}
	if c.Status != status || reason != "" && c.Reason != reason {
		return fmt.Errorf("%s is %s %s: %s", condition, c.Status, c.Reason, c.Message)
	}
	return nil
}

// receiverLabels are the labels by which an endpoint's receivers are found.
func receiverLabels(name string) map[string]string {
	return map[string]string{"fairlead.dev/endpoint": name}
}

// receivers are the endpoint's pods that are not on their way out.
func (r *rig) receivers(t testing.TB, k key) []corev1.Pod {
	t.Helper()
	return slices.DeleteFunc(r.pods(t, k.Namespace, receiverLabels(k.Name)), func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.PodIP == ""
	})
}

// statusPages are what the endpoint's receivers say of themselves.
func (r *rig) statusPages(ctx context.Context, t testing.TB, k key) ([]statusz.Page, error) {
	t.Helper()
	var all []statusz.Page
	for _, p := range r.receivers(t, k) {
		var page statusz.Page
		if err := getJSON(ctx, "http://"+p.Status.PodIP+":9090/statusz", &page); err != nil {
			return nil, fmt.Errorf("asking receiver %q: %w", p.Name, err)
		}
		all = append(all, page)
	}
	return all, nil
}

// service reads the Service of an endpoint.
func (r *rig) serviceOf(t testing.TB, k key) *corev1.Service {
	t.Helper()
	s := &corev1.Service{}
	eventually(t, soon, "the Service of endpoint "+k.String(), func(ctx context.Context) error {
		return r.kube.Get(ctx, key{Namespace: k.Namespace, Name: k.Name + "-receiver"}, s)
	})
	return s
}

// nodePort is the address of the Service's port on the node.
func (r *rig) nodePort(t testing.TB, k key) string {
	t.Helper()
	return fmt.Sprintf("%s:%d", nodeAddress, r.serviceOf(t, k).Spec.Ports[0].NodePort)
}

// balance gives the endpoint's Service of type LoadBalancer an address, as the
// controller of a cloud does. kube-proxy answers to it on the node.
func (r *rig) balance(t testing.TB, k key, address string) {
	t.Helper()
	s := r.serviceOf(t, k)
	patch := fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q,"ipMode":"VIP"}]}}}`, address)
	run(t, "", "kubectl", "patch", "-n", s.Namespace, "service/"+s.Name, "--subresource=status", "--type=merge", "-p", patch)
}

// streamSecret and socialSecret are the signing secrets of all endpoints.
const (
	streamKey    = "a1b23cdefgh4"
	streamSecret = "not-a-real-stream-secret-0123456789"
	socialSecret = "not-a-real-social-plus-secret-0123456789"
)

// signingSecret is the Secret that the endpoints of a namespace name.
func signingSecret(namespace, provider string) string {
	entry, secret := streamKey, streamSecret
	if provider == socialPlus {
		entry, secret = "webhook", socialSecret
	}
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\nstringData: {%s: %s}", provider, namespace, entry, secret)
}

// manifest is an endpoint. spec is the rest of its specification, indented by two
// spaces.
func manifest(k key, provider, spec string) string {
	return fmt.Sprintf("apiVersion: fairlead.dev/v1alpha1\nkind: WebhookEndpoint\nmetadata: {name: %s, namespace: %s}\nspec:\n  provider: %s\n  secretRef: {name: %s}\n%s",
		k.Name, k.Namespace, provider, provider, strings.Trim(spec, "\n"))
}
