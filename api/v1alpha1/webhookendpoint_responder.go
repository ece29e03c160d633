package v1alpha1

// FailurePolicy says what the provider is answered when a responder fails.
//
// +kubebuilder:validation:Enum=Allow;Deny
type FailurePolicy string

// The values of FailurePolicy.
const (
	FailureAllow FailurePolicy = "Allow"
	FailureDeny  FailurePolicy = "Deny"
)

// Responder answers requests of a synchronous hook. It gets the verified bytes
// in a POST, with the provider's query and headers; its status and body go
// back unchanged.
//
// +kubebuilder:validation:ExactlyOneOf=http
type Responder struct {
	// name tells the responders of one hook apart, in metrics and status. Unset
	// means the hook's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// hook is the synchronous hook of the provider that is answered.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Hook string `json:"hook,omitempty"`

	// filter is a CEL expression over the event; see spec.sinks[].filter for what
	// it sees. The hook's first responder whose filter is true is asked. Unset:
	// this one is asked when no filter matches.
	// +optional
	Filter Expression `json:"filter,omitempty"`

	// http says where the responder is.
	// +optional
	HTTP *HTTPSink `json:"http,omitempty"`

	// timeout bounds the wait for the responder, from dialling to the last byte of
	// its answer. It must be below the hook's deadline, at which the provider
	// stops waiting. Unset means four fifths of that deadline, at most 15s.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms') && duration(self) <= duration('15s')",message="must be from 10ms to 15s"
	Timeout Duration `json:"timeout,omitempty"`

	// onFailure is what the provider is answered when the responder cannot be
	// reached, is too slow, answers with a 4xx or 5xx status, with more than
	// 256 KiB, or with a body that is not JSON: Allow lets the action pass, Deny
	// stops it, in the provider's own words. There is no default: only you can
	// know which is worse.
	// +required
	OnFailure FailurePolicy `json:"onFailure,omitempty"`

	// concurrency is how many requests this responder is asked at once. What comes
	// above that is answered by onFailure at once.
	// +default=64
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	// +optional
	Concurrency int32 `json:"concurrency,omitempty"`
}
