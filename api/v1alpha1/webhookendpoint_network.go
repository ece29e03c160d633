package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ExposureType says what brings requests to the receiver.
//
// +kubebuilder:validation:Enum=ClusterIP;LoadBalancer;Gateway;Ingress
type ExposureType string

// The values of ExposureType.
const (
	ExposureClusterIP    ExposureType = "ClusterIP"
	ExposureLoadBalancer ExposureType = "LoadBalancer"
	ExposureGateway      ExposureType = "Gateway"
	ExposureIngress      ExposureType = "Ingress"
)

// Exposure says under which URL the provider reaches the endpoint.
//
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'Gateway') == has(self.gateway)",message="gateway goes with type Gateway: set gateway.parentRefs for that type, and take gateway out for others"
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || self.type == 'Ingress'",message="ingress is for type Ingress; take it out, or set type to Ingress"
// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || self.type == 'LoadBalancer'",message="loadBalancer is for type LoadBalancer; take it out, or set type to LoadBalancer"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !has(self.type) || self.type != 'Gateway'",message="with a Gateway the listener has the certificate; take tls out"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !has(self.tls.issuerRef) || has(self.host)",message="set host to the public host name: tls.issuerRef asks for a certificate for it"
// +kubebuilder:validation:XValidation:rule="!has(self.proxyProtocol) || self.proxyProtocol == 'None' || !has(self.type) || self.type in ['ClusterIP', 'LoadBalancer']",message="proxyProtocol is for types ClusterIP and LoadBalancer: a Gateway or an Ingress controller speaks HTTP to the receiver; take it out"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || !(self.type in ['Gateway', 'Ingress']) || has(self.host)",message="set host to the public host name: without it the route would take the requests of every host"
type Exposure struct {
	// type is what brings requests to the receiver. ClusterIP: nothing of ours, a
	// proxy that you run. LoadBalancer: a Service of that type; the provider's
	// address has to survive it, see externalTrafficPolicy of your cloud. Gateway:
	// an HTTPRoute. Ingress: an Ingress. A change of the type removes what the old
	// one made.
	// +default="ClusterIP"
	// +optional
	Type ExposureType `json:"type,omitempty"`

	// host is the public host name, such as hooks.example.com. Gateway and Ingress
	// need it, and so do providers that sign the URL, because the URL is never
	// taken from a request.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Host string `json:"host,omitempty"`

	// path is the endpoint's path; the provider's further hooks lie below it.
	// +default="/"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^/([-._~0-9A-Za-z]+(/[-._~0-9A-Za-z]+)*)?$`
	// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(s, s == '.' || s == '..')",message="path must not have a segment '.' or '..'; write the path as clients send it"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/.well-known/fairlead')",message="paths below /.well-known/fairlead are the receiver's own; choose another"
	// +optional
	Path string `json:"path,omitempty"`

	// gateway says to which Gateways the endpoint's HTTPRoute belongs.
	// +optional
	Gateway *GatewayExposure `json:"gateway,omitempty"`

	// ingress says how the endpoint's Ingress is served.
	// +optional
	Ingress *IngressExposure `json:"ingress,omitempty"`

	// loadBalancer says how the endpoint's Service of type LoadBalancer is made.
	// +optional
	LoadBalancer *LoadBalancerExposure `json:"loadBalancer,omitempty"`

	// tls says with which certificate the host is served: by the Ingress
	// controller with type Ingress, by the receiver itself with types LoadBalancer
	// and ClusterIP. A receiver takes a renewed certificate without a restart.
	// +optional
	TLS *ExposureTLS `json:"tls,omitempty"`

	// proxyProtocol is None or Required. With Required, each connection from one
	// of spec.sources.trustedProxies must begin with a PROXY protocol header,
	// version 1 or 2, that says who the client is; one without it has no client
	// address, and is refused while ranges are enforced. Connections from
	// elsewhere must not begin with one: it would not be believed.
	// +default="None"
	// +optional
	ProxyProtocol ProxyProtocol `json:"proxyProtocol,omitempty"`
}

// ProxyProtocol says whether connections begin with a PROXY protocol header.
//
// +kubebuilder:validation:Enum=None;Required
type ProxyProtocol string

// The values of ProxyProtocol.
const (
	ProxyProtocolNone     ProxyProtocol = "None"
	ProxyProtocolRequired ProxyProtocol = "Required"
)

// GatewayExposure says to which Gateways an endpoint's HTTPRoute belongs.
type GatewayExposure struct {
	// parentRefs lists the Gateways that shall route to the endpoint.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	ParentRefs []GatewayReference `json:"parentRefs,omitempty"`
}

