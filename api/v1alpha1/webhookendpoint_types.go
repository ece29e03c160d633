package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WebhookEndpoint is one public path that takes the webhooks of one provider,
// verifies and stores them, and delivers them to the sinks that it lists.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=whe,categories=fairlead
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Ranges",type=integer,JSONPath=`.status.sourceRangeCount`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Exposure",type=string,JSONPath=`.spec.exposure.type`,priority=1
// +kubebuilder:printcolumn:name="Queue",type=string,JSONPath=`.spec.queue.type`,priority=1
// +kubebuilder:printcolumn:name="Suspend",type=string,JSONPath=`.spec.suspend`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be at most 40 characters of a-z, 0-9 and '-', begin with a letter and end with a letter or digit: objects and DNS names are made from it"
type WebhookEndpoint struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata. The name is at most 40 characters,
	// because the names of the objects that serve the endpoint are made from it.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what the endpoint shall be.
	// +required
	Spec WebhookEndpointSpec `json:"spec,omitzero"`

	// status is what was last observed.
	// +default={"observedGeneration":-1}
	// +optional
	Status *WebhookEndpointStatus `json:"status,omitempty"`
}

// WebhookEndpointList is a list of WebhookEndpoints.
//
// +kubebuilder:object:root=true
type WebhookEndpointList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WebhookEndpoint `json:"items"`
}

// WebhookEndpointSpec is what an endpoint shall be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.receiver) || !has(self.receiver.autoscaling) || self.queue.type != 'Persistent'",message="a Persistent queue has a volume for each replica, so it cannot be scaled automatically; take out spec.receiver.autoscaling and set spec.receiver.replicas"
// +kubebuilder:validation:XValidation:rule="self.queue.type != 'Persistent' || oldSelf.queue.type != 'Persistent' || (quantity(string(self.queue.capacity)).compareTo(quantity(string(oldSelf.queue.capacity))) == 0 && (has(self.queue.storageClassName) == has(oldSelf.queue.storageClassName)) && (!has(self.queue.storageClassName) || self.queue.storageClassName == oldSelf.queue.storageClassName))",message="capacity and storageClassName of a Persistent queue cannot change, because its volumes are made with them; make a new endpoint, move the provider's webhook to it, and delete this one when its queue is empty"
// +kubebuilder:validation:XValidation:rule="self.queue.type == oldSelf.queue.type",message="spec.queue.type cannot change, because what is queued would be lost; make a new endpoint, move the provider's webhook to it, and delete this one when its queue is empty"
// +kubebuilder:validation:XValidation:rule="(has(self.receiver) && has(self.receiver.replicas) && self.receiver.replicas == 1) || !self.sinks.exists(s, has(s.delivery) && has(s.delivery.ordering) && s.delivery.ordering == 'BySubject')",message="ordering BySubject needs all events of a subject in one queue, and each receiver has its own; set spec.receiver.replicas to 1 and take out spec.receiver.autoscaling, or set ordering to None"
type WebhookEndpointSpec struct {
	// provider names the profile of the service that sends: a built-in one
	// (fairlead ranges without arguments lists them) or a WebhookProvider object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Provider string `json:"provider,omitempty"`

	// secretRef names the Secret that holds the signing secrets.
	// +required
	SecretRef SecretReference `json:"secretRef,omitzero"`

	// regions lists the provider's regions that may send. Empty means all of
	// them. Removing a region cuts its addresses off.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Regions []string `json:"regions,omitempty"`

	// sources says which client addresses may send and how they are found.
	// +default={}
	// +optional
	Sources *Sources `json:"sources,omitempty"`

	// sinks are where every accepted event is delivered. Each sink is served on
	// its own: one that is down delays no other.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Sinks []Sink `json:"sinks,omitempty"`

	// responders answer the provider's synchronous hooks, such as Stream's
	// before-message-send. A synchronous hook for which there is none is answered
	// 404. Of several for one hook, the first whose filter matches the event is
	// asked; if none matches, the one without a filter is.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(r, self.exists_one(d, d.hook == r.hook && !has(d.filter)))",message="each hook needs exactly one responder without filter: it is asked when no filter matches"
	// +kubebuilder:validation:XValidation:rule="self.all(r, self.exists_one(o, o.hook == r.hook && (has(o.name) ? o.name : '') == (has(r.name) ? r.name : '')))",message="responders of one hook need names that differ; set name"
	Responders []Responder `json:"responders,omitempty"`

	// queue says how accepted events are kept until they are delivered.
	// +default={}
	// +optional
	Queue *Queue `json:"queue,omitempty"`

	// exposure says under which URL the provider reaches the endpoint.
	// +default={}
	// +optional
	Exposure *Exposure `json:"exposure,omitempty"`

	// limits bounds what a request may cost.
	// +default={}
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// receiver says how the receiver program runs.
	// +default={}
	// +optional
	Receiver *Receiver `json:"receiver,omitempty"`

	// networkPolicy says who reaches the receiver's pods, and whom they reach.
	// +default={}
	// +optional
	NetworkPolicy *NetworkPolicy `json:"networkPolicy,omitempty"`

	// suspend pauses a part of the endpoint. Deliveries: intake goes on and
	// deliveries wait in the queue. Intake: every request is answered 503, and
	// deliveries go on; a provider that does not send again loses those events.
	// +default="None"
	// +optional
	Suspend SuspendMode `json:"suspend,omitempty"`
}

