package desired

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Object is an apply configuration of one object, with its kind, name and
// namespace. Every value in it is written as the API server stores it, so that an
// object that was applied, and that nobody changed, holds all that its apply
// configuration holds.
type Object interface {
	runtime.ApplyConfiguration
	GetAPIVersion() *string
	GetKind() *string
	GetName() *string
	GetNamespace() *string
}

// Inputs is what the objects of an endpoint depend on besides its manifest.
type Inputs struct {
	// Config is what the receivers shall read. Path, Secrets, sinks, sizes, drain
	// times, source mode and ranges of the objects are taken from it and not from
	// the endpoint, so that objects and configuration agree also when the
	// endpoint's newest generation cannot be resolved and the configuration is the
	// last good one.
	Config *config.Config
	// Profile is the profile of the provider that Config was made from, if that is
	// a WebhookProvider. It is kept beside Config, so that it can be gone back to.
	Profile *v1alpha1.WebhookProvider
	// Image is the receiver's image.
	Image string
	// Replicas is how many receivers the workload shall have; nil leaves that to
	// whoever scales it.
	Replicas *int32
	// VolumeBytes is the size of the volumes that a Persistent queue's workload makes
	// already; 0 while there is none. It cannot change.
	VolumeBytes int64
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
	// RouteTimeouts is whether its HTTPRoutes have the field timeouts. An older one
	// would refuse the whole route for it.
	RouteTimeouts bool
	// Certificates is whether the cluster has Certificates (of cert-manager).
	Certificates bool
	// Unrouted leaves the HTTPRoute or Ingress out: another endpoint has the host and
	// path.
	Unrouted bool
}

// Operator says where the operator's pods are. Without a namespace nobody is let
// to the receivers' status on the operator's behalf.
type Operator struct {
	Namespace string
	// Labels select the pods in Namespace; none select all of them.
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
	// LabelInstance has the endpoint's name, as tools of others expect.
	LabelInstance = "app.kubernetes.io/instance"
	// LabelComponent has the value Component.
	LabelComponent = "app.kubernetes.io/component"
	// LabelEndpoint has the endpoint's name.
	LabelEndpoint = "fairlead.dev/endpoint"
	ManagedBy     = "fairlead-operator"
	Name          = "fairlead-receiver"
	Component     = "receiver"
)

// kind is the kind of those that own the objects.
const kind = "WebhookEndpoint"

// ReceiverName is the name of the endpoint's workload and of most other objects.
func ReceiverName(endpoint string) string { return endpoint + "-receiver" }

// HeadlessName is the name of the Service that receivers find each other by.
func HeadlessName(endpoint string) string { return ReceiverName(endpoint) + "-headless" }

// ConfigMapName is the name of the ConfigMap with the receivers' configuration.
// It ends in the schema of the configuration: receivers of another version, that
// still run during an upgrade, keep their own.
func ConfigMapName(endpoint string) string {
	return ConfigMapPrefix(endpoint) + config.SchemaName(config.Schema)
}

// ConfigMapPrefix is what the names of an endpoint's ConfigMaps begin with, those
// of other versions included.
func ConfigMapPrefix(endpoint string) string { return ReceiverName(endpoint) + "-" }

// Labels are the labels of every object of the endpoint.
func Labels(endpoint string) map[string]string {
	return map[string]string{
		LabelManagedBy: ManagedBy,
		LabelName:      Name,
		LabelInstance:  endpoint,
		LabelComponent: Component,
		LabelEndpoint:  endpoint,
	}
}

// Selector are the labels that select the endpoint's receivers. A workload's
// selector cannot be changed, so these never are.
func Selector(endpoint string) map[string]string {
	return map[string]string{LabelName: Name, LabelEndpoint: endpoint}
}

// Objects returns what the endpoint needs, in the order in which it is to be
// applied: what others refer to comes first, and the NetworkPolicy before the
// pods that it guards. The error is a configuration that is missing, that cannot
// be written as text, or that enforces no range, with which nothing may be
// opened; or a preset that there is not.
func Objects(ep *v1alpha1.WebhookEndpoint, in Inputs) ([]Object, error) {
	b := &builder{ep: resolve.Filled(ep), in: in}
	if err := b.check(); err != nil {
		return nil, err
	}
	configMap, err := b.configMap()
	if err != nil {
		return nil, err
	}
	workload, err := b.workload()
	if err != nil {
		return nil, err
	}
	all := []Object{b.serviceAccount(), configMap}
	if in.Certificates && asksIssuer(b.ep) {
		all = append(all, b.certificate())
	}
	if policed(b.ep) {
		all = append(all, b.networkPolicy())
	}
	all = append(all, b.service(), b.headlessService(), workload, b.podDisruptionBudget())
	if b.ep.Spec.Receiver.Autoscaling != nil {
		all = append(all, b.autoscaler())
	}
	routes, err := b.routes()
	if err != nil {
		return nil, err
	}
	all = append(all, routes...)
	if in.PodMonitors {
		all = append(all, b.podMonitor())
	}
	return all, nil
}