// GatewayReference names a Gateway, or one of its listeners.
type GatewayReference struct {
	// name is the Gateway's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// namespace is the Gateway's namespace. Unset means the endpoint's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`

	// sectionName is the name of a listener. Unset means all listeners that take
	// the host.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	SectionName string `json:"sectionName,omitempty"`

	// port is the port of the listeners. Unset means all ports.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// IngressExposure says how an endpoint's Ingress is served.
type IngressExposure struct {
	// className is the IngressClass. Unset means the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	ClassName string `json:"className,omitempty"`

	// preset adds the annotations by which an ingress controller suits webhooks:
	// body size, time-outs and buffering. It is one of ingress-nginx, traefik,
	// haproxy and aws-alb. They are data of the operator, so the list of allowed
	// annotations does not matter to them; annotations of your own go before them.
	// +optional
	Preset IngressPreset `json:"preset,omitempty"`

	// annotations are put on the Ingress. Only those that the operator's
	// --allowed-annotations lists are taken; another one stalls the endpoint.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// IngressPreset names an ingress controller whose annotations are known.
//
// +kubebuilder:validation:Enum=ingress-nginx;traefik;haproxy;aws-alb
type IngressPreset string

// The values of IngressPreset.
const (
	PresetIngressNginx IngressPreset = "ingress-nginx"
	PresetTraefik      IngressPreset = "traefik"
	PresetHAProxy      IngressPreset = "haproxy"
	PresetAWSALB       IngressPreset = "aws-alb"
)

// LoadBalancerExposure says how a Service of type LoadBalancer is made.
type LoadBalancerExposure struct {
	// className is the load balancer's class. Kubernetes lets nobody change it
	// once the Service is there. Unset means the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9A-Z]([-./_a-z0-9A-Z]*[a-z0-9A-Z])?$`
	ClassName string `json:"className,omitempty"`

	// port is the public port. Unset means 443 with exposure.tls, else 80. Without
	// exposure.tls the receiver speaks plain HTTP: set 443 then only if the load
	// balancer ends TLS, which its annotations say.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`

	// annotations are put on the Service. Only those that the operator's
	// --allowed-annotations lists are taken; another one stalls the endpoint.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// ExposureTLS names a certificate.
//
// +kubebuilder:validation:AtLeastOneOf=secretName;issuerRef
type ExposureTLS struct {
	// secretName is the Secret of type kubernetes.io/tls with the certificate and
	// its key. The operator cannot read it; whoever serves TLS does. With
	// issuerRef it is where cert-manager puts the certificate; unset means
	// NAME-receiver-tls.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	SecretName string `json:"secretName,omitempty"`

	// issuerRef has cert-manager issue the certificate for exposure.host, if the
	// cluster has cert-manager.
	// +optional
	IssuerRef *IssuerReference `json:"issuerRef,omitempty"`
}

// IssuerReference names an issuer of cert-manager.
type IssuerReference struct {
	// name is the issuer's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// kind is Issuer (in the endpoint's namespace), ClusterIssuer, or the kind of
	// an issuer from elsewhere.
	// +default="Issuer"
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][0-9A-Za-z]*$`
	Kind string `json:"kind,omitempty"`

	// group is the issuer's API group.
	// +default="cert-manager.io"
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Group string `json:"group,omitempty"`
}

// EgressMode says whom the receiver's pods may reach.
//
// +kubebuilder:validation:Enum=Open;Sinks
type EgressMode string

// The values of EgressMode.
const (
	EgressOpen  EgressMode = "Open"
	EgressSinks EgressMode = "Sinks"
)

// NetworkPolicy says who reaches the receiver's pods, and whom they reach. It
// needs a network plugin that enforces NetworkPolicy. The node on which a pod
// runs reaches it always: the kubelet probes from there.
type NetworkPolicy struct {
	// enabled is whether a NetworkPolicy is made. Without it the receiver alone
	// refuses unlisted addresses.
	// +default=true
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// ingressFrom lists who else reaches the webhook port: with Gateway and
	// Ingress the proxy's pods, without which nothing gets in; with the other
	// types your own proxies, those in spec.sources.trustedProxies included. With
	// exposure.proxyProtocol Required, those are let in by themselves.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	IngressFrom []NetworkPeer `json:"ingressFrom,omitempty"` //nolint:kubeapilinter // ExactlyOneOf cannot say that two of its fields go together; a rule of the peer does

	// metricsFrom lists who reaches the telemetry port, such as Prometheus. The
	// operator does in any case.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	MetricsFrom []NetworkPeer `json:"metricsFrom,omitempty"` //nolint:kubeapilinter // ExactlyOneOf cannot say that two of its fields go together; a rule of the peer does

	// healthCheckRanges are the CIDRs from which a load balancer checks the
	// webhook port. Its documentation names them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	HealthCheckRanges []CIDR `json:"healthCheckRanges,omitempty"`

	// egress is Open (everything but link-local and metadata addresses) or Sinks
	// (DNS, the sinks and the responders: a host inside the cluster opens its
	// namespace, any other name opens public addresses on its port).
	// +default="Open"
	// +optional
	Egress EgressMode `json:"egress,omitempty"`
}

// NetworkPeer is a group of pods, or a range of addresses.
//
// +kubebuilder:validation:XValidation:rule="has(self.ipBlock) != (has(self.namespaceSelector) || has(self.podSelector))",message="set either ipBlock, or namespaceSelector and podSelector"
type NetworkPeer struct {
	// namespaceSelector selects namespaces; with podSelector, pods in them. An
	// empty selector selects all namespaces.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// podSelector selects pods: in the selected namespaces, or in the endpoint's
	// own if namespaceSelector is unset.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`

	// ipBlock is a range of addresses.
	// +optional
	IPBlock *IPBlock `json:"ipBlock,omitempty"`
}

// IPBlock is a range of addresses without some of its parts.
type IPBlock struct {
	// cidr is the range.
	// +required
	CIDR CIDR `json:"cidr,omitempty"`

	// except lists parts of the range that are left out.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Except []CIDR `json:"except,omitempty"`
}
