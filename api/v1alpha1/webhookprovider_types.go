package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WebhookProvider is the profile of a service that sends webhooks: how it
// signs, where an event's fields are, what it must be answered, and from which
// addresses it sends.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=whp,categories=fairlead
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Checked",type=string,JSONPath=`.spec.provenance.checked`
// +kubebuilder:printcolumn:name="Regions",type=string,JSONPath=`.spec.regions[*].name`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be at most 63 characters of a-z, 0-9 and '-': endpoints name the provider by it"
type WebhookProvider struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata; endpoints name the provider by its name.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the profile.
	// +required
	Spec WebhookProviderSpec `json:"spec,omitzero"`

	// status is what was last observed.
	// +default={"observedGeneration":-1}
	// +optional
	Status *WebhookProviderStatus `json:"status,omitempty"`
}

// WebhookProviderStatus is what was last observed.
type WebhookProviderStatus struct {
	// conditions say what holds for the profile. Ready: it can be used.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the status speaks of; -1 until an
	// operator has seen the object.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`

	// revision is the digest of the specification, as sha256:…. Endpoints show the
	// one that they use.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=71
	Revision string `json:"revision,omitempty"`
}

// WebhookProviderList is a list of WebhookProviders.
//
// +kubebuilder:object:root=true
type WebhookProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WebhookProvider `json:"items"`
}

// WebhookProviderSpec is a provider's profile.
type WebhookProviderSpec struct {
	// overridesBuiltIn must be true for a profile that has the name of a built-in
	// one, and replaces it. Endpoints that use it say so.
	// +optional
	OverridesBuiltIn *bool `json:"overridesBuiltIn,omitempty"`

	// provenance says where the facts of the profile come from.
	// +required
	Provenance Provenance `json:"provenance,omitzero"`

	// signatures lists the ways in which a request may be signed; one that matches
	// is enough. A signing secret that begins with the secret.prefix of one
	// signature is tried with that signature only.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Signatures []Signature `json:"signatures,omitempty"`

	// event says where an event's fields are found.
	// +required
	Event EventFields `json:"event,omitzero"`

	// ignore lists the requests that are answered with success and dropped, before
	// verification and with the body unread.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Ignore []IgnoreRule `json:"ignore,omitempty"`

	// replies says what the provider is answered for each outcome.
	// +required
	Replies Replies `json:"replies,omitzero"`

	// hooks lists the kinds of webhook that the provider sends, each at paths of
	// its own.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.exists(h, h.mode == 'Async')",message="at least one hook must have mode Async; an endpoint has nothing to queue otherwise"
	Hooks []Hook `json:"hooks,omitempty"`

	// challenges lists the requests by which the provider makes sure that a URL is
	// the customer's. Of several that describe a request the first is taken.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Challenges []Challenge `json:"challenges,omitempty"`

	// regions lists the addresses that the provider sends from, by region.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Regions []Region `json:"regions,omitempty"`
}

// Provenance says where the facts of a profile come from.
type Provenance struct {
	// documentation is the URL of the provider's own page.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https://`
	Documentation string `json:"documentation,omitempty"`

	// checked is the date, as 2006-01-02, on which the facts were last compared
	// with that page.
	// +required
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	Checked string `json:"checked,omitempty"`
}

// Algorithm is how a request is signed.
//
// +kubebuilder:validation:Enum=hmac-sha1;hmac-sha256;hmac-sha512;ed25519;ecdsa-p256-sha256;token;basic
type Algorithm string

// The values of Algorithm.
const (
	HMACSHA1        Algorithm = "hmac-sha1"
	HMACSHA256      Algorithm = "hmac-sha256"
	HMACSHA512      Algorithm = "hmac-sha512"
	Ed25519         Algorithm = "ed25519"
	ECDSAP256SHA256 Algorithm = "ecdsa-p256-sha256"
	StaticToken     Algorithm = "token"
	BasicAuth       Algorithm = "basic"
)

// Encoding is how bytes are written as text.
//
// +kubebuilder:validation:Enum=text;hex;base64
type Encoding string

// The values of Encoding.
const (
	EncodingText   Encoding = "text"
	EncodingHex    Encoding = "hex"
	EncodingBase64 Encoding = "base64"
)