// builder makes the objects of one endpoint; there is a method for each.
type builder struct {
	// ep lacks no group of settings, and is a copy.
	ep *v1alpha1.WebhookEndpoint
	in Inputs
}

func (b *builder) check() error {
	switch {
	case b.in.Config == nil:
		return errors.New("building objects: there is no configuration")
	case b.enforces() && len(b.in.Config.Sources.Ranges) == 0:
		return errors.New("building objects: the configuration enforces source ranges and lists none")
	}
	return nil
}

func (b *builder) name() string { return ReceiverName(b.ep.Name) }

func (b *builder) labels() map[string]string { return Labels(b.ep.Name) }

func (b *builder) selector() *metav1ac.LabelSelectorApplyConfiguration {
	return metav1ac.LabelSelector().WithMatchLabels(Selector(b.ep.Name))
}

// owner refers to the endpoint, so that the cluster removes the objects with it.
// There is none for an endpoint that is not in a cluster.
func (b *builder) owner() []*metav1ac.OwnerReferenceApplyConfiguration {
	if b.ep.UID == "" {
		return nil
	}
	return []*metav1ac.OwnerReferenceApplyConfiguration{metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(kind).
		WithName(b.ep.Name).WithUID(b.ep.UID).
		WithController(true).WithBlockOwnerDeletion(true)}
}

// enforces reports whether unlisted addresses are to be kept out. What is not
// Observe enforces.
func (b *builder) enforces() bool { return b.in.Config.Sources.Mode != v1alpha1.SourceObserve }

// Ref names an object of an endpoint.
type Ref struct {
	schema.GroupVersionKind
	Name string
}

// Possible lists every object that some endpoint of that name may need. What is
// there, is the endpoint's own, and is not among Objects is to be removed. Some
// kinds may be unknown to the cluster: HTTPRoute, Certificate and PodMonitor.
// ConfigMaps of other versions are not listed: they go when no receiver needs them.
func Possible(endpoint string) []Ref {
	receiver := ReceiverName(endpoint)
	return []Ref{
		ref("monitoring.coreos.com/v1", "PodMonitor", receiver),
		ref("gateway.networking.k8s.io/v1", "HTTPRoute", receiver),
		ref("networking.k8s.io/v1", "Ingress", receiver),
		ref("cert-manager.io/v1", "Certificate", receiver),
		ref("autoscaling/v2", "HorizontalPodAutoscaler", receiver),
		ref("policy/v1", "PodDisruptionBudget", receiver),
		ref("apps/v1", "Deployment", receiver),
		ref("apps/v1", "StatefulSet", receiver),
		ref("v1", "Service", receiver),
		ref("v1", "Service", HeadlessName(endpoint)),
		ref("networking.k8s.io/v1", "NetworkPolicy", receiver),
		ConfigMapRef(ConfigMapName(endpoint)),
		ref("v1", "ServiceAccount", receiver),
	}
}

// ConfigMapRef names a ConfigMap, which may be of another version.
func ConfigMapRef(name string) Ref { return ref("v1", "ConfigMap", name) }

func ref(apiVersion, kind, name string) Ref {
	return Ref{GroupVersionKind: schema.FromAPIVersionAndKind(apiVersion, kind), Name: name}
}

// RefOf names an object.
func RefOf(o Object) Ref { return ref(*o.GetAPIVersion(), *o.GetKind(), *o.GetName()) }

func (r Ref) String() string { return fmt.Sprintf("%s %q", r.Kind, r.Name) }

// annotations returns them as the API takes them; nil if there are none.
func annotations(of map[string]v1alpha1.AnnotationValue) map[string]string {
	if len(of) == 0 {
		return nil
	}
	out := make(map[string]string, len(of))
	for k, v := range of {
		out[k] = string(v)
	}
	return out
}

// or returns v, or the CRD's default for an endpoint that was read without it.
func or[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}
