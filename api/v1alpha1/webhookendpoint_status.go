package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WebhookEndpointStatus is what was last observed. It never shows a sink's
// URL.
type WebhookEndpointStatus struct {
	// conditions say what holds for the endpoint. Ready sums them up: what the
	// specification asks for runs and is reachable.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the status speaks of; -1 until an
	// operator has seen the object.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`

	// url is where the provider shall post. Without spec.exposure.host it is the
	// load balancer's address, or the Service's name inside the cluster.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	URL string `json:"url,omitempty"`

	// hooks lists the URL of each hook of the provider.
	// +optional
	// +listType=map
	// +listMapKey=url
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Hooks []HookStatus `json:"hooks,omitempty"`

	// sourceRanges lists the addresses that may send now.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2304
	SourceRanges []SourceRange `json:"sourceRanges,omitempty"`

	// sourceRangeCount is how many ranges there are in sourceRanges.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SourceRangeCount *int32 `json:"sourceRangeCount,omitempty"`

	// nextRangeChange is when sourceRanges will change by itself, because a range
	// comes into use or goes out of it.
	// +optional
	NextRangeChange *metav1.Time `json:"nextRangeChange,omitempty"`

	// allowlistEnforcedBy says what keeps unlisted addresses out: the
	// NetworkPolicy (and the receiver behind it), the receiver alone, or nothing,
	// because spec.sources.mode is Observe.
	// +optional
	AllowlistEnforcedBy Enforcer `json:"allowlistEnforcedBy,omitempty"`

	// dedupScope says among which receivers a repeated event is recognised: in
	// each replica for itself, or in the whole endpoint.
	// +optional
	DedupScope DedupScope `json:"dedupScope,omitempty"`

	// profile says which profile of the provider is in use.
	// +optional
	Profile *ProfileStatus `json:"profile,omitempty"`
}

// HookStatus is one URL of a hook.
type HookStatus struct {
	// name is the hook's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// url is where the provider shall post this hook.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1152
	URL string `json:"url,omitempty"`
}

// SourceRange is a range of addresses that may send.
type SourceRange struct {
	// region is the provider's region; unset for a range of the endpoint's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Region string `json:"region,omitempty"`

	// cidr is the range.
	// +required
	CIDR CIDR `json:"cidr,omitempty"`
}

// Enforcer is what keeps unlisted addresses out.
//
// +kubebuilder:validation:Enum=NetworkPolicy;Receiver;None
type Enforcer string

// The values of Enforcer.
const (
	EnforcedByNetworkPolicy Enforcer = "NetworkPolicy"
	EnforcedByReceiver      Enforcer = "Receiver"
	EnforcedByNone          Enforcer = "None"
)

// DedupScope says among which receivers a repeated event is recognised.
//
// +kubebuilder:validation:Enum=Replica;Endpoint
type DedupScope string

// The values of DedupScope.
const (
	DedupScopeReplica  DedupScope = "Replica"
	DedupScopeEndpoint DedupScope = "Endpoint"
)

// ProfileOrigin says where a profile comes from.
//
// +kubebuilder:validation:Enum=BuiltIn;WebhookProvider;LastGood
type ProfileOrigin string

// The values of ProfileOrigin.
const (
	// ProfileBuiltIn comes with the operator.
	ProfileBuiltIn ProfileOrigin = "BuiltIn"
	// ProfileObject is a WebhookProvider object.
	ProfileObject ProfileOrigin = "WebhookProvider"
	// ProfileLastGood is what a WebhookProvider object was before it went wrong or
	// away.
	ProfileLastGood ProfileOrigin = "LastGood"
)

// ProfileStatus says which profile is in use.
type ProfileStatus struct {
	// name is the provider's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// origin is BuiltIn, WebhookProvider, or LastGood: what a WebhookProvider was
	// before it went wrong or away.
	// +required
	Origin ProfileOrigin `json:"origin,omitempty"`

	// revision is the digest of the profile's specification, as sha256:….
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=71
	Revision string `json:"revision,omitempty"`
}
