package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Receiver says how the receiver program runs. Its image, service account,
// volumes and environment are the operator's and cannot be chosen.
//
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || !has(self.autoscaling)",message="replicas and autoscaling exclude each other; take replicas out to let the autoscaler decide"
// +kubebuilder:validation:XValidation:rule="!has(self.autoscaling) || (has(self.resources) && has(self.resources.requests) && 'cpu' in self.resources.requests)",message="autoscaling goes by CPU in relation to what is requested; set resources.requests.cpu"
type Receiver struct {
	// replicas is how many receivers run. Unset means 2 at first; then whoever
	// scales the workload decides, be it spec.receiver.autoscaling or an
	// autoscaler of your own.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Replicas int32 `json:"replicas,omitempty"`

	// autoscaling scales the receivers with their load. Replicas are handed over
	// as they are, in both directions.
	// +optional
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`

	// resources are what each receiver requests and may use.
	// +default={"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"512Mi"}}
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// nodeSelector chooses nodes by their labels.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations let the receivers run on tainted nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// affinity chooses nodes by rules.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// topologySpreadConstraints say how receivers are spread. Unset means over
	// nodes and zones, as far as that is possible. A constraint without a
	// labelSelector selects the endpoint's receivers.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// serviceAccountAnnotations are put on the receivers' ServiceAccount, which
	// has no API token. Only those that the operator's --allowed-annotations lists
	// are taken; another one stalls the endpoint.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	ServiceAccountAnnotations map[string]AnnotationValue `json:"serviceAccountAnnotations,omitempty"`

	// drain says how a receiver that is asked to stop takes its leave.
	// +default={}
	// +optional
	Drain *Drain `json:"drain,omitempty"`
}

// Resources are what a receiver requests and may use.
type Resources struct {
	// requests are what a node must have free.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// limits are what a receiver may use at most.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// Autoscaling scales receivers with their CPU.
//
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="minReplicas must not be more than maxReplicas; raise maxReplicas or lower minReplicas"
type Autoscaling struct {
	// minReplicas is how many receivers run at least.
	// +default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	MinReplicas int32 `json:"minReplicas,omitempty"`

	// maxReplicas is how many receivers run at most.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxReplicas int32 `json:"maxReplicas,omitempty"`

	// targetCPUPercent is the CPU use that is aimed at, in percent of what is
	// requested.
	// +default=70
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	TargetCPUPercent int32 `json:"targetCPUPercent,omitempty"`
}

// Drain says how a receiver that is asked to stop takes its leave.
type Drain struct {
	// delay is how long a stopping receiver still accepts requests, because
	// proxies learn late that it is going.
	// +default="5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('5m')",message="must be at most 5m"
	// +optional
	Delay Duration `json:"delay,omitempty"`

	// grace is how long, after the listener is closed, deliveries still go on.
	// +default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="must be at most 1h"
	// +optional
	Grace Duration `json:"grace,omitempty"`
}