// SignedBody says which bytes of a compressed body are signed.
//
// +kubebuilder:validation:Enum=Wire;Inflated
type SignedBody string

// The values of SignedBody.
const (
	SignedBodyWire     SignedBody = "Wire"
	SignedBodyInflated SignedBody = "Inflated"
)

// Signature is one way in which a request may be signed.
//
// +kubebuilder:validation:XValidation:rule="self.algorithm in ['token', 'basic'] || has(self.content)",message="content is needed for a signature over bytes; for a signature over the body alone write content: '{body}'"
// +kubebuilder:validation:XValidation:rule="!(self.algorithm in ['token', 'basic']) || (!has(self.content) && !has(self.signedAt))",message="token and basic sign nothing; leave out content and signedAt"
// +kubebuilder:validation:XValidation:rule="!has(self.content) || self.content.contains('{body}')",message="content must hold {body}: a signature that does not cover the body proves nothing about it"
// +kubebuilder:validation:XValidation:rule="!has(self.signedAt) || !has(self.content) || self.content.contains('{timestamp}') || has(self.signedAt.jsonPath)",message="content must hold {timestamp}, or signedAt must have a jsonPath into the signed body: a tolerance on an unsigned timestamp stops nobody"
// +kubebuilder:validation:XValidation:rule="!has(self.content) || !self.content.contains('{timestamp}') || has(self.signedAt)",message="content holds {timestamp}; say with signedAt where it is found"
// +kubebuilder:validation:XValidation:rule="!has(self.content) || !self.content.contains('{id}') || has(self.idHeader)",message="content holds {id}; name the header that carries it with idHeader"
// +kubebuilder:validation:XValidation:rule="self.algorithm != 'basic' || self.header.lowerAscii() == 'authorization'",message="basic authentication uses the Authorization header; set header to Authorization"
// +kubebuilder:validation:XValidation:rule="self.algorithm in ['token', 'basic'] || self.encoding != 'text'",message="a signature is bytes; set encoding to hex or base64"
type Signature struct {
	// algorithm is how a request is signed. token compares the header with the
	// secret; basic compares HTTP Basic credentials with a secret of the form
	// user:password (RFC 7617).
	// +required
	Algorithm Algorithm `json:"algorithm,omitempty"`

	// header is the header that carries the signature. A request in which it is
	// missing, empty or repeated is not verified.
	// +required
	Header HeaderName `json:"header,omitempty"`

	// encoding is how the signature is written: hex (lower case only) or base64
	// (RFC 4648 section 4, with padding). Leave it out for token and basic.
	// +default="text"
	// +optional
	Encoding Encoding `json:"encoding,omitempty"`

	// format is the shape of the header's value. Left out: the value is the
	// signature.
	// +optional
	Format *SignatureFormat `json:"format,omitempty"`

	// content is a template of the bytes that are signed, with the placeholders
	// {body}, {timestamp}, {id}, {method}, {url} and {header:NAME}. {timestamp}
	// and {id} are the text as it was sent. {url} is the endpoint's URL from its
	// specification, never from the request.
	// +optional
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=256
	Content string `json:"content,omitempty"`

	// idHeader is the header that {id} stands for.
	// +optional
	IDHeader HeaderName `json:"idHeader,omitempty"`

	// signedAt says where the time of signing is, and how far it may be off.
	// +optional
	SignedAt *SigningTime `json:"signedAt,omitempty"`

	// secret says how a signing secret is written.
	// +default={}
	// +optional
	Secret *SecretFormat `json:"secret,omitempty"`

	// entryHeader is a header that may name the Secret's entry that signed. If it
	// equals the name of an entry, only that entry is tried; else all are.
	// +optional
	EntryHeader HeaderName `json:"entryHeader,omitempty"`

	// signedBody says whether the bytes on the wire or the inflated ones are
	// signed. With Inflated, a body that begins like gzip is inflated whatever its
	// headers say, and sinks get the inflated bytes.
	// +default="Wire"
	// +optional
	SignedBody SignedBody `json:"signedBody,omitempty"`
}

// HeaderName is the name of an HTTP header; case does not matter.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:Pattern=`^[-!#$%&'*+.^_|~0-9A-Za-z]+$`
type HeaderName string

