package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// Client asks one cluster. It may be used by several goroutines.
type Client struct {
	// Namespace is the one that is meant where none is said.
	Namespace string

	api    rest.Interface
	config *rest.Config
	http   *http.Client
}

// page is how many objects one request asks for.
const page = "500"

// endpoints is the path of the endpoints of a namespace; of all if it is empty.
func endpoints(namespace string) []string {
	path := []string{"apis", v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version}
	if namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	return append(path, "webhookendpoints")
}

// Endpoint returns an endpoint of the namespace. If there is none of that name, the
// error lists those that there are.
func (c *Client) Endpoint(ctx context.Context, name string) (*v1alpha1.WebhookEndpoint, error) {
	ep := new(v1alpha1.WebhookEndpoint)
	err := c.get(ctx, ep, nil, append(endpoints(c.Namespace), name)...)
	switch {
	case apierrors.IsNotFound(err):
		return nil, c.noEndpoint(ctx, name)
	case err != nil:
		return nil, c.explain(fmt.Sprintf("reading endpoint %q", name), err, c.Namespace, ruleEndpoints)
	}
	return ep, nil
}

// Endpoints returns the endpoints of a namespace, or of all if it is empty, sorted.
func (c *Client) Endpoints(ctx context.Context, namespace string) ([]v1alpha1.WebhookEndpoint, error) {
	var all []v1alpha1.WebhookEndpoint
	for next := ""; ; {
		var list v1alpha1.WebhookEndpointList
		err := c.get(ctx, &list, map[string]string{"continue": next}, endpoints(namespace)...)
		if apierrors.IsNotFound(err) {
			return nil, ErrNotInstalled
		}
		if err != nil {
			return nil, c.explain("listing endpoints", err, namespace, ruleEndpoints)
		}
		all = append(all, list.Items...)
		if next = list.Continue; next == "" {
			break
		}
	}
	slices.SortFunc(all, func(a, b v1alpha1.WebhookEndpoint) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return all, nil
}

// noEndpoint says that there is no endpoint of a name, and which there are.
func (c *Client) noEndpoint(ctx context.Context, name string) error {
	others, err := c.Endpoints(ctx, c.Namespace)
	if err != nil {
		return fmt.Errorf("looking for endpoint %q: %w", name, err)
	}
	found := make([]string, 0, len(others))
	for i := range others {
		found = append(found, others[i].Name)
	}
	return &NoEndpointError{Namespace: c.Namespace, Name: name, Others: found}
}

// Pods returns the pods of the endpoint's receivers, sorted by name; those that
// have ended for good are among them.
func (c *Client) Pods(ctx context.Context, endpoint string) ([]corev1.Pod, error) {
	var all []corev1.Pod
	for next := ""; ; {
		var list corev1.PodList
		err := c.get(ctx, &list, map[string]string{"continue": next, "labelSelector": selector(endpoint)}, "api", "v1", "namespaces", c.Namespace, "pods")
		if err != nil {
			return nil, c.explain("listing pods", err, c.Namespace, rulePods)
		}
		all = append(all, list.Items...)
		if next = list.Continue; next == "" {
			break
		}
	}
	slices.SortFunc(all, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func selector(endpoint string) string {
	labels := desired.Selector(endpoint)
	parts := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

// Receivers returns the pods of the endpoint's receivers that have not ended for
// good. If there is none, the error says why.
func (c *Client) Receivers(ctx context.Context, endpoint string) ([]corev1.Pod, error) {
	pods, err := c.Pods(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return Ended(&p) })
	if len(pods) > 0 {
		return pods, nil
	}
	ep, err := c.Endpoint(ctx, endpoint)
	if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("endpoint %q has no receiver in namespace %q, and you may not see whether there is such an endpoint", endpoint, c.Namespace)
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("endpoint %q has no receiver: %s", endpoint, why(ep))
}

// why says in the operator's words why an endpoint has no receivers.
func why(ep *v1alpha1.WebhookEndpoint) string {
	if ep.Status == nil {
		ep.Status = &v1alpha1.WebhookEndpointStatus{}
	}
	for _, kind := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionAvailable, v1alpha1.ConditionReady} {
		if cond := meta.FindStatusCondition(ep.Status.Conditions, kind); cond != nil {
			return fmt.Sprintf("%s is %s (%s): %s", cond.Type, cond.Status, cond.Reason, cond.Message)
		}
	}
	return "no operator has seen it; is one running that serves this namespace?"
}

// get reads a path into an object.
func (c *Client) get(ctx context.Context, into any, params map[string]string, path ...string) error {
	req := c.api.Get().AbsPath(path...).SetHeader("Accept", "application/json")
	if params != nil {
		req.Param("limit", page)
	}
	for k, v := range params {
		if v != "" {
			req.Param(k, v)
		}
	}
	answer := req.Do(ctx)
	if err := answer.Error(); err != nil { // it says more than what Raw returns
		return err
	}
	data, err := answer.Raw()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading the API server's answer: %w", err)
	}
	return nil
}