// SuspendMode is the part of an endpoint that is paused.
//
// +kubebuilder:validation:Enum=None;Deliveries;Intake
type SuspendMode string

// The values of SuspendMode.
const (
	SuspendNone       SuspendMode = "None"
	SuspendDeliveries SuspendMode = "Deliveries"
	SuspendIntake     SuspendMode = "Intake"
)

// SecretReference names the Secret with an endpoint's signing secrets.
type SecretReference struct {
	// name is the Secret's name, in the endpoint's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// keys lists the entries of the Secret that are signing secrets. Empty means
	// every entry. Each entry is active at once, so during a rotation both the
	// old and the new secret are accepted. At most 16 entries are used.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$`
	Keys []string `json:"keys,omitempty"`
}

// SourceMode says what becomes of a request from an unlisted address.
//
// +kubebuilder:validation:Enum=Enforce;Observe
type SourceMode string

// The values of SourceMode.
const (
	SourceEnforce SourceMode = "Enforce"
	SourceObserve SourceMode = "Observe"
)

// Sources says which client addresses may send.
type Sources struct {
	// mode is Enforce or Observe. Enforce refuses requests from addresses that
	// neither the provider nor additionalRanges lists. Observe lets every address
	// in (signatures are still checked) and counts what Enforce would refuse.
	// +default="Enforce"
	// +optional
	Mode SourceMode `json:"mode,omitempty"`

	// additionalRanges are CIDRs that may send besides the provider's published
	// ones, such as a relay of your own.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	AdditionalRanges []CIDR `json:"additionalRanges,omitempty"`

	// trustedProxies are the CIDRs of your own proxies. Only when a request comes
	// from one of them is its X-Forwarded-For or Forwarded header believed, read
	// from the right; and with exposure.proxyProtocol, its PROXY protocol header.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	TrustedProxies []CIDR `json:"trustedProxies,omitempty"`
}

// CIDR is a range of IPv4 or IPv6 addresses, such as 203.0.113.0/24. A range
// of /0 is refused: it would list everybody.
//
// +kubebuilder:validation:MinLength=4
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a CIDR such as 203.0.113.7/32 or 2001:db8::/32"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).prefixLength() > 0",message="a range of /0 lists every address; to let everybody in, set spec.sources.mode to Observe"
type CIDR string