// SignatureFormat is the shape of a signature header's value.
//
// +kubebuilder:validation:ExactlyOneOf=prefix;keyValues;versions
type SignatureFormat struct {
	// prefix is what stands before the signature and is dropped, as in sha256=. A
	// value without it is refused.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Prefix string `json:"prefix,omitempty"`

	// keyValues is a list of key=value pairs, as in t=1700000000,v1=5257a8….
	// +optional
	KeyValues *KeyValueFormat `json:"keyValues,omitempty"`

	// versions is a list of signatures, each behind its version, as in
	// v1,K5oZ… v1,bm9l….
	// +optional
	Versions *VersionFormat `json:"versions,omitempty"`
}

// KeyValueFormat is a list of key=value pairs. A key may stand several times:
// one signature that matches is enough. At most 16 pairs are read.
type KeyValueFormat struct {
	// separator stands between two pairs.
	// +default=","
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4
	// +optional
	Separator string `json:"separator,omitempty"`

	// key is the key of the pairs that hold signatures.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Key string `json:"key,omitempty"`
}

// VersionFormat is a list of signatures behind their versions. One signature
// of the named version that matches is enough; other versions are passed over.
// At most 16 signatures are read.
type VersionFormat struct {
	// separator stands between two signatures.
	// +default=" "
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4
	// +optional
	Separator string `json:"separator,omitempty"`

	// versionSeparator stands between a version and its signature.
	// +default=","
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4
	// +optional
	VersionSeparator string `json:"versionSeparator,omitempty"`

	// version is the version of the signatures to read, as in v1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Version string `json:"version,omitempty"`
}

// TimeUnit is the unit of a timestamp, counted from 1970-01-01 UTC.
//
// +kubebuilder:validation:Enum=s;ms
type TimeUnit string

// The values of TimeUnit.
const (
	UnitSeconds      TimeUnit = "s"
	UnitMilliseconds TimeUnit = "ms"
)

// SigningTime says where the time of signing is, and how far it may be off.
//
// +kubebuilder:validation:ExactlyOneOf=header;key;jsonPath
type SigningTime struct {
	// header is the header that carries the timestamp.
	// +optional
	Header HeaderName `json:"header,omitempty"`

	// key is the key of the pair that carries the timestamp, in a signature header
	// of format keyValues.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Key string `json:"key,omitempty"`

	// jsonPath is the place of the timestamp in the body.
	// +optional
	JSONPath JSONPath `json:"jsonPath,omitempty"`

	// unit is s or ms.
	// +default="s"
	// +optional
	Unit TimeUnit `json:"unit,omitempty"`

	// past is how old a timestamp may be. Older ones are refused.
	// +default="5m"
	// +optional
	Past Duration `json:"past,omitempty"`

	// future is how far ahead of the receiver's clock a timestamp may be.
	// +default="5m"
	// +optional
	Future Duration `json:"future,omitempty"`
}

// SecretFormat says how a signing secret is written in its Secret.
type SecretFormat struct {
	// encoding is text (the entry's bytes are the secret), hex or base64.
	// +default="text"
	// +optional
	Encoding Encoding `json:"encoding,omitempty"`

	// prefix is dropped from the front of a secret, where it stands there.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Prefix string `json:"prefix,omitempty"`
}

// JSONPath is a place in a JSON body: $ and then one or more .name steps
// through objects, as in $.event.type.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:Pattern=`^\$(\.[A-Za-z_][-_0-9A-Za-z]*)+$`
type JSONPath string

// FieldSource is one place where a field may be found.
//
// +kubebuilder:validation:ExactlyOneOf=header;jsonPath;value
type FieldSource struct {
	// header is the header that carries the field.
	// +optional
	Header HeaderName `json:"header,omitempty"`

	// jsonPath is the place of the field in the body.
	// +optional
	JSONPath JSONPath `json:"jsonPath,omitempty"`

	// value is used as it stands: a fallback for requests that do not say.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
}

