package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Role is the ClusterRole with all that the tool needs in a namespace, and ViewerRole
// that with what it needs to list endpoints: where it is for all namespaces, the other
// would lead into every pod of the cluster.
const (
	Role       = "fairlead-receiver-admin"
	ViewerRole = "fairlead-endpoint-viewer"
)

// The rules of RBAC without which something is forbidden.
const (
	ruleEndpoints   = "{apiGroups: [fairlead.dev], resources: [webhookendpoints], verbs: [get, list]}"
	rulePods        = `{apiGroups: [""], resources: [pods], verbs: [list]}`
	rulePortForward = `{apiGroups: [""], resources: [pods/portforward], verbs: [create, get]}`
)

// ErrNotInstalled means that the cluster does not know what an endpoint is.
var ErrNotInstalled = errors.New("this cluster has no WebhookEndpoints: is Fairlead installed there, and is it the cluster that you mean? " +
	"kubectl config current-context says which it is")

// NoEndpointError means that there is no endpoint of a name.
type NoEndpointError struct {
	Namespace, Name string
	// Others are the names of those that there are.
	Others []string
}

// maxOthers bounds the names that the error lists.
const maxOthers = 20

func (e *NoEndpointError) Error() string {
	text := fmt.Sprintf("there is no endpoint %q in namespace %q; ", e.Name, e.Namespace)
	switch n := len(e.Others); {
	case n == 0:
		return text + "there is none at all (fairlead status -A lists those of all namespaces)"
	case n > maxOthers:
		return fmt.Sprintf("%sthere are %s and %d more", text, strings.Join(e.Others[:maxOthers], ", "), n-maxOthers)
	}
	return text + "there are: " + strings.Join(e.Others, ", ")
}

// explain says what was done, and what to do about the error.
func (c *Client) explain(doing string, err error, namespace, rule string) error {
	var network net.Error
	var dial *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w. %s", doing, err, grant(namespace, rule))
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: the API server does not know you: log in again as you do for kubectl: %w", doing, err)
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: the API server at %s does not answer in time; is the cluster up, and reachable from here?", doing, c.config.Host)
	case errors.As(err, &dial):
		return fmt.Errorf("%s: the API server at %s cannot be reached: %w", doing, c.config.Host, dial.Err)
	}
	var ue *url.Error // its text is a long URL
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// grant says which right is missing and which role has it.
func grant(namespace, rule string) string {
	role, how := Role, "kubectl -n "+namespace+" create rolebinding"
	if namespace == "" {
		role, how = ViewerRole, "kubectl create clusterrolebinding"
	}
	return "The right that is missing is " + rule + "; ClusterRole " + role + " has it, and who runs the cluster can bind it: " + how + " NAME --clusterrole=" + role + " --user=USER"
}
