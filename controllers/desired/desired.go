package desired

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Object is an apply configuration of one object, with its kind, name and
// namespace.
type Object interface {
	runtime.ApplyConfiguration
	GetAPIVersion() *string
	GetKind() *string
	GetName() *string
	GetNamespace() *string
}

// Inputs is what the objects of an endpoint depend on besides its manifest.
type Inputs struct {
	// Config is what the receivers shall read. Path, Secrets and ranges of the
	// objects are taken from it and not from the endpoint, so that objects and
	// configuration agree also when the endpoint's newest generation cannot be
	// resolved and the configuration is the last good one.
	Config *config.Config
	// Profile is the profile of the provider that Config was made from, if that is
	// a WebhookProvider. It is kept beside Config, so that it can be gone back to.
	Profile *v1alpha1.WebhookProvider
	// Image is the receiver's image.
	Image string
	// Replicas is how many receivers the workload shall have; nil leaves that to
	// whoever scales it.
	Replicas *int32
	// ServiceFamilies are the IP families that the Service has, as IPv4 and IPv6;
	// empty while that is not known.
	ServiceFamilies []string
	// Operator says where the operator's pods are, which read the receivers' status.
	Operator Operator
	// PodMonitors is whether the cluster has PodMonitors (of the Prometheus
	// operator).
	PodMonitors bool
	// Gateways is whether the cluster has HTTPRoutes (of Gateway API).
	Gateways bool
}

// Operator says where the operator's pods are.
type Operator struct {
	Namespace string
	// Labels select the pods in Namespace.
	Labels map[string]string
}

// The parts of a receiver's pod that others rely on.
const (
	// ContainerName is the receiver's container.
	ContainerName = "receiver"
	// WebhookPort takes webhooks.
	WebhookPort = 8080
	// TelemetryPort serves probes, metrics and /statusz.
	TelemetryPort = 9090
	// InternalPort is between the receivers of an endpoint.
	InternalPort = 8082
	// ConfigKey is the entry of the ConfigMap that the receiver reads.
	ConfigKey = "config.yaml"
	// ProfileKey is the entry of the ConfigMap with the WebhookProvider that the
	// configuration was made from; receivers do not read it.
	ProfileKey = "profile.yaml"
)

// The labels of every object. Caches and selectors rely on them.
const (
	// LabelManagedBy has the value ManagedBy.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelName has the value Name.
	LabelName = "app.kubernetes.io/name"
	// LabelEndpoint has the endpoint's name.
	LabelEndpoint = "fairlead.dev/endpoint"
	ManagedBy     = "fairlead-operator"
	Name          = "fairlead-receiver"
)

// ReceiverName is the name of the endpoint's workload and Services.
func ReceiverName(endpoint string) string { return endpoint + "-receiver" }

// Objects returns what the endpoint needs, in the order in which it is to be
// applied: what others refer to comes first. The error is a ReceiverConfig that
// cannot be written as text.
func Objects(ep *v1alpha1.WebhookEndpoint, in Inputs) ([]Object, error) {
	return nil, fmt.Errorf("not built")
}

// Ref names an object of an endpoint.
type Ref struct {
	schema.GroupVersionKind
	Name string
}

// Possible lists every object that some endpoint of that name may need. What is
// there, is the endpoint's own, and is not among Objects is to be removed.
func Possible(endpoint string) []Ref { return nil }

// families splits ranges by IP family.
func families(all []netip.Prefix) (v4, v6 []netip.Prefix) { return nil, nil }