// EventFields says where an event's fields are found. Each field names up to
// four places; the first that holds something is taken.
type EventFields struct {
	// id is the event's id. An event without one gets a new UUIDv7.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	ID []FieldSource `json:"id,omitempty"`

	// type is the event's type. An event without one has the type unknown.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Type []FieldSource `json:"type,omitempty"`

	// subject is what the event is about, and its ordering key.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Subject []FieldSource `json:"subject,omitempty"`

	// time is when the event happened. It is used if it is written as RFC 3339
	// says; else the time of receipt is.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Time []FieldSource `json:"time,omitempty"`

	// attempt is the provider's own count of attempts, from 1.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Attempt []FieldSource `json:"attempt,omitempty"`

	// typePrefix is put before the type to make the CloudEvents type.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[-._0-9A-Za-z]+$`
	TypePrefix string `json:"typePrefix,omitempty"`

	// dedup says which requests are the same event sent again.
	// +required
	Dedup Dedup `json:"dedup,omitzero"`

	// headers lists the provider's headers that go to sinks with the event.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(h, !h.lowerAscii().startsWith('ce-') && !h.lowerAscii().startsWith('x-forwarded-') && !(h.lowerAscii() in ['authorization', 'cookie', 'host', 'content-length', 'content-type', 'content-encoding', 'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'forwarded']))",message="credentials, hop-by-hop, forwarding and ce- headers never go to sinks; take them out of event.headers"
	Headers []HeaderName `json:"headers,omitempty"`
}

// DedupKey says by what two requests are recognised as the same event.
//
// +kubebuilder:validation:Enum=ID;BodySHA256;None
type DedupKey string

// The values of DedupKey.
const (
	DedupID         DedupKey = "ID"
	DedupBodySHA256 DedupKey = "BodySHA256"
	DedupNone       DedupKey = "None"
)

// Dedup says which requests are the same event sent again.
type Dedup struct {
	// key is ID (same id and same body), BodySHA256 (same body) or None.
	// +required
	Key DedupKey `json:"key,omitempty"`

	// window is how long an event is remembered.
	// +default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="must be from 1s to 168h"
	// +optional
	Window Duration `json:"window,omitempty"`
}

// IgnoreRule describes requests that are answered with success and dropped.
type IgnoreRule struct {
	// name says what is ignored; it stands in a metric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// present lists headers that such a request has.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Present []HeaderName `json:"present,omitempty"`

	// absent lists headers that such a request does not have.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Absent []HeaderName `json:"absent,omitempty"`
}

// Reply is an HTTP answer.
type Reply struct {
	// status is the HTTP status code.
	// +required
	// +kubebuilder:validation:Minimum=200
	// +kubebuilder:validation:Maximum=599
	Status int32 `json:"status,omitempty"`

	// body is the answer's body, sent as it stands.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Body string `json:"body,omitempty"`

	// contentType is the media type of the body.
	// +default="application/json"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[\x20-\x7e]+$`
	// +optional
	ContentType string `json:"contentType,omitempty"`

	// retryAfterSeconds is sent as the Retry-After header.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	RetryAfterSeconds int32 `json:"retryAfterSeconds,omitempty"`
}