// Sink is one system that gets the endpoint's events.
//
// +kubebuilder:validation:ExactlyOneOf=http;stdout
type Sink struct {
	// name identifies the sink within its endpoint. Deliveries are recorded
	// under it, so renaming a sink abandons what is queued for the old name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// http posts each event to a URL as a CloudEvent in binary mode.
	// +optional
	HTTP *HTTPSink `json:"http,omitempty"`

	// stdout prints each event as one line of JSON (a CloudEvent in structured
	// mode) to the receiver's standard output. For trying things out.
	// +optional
	Stdout *StdoutSink `json:"stdout,omitempty"`

	// hooks lists the provider's hooks whose events this sink gets. Empty means
	// all asynchronous hooks. For a synchronous hook the sink gets a copy of what
	// its responder was asked, whatever the answer was.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Hooks []string `json:"hooks,omitempty"`

	// types lists globs of event types that this sink gets, as the provider names
	// them; an asterisk stands for any run of characters, as in message.*. Empty
	// means all types. An event that comes under both hooks and types is
	// delivered.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Types []string `json:"types,omitempty"`

	// filter is a CEL expression over the event; the sink gets the events for
	// which it is true. It sees data (the body as JSON, or null), type, subject,
	// hook and id (text), and query (the URL's parameters), as in
	// data.channel_type == "messaging". An event for which it fails, because a
	// field is missing say, does not match; has(data.field) asks first.
	// +optional
	Filter Expression `json:"filter,omitempty"`

	// whenFull says what happens when queue.capacity is reached: Reject (intake
	// answers 503) or DropOldest (this sink's oldest queued events are dropped,
	// and counted, to make room). Of several sinks that say DropOldest, the one
	// with the most bytes queued gives way.
	// +default="Reject"
	// +optional
	WhenFull WhenFull `json:"whenFull,omitempty"`

	// delivery says how often, how long and how many at once is tried.
	// +default={}
	// +optional
	Delivery *Delivery `json:"delivery,omitempty"`
}

// Expression is a CEL expression whose value is true or false.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=2048
type Expression string

// HTTPSink posts events to a URL.
type HTTPSink struct {
	// url is where events are posted. Loopback, link-local, metadata and
	// unspecified addresses are refused when the connection is made; redirects
	// are not followed.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",message="must be an absolute http:// or https:// URL, such as http://app.shop.svc/hooks"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') || !isURL(self) || !self.matches('^https?://[^/?#]*@')",message="must not hold a user name or password; put an Authorization header into http.headers with valueFrom.secretKeyRef"
	URL string `json:"url,omitempty"`

	// headers are added to every request, for example an Authorization header
	// whose value stands in a Secret.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Headers []SinkHeader `json:"headers,omitempty"`

	// caSecretRef names a Secret's entry with the PEM certificates of the
	// authorities to trust instead of the system's.
	// +optional
	CASecretRef *SecretKeyReference `json:"caSecretRef,omitempty"`
}

