package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// QueueType says where accepted events are kept.
//
// +kubebuilder:validation:Enum=Ephemeral;Persistent
type QueueType string

// The values of QueueType.
const (
	QueueEphemeral  QueueType = "Ephemeral"
	QueuePersistent QueueType = "Persistent"
)

// WhenFull says what happens when a store has no room.
//
// +kubebuilder:validation:Enum=Reject;DropOldest
type WhenFull string

// The values of WhenFull.
const (
	WhenFullReject     WhenFull = "Reject"
	WhenFullDropOldest WhenFull = "DropOldest"
)

// ReclaimPolicy says what becomes of volumes when the endpoint is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type ReclaimPolicy string

// The values of ReclaimPolicy.
const (
	ReclaimRetain ReclaimPolicy = "Retain"
	ReclaimDelete ReclaimPolicy = "Delete"
)

// Queue says how accepted events are kept until they are delivered.
//
// +kubebuilder:validation:XValidation:rule="!has(self.storageClassName) || self.type == 'Persistent'",message="storageClassName is for a Persistent queue; take it out, or set type to Persistent"
type Queue struct {
	// type is Ephemeral or Persistent; it cannot be changed. Both sync an event to
	// disk before the provider is answered. Ephemeral survives a killed process, a
	// container crash and a node restart, but not the loss of the node. Persistent
	// keeps a volume for each replica and survives that too.
	// +default="Ephemeral"
	// +optional
	Type QueueType `json:"type,omitempty"`

	// capacity bounds the bytes of unfinished deliveries, summed over the sinks.
	// When it is reached, sinks whose whenFull is DropOldest give way; if there is
	// none, intake answers 503 until deliveries finish.
	// +default="1Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Mi')) >= 0",message="capacity must be at least 1Mi; a smaller queue is full after the first burst"
	// +optional
	Capacity *resource.Quantity `json:"capacity,omitempty"`

	// retention is how long finished events are kept. They go earlier, oldest
	// first, when everything that is stored exceeds capacity.
	// +default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('720h')",message="must be at most 720h"
	// +optional
	Retention Duration `json:"retention,omitempty"`

	// deadLetters bounds the deliveries that will get no more attempts.
	// +default={}
	// +optional
	DeadLetters *DeadLetters `json:"deadLetters,omitempty"`

	// quarantine keeps the newest requests that failed verification, for a person
	// to look at, and to verify again after a wrong secret was mended. Such
	// requests are the bodies of strangers, on your disk: unset keeps none.
	// +optional
	Quarantine *Quarantine `json:"quarantine,omitempty"`

	// storageClassName is the storage class of a Persistent queue's volumes. Each
	// is made with three times the capacity, the capacities of dead letters and
	// quarantine, and 256Mi, and keeps that size. Unset means the cluster's
	// default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	StorageClassName string `json:"storageClassName,omitempty"`

	// reclaim says what becomes of a Persistent queue's volumes when the endpoint
	// is deleted.
	// +default="Retain"
	// +optional
	Reclaim ReclaimPolicy `json:"reclaim,omitempty"`
}

// DeadLetters bounds the deliveries that will get no more attempts.
type DeadLetters struct {
	// capacity bounds the bytes of dead letters.
	// +default="256Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Mi')) >= 0",message="deadLetters.capacity must be at least 1Mi; raise it"
	// +optional
	Capacity *resource.Quantity `json:"capacity,omitempty"`

	// whenFull is Reject (intake answers 503 until a person drops or replays dead
	// letters) or DropOldest (the oldest dead letters are dropped and counted).
	// +default="Reject"
	// +optional
	WhenFull WhenFull `json:"whenFull,omitempty"`
}

// Quarantine bounds what is kept of requests that failed verification. The oldest
// ones go when a bound is reached.
type Quarantine struct {
	// maxRequests is how many requests are kept in each receiver.
	// +default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	MaxRequests int32 `json:"maxRequests,omitempty"`

	// capacity bounds the bytes of the requests that are kept in each receiver.
	// +default="16Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && quantity(string(self)).compareTo(quantity('1Gi')) <= 0",message="quarantine.capacity must be from 1Mi to 1Gi"
	// +optional
	Capacity *resource.Quantity `json:"capacity,omitempty"`

	// maxAge is how long a request is kept.
	// +default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="must be from 1m to 720h"
	// +optional
	MaxAge Duration `json:"maxAge,omitempty"`
}