// Replies says what the provider is answered for each outcome. None may be
// left out. What is the receiver's own trouble (suspended, overloaded, failed)
// must be a 5xx or 429 with retryAfterSeconds, or providers give the event up.
//
// +kubebuilder:validation:XValidation:rule="self.accepted.status < 300 && self.duplicate.status < 300 && self.ignored.status < 300",message="accepted, duplicate and ignored must be answered with a 2xx status"
// +kubebuilder:validation:XValidation:rule="self.suspended.status == 503 && has(self.suspended.retryAfterSeconds) && self.overloaded.status == 503 && has(self.overloaded.retryAfterSeconds) && self.failed.status == 503 && has(self.failed.retryAfterSeconds)",message="suspended, overloaded and failed must be answered 503 with retryAfterSeconds: the event is not stored, so the provider must send it again"
// +kubebuilder:validation:XValidation:rule="self.unauthenticated.status >= 400 && self.unlisted.status >= 400 && self.tooLarge.status >= 400 && self.malformed.status >= 400 && self.rateLimited.status >= 400 && self.misrouted.status >= 400",message="a request that is refused must not be answered with success; use a 4xx status"
type Replies struct {
	// accepted answers an event that is stored.
	// +required
	Accepted Reply `json:"accepted,omitzero"`
	// duplicate answers an event that is stored already.
	// +required
	Duplicate Reply `json:"duplicate,omitzero"`
	// ignored answers a request that an ignore rule describes.
	// +required
	Ignored Reply `json:"ignored,omitzero"`
	// suspended answers requests while intake is suspended.
	// +required
	Suspended Reply `json:"suspended,omitzero"`
	// unauthenticated answers a signature that is wrong or missing.
	// +required
	Unauthenticated Reply `json:"unauthenticated,omitzero"`
	// unlisted answers a client address that may not send.
	// +required
	Unlisted Reply `json:"unlisted,omitzero"`
	// tooLarge answers a body over the limit.
	// +required
	TooLarge Reply `json:"tooLarge,omitzero"`
	// malformed answers a request that cannot be read.
	// +required
	Malformed Reply `json:"malformed,omitzero"`
	// rateLimited answers requests over a rate limit.
	// +required
	RateLimited Reply `json:"rateLimited,omitzero"`
	// overloaded answers when the queue is full or too many requests are in
	// flight.
	// +required
	Overloaded Reply `json:"overloaded,omitzero"`
	// failed answers any trouble of the receiver's own, a missing secret included.
	// +required
	Failed Reply `json:"failed,omitzero"`
	// misrouted answers a request of one hook that was sent to another's path.
	// +required
	Misrouted Reply `json:"misrouted,omitzero"`
}

// HookMode says whether the provider waits for the content of the answer.
//
// +kubebuilder:validation:Enum=Async;Sync
type HookMode string

// The values of HookMode.
const (
	HookAsync HookMode = "Async"
	HookSync  HookMode = "Sync"
)

// Hook is one kind of webhook that a provider sends.
//
// +kubebuilder:validation:XValidation:rule="self.mode != 'Sync' || (has(self.deadline) && has(self.allow) && has(self.deny))",message="a hook of mode Sync needs deadline, allow and deny"
type Hook struct {
	// name is the hook's name; sinks select by it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// mode is Async (stored, answered, delivered later) or Sync (the answer's
	// content matters to the provider).
	// +required
	Mode HookMode `json:"mode,omitempty"`

	// paths lists where the hook is served.
	// +required
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Paths []HookPath `json:"paths,omitempty"`

	// deadline is how long the provider waits for an answer.
	// +optional
	Deadline Duration `json:"deadline,omitempty"`

	// allow is the answer that lets a Sync hook's action pass.
	// +optional
	Allow *Reply `json:"allow,omitempty"`

	// deny is the answer that stops a Sync hook's action.
	// +optional
	Deny *Reply `json:"deny,omitempty"`

	// match tells this hook's requests by their shape. A verified request at
	// another hook's path that has this shape is misrouted: it is not stored and
	// not acknowledged.
	// +optional
	Match *BodyShape `json:"match,omitempty"`
}

// HookPath is a path at which a hook is served.
type HookPath struct {
	// path is put behind the endpoint's path; / is the endpoint's path itself.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^/([-._~0-9A-Za-z]+(/[-._~0-9A-Za-z]+)*)?$`
	Path string `json:"path,omitempty"`

	// eventType is the type of events at this path, where the request does not
	// say.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	EventType string `json:"eventType,omitempty"`
}

// BodyShape describes JSON bodies by what they hold and lack.
type BodyShape struct {
	// present lists places that hold something.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Present []JSONPath `json:"present,omitempty"`

	// absent lists places that hold nothing.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Absent []JSONPath `json:"absent,omitempty"`
}

// ChallengeMethod is the HTTP method of a challenge.
//
// +kubebuilder:validation:Enum=GET;HEAD;POST
type ChallengeMethod string

// The values of ChallengeMethod.
const (
	ChallengeGET  ChallengeMethod = "GET"
	ChallengeHEAD ChallengeMethod = "HEAD"
	ChallengePOST ChallengeMethod = "POST"
)