// SinkHeader is one header that is added to requests to a sink.
//
// +kubebuilder:validation:ExactlyOneOf=value;valueFrom
type SinkHeader struct {
	// name is the header's name. Host, Content-Length, Content-Type,
	// Content-Encoding, hop-by-hop, forwarding and ce- headers cannot be set.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[-!#$%&'*+.^_|~0-9A-Za-z]+$`
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('ce-') && !self.lowerAscii().startsWith('x-forwarded-') && !(self.lowerAscii() in ['host', 'content-length', 'content-type', 'content-encoding', 'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'forwarded', 'traceparent', 'tracestate'])",message="this header is set by the receiver or belongs to the connection; use another name"
	Name string `json:"name,omitempty"`

	// value is the header's value, where it is no secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`^[\x20-\x7e]+$`
	Value string `json:"value,omitempty"`

	// valueFrom takes the value from a Secret. It is read again when the Secret
	// changes.
	// +optional
	ValueFrom *HeaderSource `json:"valueFrom,omitempty"`
}

// HeaderSource says where a header's value comes from.
type HeaderSource struct {
	// secretKeyRef names the entry of a Secret that holds the value.
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}

// SecretKeyReference names one entry of a Secret in the endpoint's namespace.
type SecretKeyReference struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key is the entry's name. While the entry is missing the sink is pending:
	// its events wait, and no other sink is held up.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$`
	Key string `json:"key,omitempty"`
}

// StdoutSink prints events to standard output. It has no settings.
type StdoutSink struct{}

// Ordering says in which order a sink gets events.
//
// +kubebuilder:validation:Enum=None;BySubject
type Ordering string

// The values of Ordering.
const (
	OrderingNone      Ordering = "None"
	OrderingBySubject Ordering = "BySubject"
)

// Delivery says how deliveries to a sink are attempted.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minBackoff) || !has(self.maxBackoff) || duration(self.minBackoff) <= duration(self.maxBackoff)",message="minBackoff must not be longer than maxBackoff; lower minBackoff or raise maxBackoff"
type Delivery struct {
	// maxAttempts is how often a delivery is tried before it becomes a dead
	// letter.
	// +default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxAttempts int32 `json:"maxAttempts,omitempty"`

	// minBackoff bounds the first wait after a failed attempt. The bound doubles
	// with each attempt; the wait itself is random between 0 and the bound.
	// +default="1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('1h')",message="must be from 1ms to 1h"
	// +optional
	MinBackoff Duration `json:"minBackoff,omitempty"`

	// maxBackoff is the largest bound of the wait between two attempts.
	// +default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('24h')",message="must be from 1ms to 24h"
	// +optional
	MaxBackoff Duration `json:"maxBackoff,omitempty"`

	// maxAge is how long after it was accepted an event is still tried; then it
	// becomes a dead letter.
	// +default="72h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('720h')",message="must be from 1s to 720h"
	// +optional
	MaxAge Duration `json:"maxAge,omitempty"`

	// timeout bounds one attempt, from dialling to the last byte of the answer.
	// +default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms') && duration(self) <= duration('5m')",message="must be from 10ms to 5m"
	// +optional
	Timeout Duration `json:"timeout,omitempty"`

	// concurrency is how many attempts at this sink run at once.
	// +default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	// +optional
	Concurrency int32 `json:"concurrency,omitempty"`

	// ordering is None or BySubject. BySubject delivers the events of a hook and
	// subject in the order in which they were accepted, retries included: the next
	// one waits until the one before it is delivered or a dead letter. Other
	// subjects go on, and events without a subject are in no order. It needs
	// receiver.replicas to be 1, because each receiver has a queue of its own;
	// while a rollout replaces that receiver there are two for a moment, and the
	// order holds within each.
	// +default="None"
	// +optional
	Ordering Ordering `json:"ordering,omitempty"`
}

// Limits bounds what a request may cost.
type Limits struct {
	// maxBodyBytes bounds a request's body, as it is sent and as it is inflated.
	// A larger one is answered 413.
	// +default="1Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('64Mi')) <= 0",message="maxBodyBytes must be from 1Ki to 64Mi"
	// +optional
	MaxBodyBytes *resource.Quantity `json:"maxBodyBytes,omitempty"`

	// requestsPerSecond bounds the verified requests of the whole endpoint, per
	// receiver. More are answered 429. Unset means no bound.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	RequestsPerSecond int32 `json:"requestsPerSecond,omitempty"`

	// maxConnections bounds the open connections of each receiver. Near the bound,
	// clients that have shown a valid signature go before those that have not, and
	// those with few connections before those with many.
	// +default=4096
	// +optional
	// +kubebuilder:validation:Minimum=64
	// +kubebuilder:validation:Maximum=1000000
	MaxConnections int32 `json:"maxConnections,omitempty"`

	// maxRequestsInFlight bounds the requests that each receiver reads and stores
	// at once; more are answered 503. Near the bound, clients that have shown a
	// valid signature go before those that have not.
	// +default=1024
	// +optional
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=100000
	MaxRequestsInFlight int32 `json:"maxRequestsInFlight,omitempty"`

	// requestsPerSecondPerSource bounds the requests of each client address,
	// verified or not, per receiver; a burst of twice as many passes. More are
	// answered 429. Unset means no bound. Providers send from few addresses: leave
	// room for all of their traffic on one.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	RequestsPerSecondPerSource int32 `json:"requestsPerSecondPerSource,omitempty"`
}