// Challenge is a request by which a provider makes sure that a URL is the
// customer's, and its answer. It comes at any path of the endpoint's hooks. A
// POST is verified first, like every other; GET and HEAD have no signature, so
// they only pass the check of the client's address.
//
// +kubebuilder:validation:XValidation:rule="self.method == 'POST' ? has(self.match) && !has(self.query) : !has(self.match)",message="a challenge of method POST is told by match; take query out, or set method to GET"
// +kubebuilder:validation:XValidation:rule="!has(self.token) || (self.method == 'POST') == has(self.token.jsonPath)",message="the token of a POST is found by jsonPath, that of a GET by query"
// +kubebuilder:validation:XValidation:rule="!has(self.answer.body) || !(self.answer.body.contains('{token}') || self.answer.body.contains('{hmac}')) || has(self.token)",message="the answer holds {token} or {hmac}; say with token where the token is found"
// +kubebuilder:validation:XValidation:rule="!has(self.answer.body) || !self.answer.body.contains('{hmac}') || has(self.hmac)",message="the answer holds {hmac}; say with hmac how it is made"
type Challenge struct {
	// name says what is challenged; it stands in a metric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// method is GET, HEAD or POST.
	// +required
	Method ChallengeMethod `json:"method,omitempty"`

	// query is the parameter that a GET or HEAD must have to be this challenge.
	// Unset: every one is.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[-._~0-9A-Za-z]+$`
	Query string `json:"query,omitempty"`

	// match tells a POST that is this challenge by its body.
	// +optional
	Match *ChallengeMatch `json:"match,omitempty"`

	// token is what the provider wants to see again. It is refused as malformed if
	// it is longer than 512 bytes, or has other characters than letters, digits
	// and -._~+/=: so that nobody can have a body of his own choosing signed with
	// it.
	// +optional
	Token *ChallengeToken `json:"token,omitempty"`

	// hmac says how {hmac} is made of the token, with the endpoint's first signing
	// secret.
	// +optional
	HMAC *ChallengeHMAC `json:"hmac,omitempty"`

	// answer is the reply. Its body may hold {token} and {hmac}.
	// +required
	Answer Reply `json:"answer,omitzero"`
}

// ChallengeMatch tells a challenge by a text in its body.
type ChallengeMatch struct {
	// jsonPath is a place in the body.
	// +required
	JSONPath JSONPath `json:"jsonPath,omitempty"`

	// value is what stands there.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
}

// ChallengeToken says where a challenge's token is found.
//
// +kubebuilder:validation:ExactlyOneOf=jsonPath;query
type ChallengeToken struct {
	// jsonPath is the place of the token in the body of a POST.
	// +optional
	JSONPath JSONPath `json:"jsonPath,omitempty"`

	// query is the parameter that holds the token of a GET.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[-._~0-9A-Za-z]+$`
	Query string `json:"query,omitempty"`
}

// ChallengeHMAC says how a token is signed.
//
// +kubebuilder:validation:XValidation:rule="self.algorithm.startsWith('hmac-')",message="a token is signed with one of hmac-sha1, hmac-sha256 and hmac-sha512"
// +kubebuilder:validation:XValidation:rule="self.encoding != 'text'",message="a signature is bytes; set encoding to hex or base64"
type ChallengeHMAC struct {
	// algorithm is hmac-sha1, hmac-sha256 or hmac-sha512.
	// +required
	Algorithm Algorithm `json:"algorithm,omitempty"`

	// encoding is hex or base64.
	// +required
	Encoding Encoding `json:"encoding,omitempty"`
}

// Region is a part of a provider's network that sends from addresses of its
// own.
type Region struct {
	// name is the region's name, as endpoints list it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// ranges lists the region's addresses.
	// +required
	// +listType=map
	// +listMapKey=cidr
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ranges []Range `json:"ranges,omitempty"`
}

// Range is a range of addresses with the time in which it is in use.
//
// +kubebuilder:validation:XValidation:rule="!has(self.validFrom) || !has(self.validUntil) || self.validFrom < self.validUntil",message="validFrom must be before validUntil"
type Range struct {
	// cidr is the range.
	// +required
	CIDR CIDR `json:"cidr,omitempty"`

	// validFrom is when the range comes into use. Unset: always was.
	// +optional
	ValidFrom *metav1.Time `json:"validFrom,omitempty"`

	// validUntil is when the range goes out of use. Unset: it does not.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`
}
