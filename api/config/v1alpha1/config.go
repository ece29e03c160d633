package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// APIVersion and Kind stand in every file of this package's format.
const (
	APIVersion = "config.fairlead.dev/v1alpha1"
	Kind       = "ReceiverConfig"
)

// Signature is one way in which a request may be signed.
type Signature = v1alpha1.Signature

// EventFields says where an event's fields are found.
type EventFields = v1alpha1.EventFields

// FieldSource is one place where a field may be found.
type FieldSource = v1alpha1.FieldSource

// IgnoreRule describes requests that are answered with success and dropped.
type IgnoreRule = v1alpha1.IgnoreRule

// Reply is an HTTP answer.
type Reply = v1alpha1.Reply

// Replies says what the provider is answered for each outcome.
type Replies = v1alpha1.Replies

// Hook is one kind of webhook that a provider sends.
type Hook = v1alpha1.Hook

// Challenge is a request by which a provider makes sure of a URL.
type Challenge = v1alpha1.Challenge

// HeaderName is the name of an HTTP header.
type HeaderName = v1alpha1.HeaderName

// Config is one endpoint as a receiver serves it. All durations are Go
// durations written as text; all sizes are bytes. Times of validity are gone:
// the writer of the file writes it again at each boundary.
type Config struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Schema is the schema that the file is written by; 0 in files from before there
	// were numbers.
	Schema int `json:"schema,omitempty"`

	Endpoint Endpoint `json:"endpoint"`
	Provider Provider `json:"provider"`
	// Path is the endpoint's path, from / on, without a slash at its end unless it
	// is / itself.
	Path string `json:"path"`
	// URL is the public URL for schemes that sign it; empty if no host is known.
	URL string `json:"url,omitempty"`

	Signatures []Signature  `json:"signatures"`
	Event      EventFields  `json:"event"`
	Ignore     []IgnoreRule `json:"ignore,omitempty"`
	Replies    Replies      `json:"replies"`
	Hooks      []Hook       `json:"hooks"`
	Challenges []Challenge  `json:"challenges,omitempty"`

	Secret  Secret  `json:"secret"`
	Sources Sources `json:"sources"`
	Limits  Limits  `json:"limits"`
	Sinks   []Sink  `json:"sinks"`
	// Responders answer synchronous hooks, in the order in which their filters are
	// tried.
	Responders []Responder `json:"responders,omitempty"`
	Queue      Queue       `json:"queue"`
	Drain      Drain       `json:"drain"`
	// Suspend is None, Deliveries or Intake.
	Suspend v1alpha1.SuspendMode `json:"suspend"`
}

// Endpoint says whose configuration it is.
type Endpoint struct {
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
}

// Source is the CloudEvents source of the endpoint's events.
func (e Endpoint) Source() string {
	return "/namespaces/" + e.Namespace + "/webhookendpoints/" + e.Name
}

// Provider says which profile the configuration was made from.
type Provider struct {
	Name string `json:"name"`
	// Revision is the digest of the profile, as sha256:….
	Revision string `json:"revision"`
}

// Secret says where the signing secrets are.
type Secret struct {
	// Dir is the directory, below the secrets' root, with a file per entry.
	Dir string `json:"dir"`
	// Keys lists the entries to use; empty means all.
	Keys []string `json:"keys,omitempty"`
}

// Sources says which client addresses may send.
type Sources struct {
	Mode           v1alpha1.SourceMode `json:"mode"`
	Ranges         []netip.Prefix      `json:"ranges,omitempty"`
	TrustedProxies []netip.Prefix      `json:"trustedProxies,omitempty"`
	// ProxyProtocol is whether connections from trusted proxies must begin with a
	// PROXY protocol header.
	ProxyProtocol bool `json:"proxyProtocol,omitempty"`
}

// Limits bounds what a request may cost. A rate of 0 is no bound; 0 connections
// or requests in flight mean the receiver's own bounds.
type Limits struct {
	MaxBodyBytes               int64 `json:"maxBodyBytes"`
	MaxConnections             int   `json:"maxConnections,omitempty"`
	MaxRequestsInFlight        int   `json:"maxRequestsInFlight,omitempty"`
	RequestsPerSecond          int   `json:"requestsPerSecond,omitempty"`
	RequestsPerSecondPerSource int   `json:"requestsPerSecondPerSource,omitempty"`
}

// Sink is one sink; exactly one of HTTP and Stdout is set.
type Sink struct {
	Name   string      `json:"name"`
	HTTP   *HTTPSink   `json:"http,omitempty"`
	Stdout *StdoutSink `json:"stdout,omitempty"`
	Hooks  []string    `json:"hooks,omitempty"`
	Types  []string    `json:"types,omitempty"`
	// Filter is a CEL expression (api/expr); empty means that every event matches.
	Filter string `json:"filter,omitempty"`
	// WhenFull says what happens at the queue's capacity; empty means Reject.
	WhenFull v1alpha1.WhenFull `json:"whenFull,omitempty"`
	Delivery Delivery          `json:"delivery"`
}

// Responder answers a synchronous hook. All of a hook's responders are told apart
// by their names.
type Responder struct {
	Name string `json:"name"`
	Hook string `json:"hook"`
	// Filter is a CEL expression (api/expr); the one responder of a hook without
	// one is asked when no filter matches.
	Filter      string                 `json:"filter,omitempty"`
	HTTP        *HTTPSink              `json:"http"`
	Timeout     metav1.Duration        `json:"timeout"`
	OnFailure   v1alpha1.FailurePolicy `json:"onFailure"`
	Concurrency int                    `json:"concurrency"`
}

// HTTPSink posts events to a URL.
type HTTPSink struct {
	URL     string       `json:"url"`
	Headers []SinkHeader `json:"headers,omitempty"`
	// CAFile is the path, below the secrets' root, of a PEM file; empty means the
	// system's authorities.
	CAFile string `json:"caFile,omitempty"`
}

// Posted lists where the receiver posts: its sinks' and responders' servers.
func (c *Config) Posted() []*HTTPSink {
	var all []*HTTPSink
	for i := range c.Sinks {
		if s := c.Sinks[i].HTTP; s != nil {
			all = append(all, s)
		}
	}
	for i := range c.Responders {
		if s := c.Responders[i].HTTP; s != nil {
			all = append(all, s)
		}
	}
	return all
}

// Files lists the paths, below the secrets' root, of the files that it needs.
func (s *HTTPSink) Files() []string {
	var names []string
	if s.CAFile != "" {
		names = append(names, s.CAFile)
	}
	for _, h := range s.Headers {
		if h.File != "" {
			names = append(names, h.File)
		}
	}
	return names
}

// SinkHeader is a header of requests to a sink: a value, or the path of a file
// below the secrets' root that holds it.
type SinkHeader struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	File  string `json:"file,omitempty"`
}

// StdoutSink prints events.
type StdoutSink struct{}

// Delivery says how deliveries are attempted.
type Delivery struct {
	MaxAttempts int             `json:"maxAttempts"`
	MinBackoff  metav1.Duration `json:"minBackoff"`
	MaxBackoff  metav1.Duration `json:"maxBackoff"`
	MaxAge      metav1.Duration `json:"maxAge"`
	Timeout     metav1.Duration `json:"timeout"`
	Concurrency int             `json:"concurrency"`
	// Ordering is None or BySubject; empty means None.
	Ordering v1alpha1.Ordering `json:"ordering,omitempty"`
}

// Queue bounds what is stored.
type Queue struct {
	CapacityBytes int64           `json:"capacityBytes"`
	Retention     metav1.Duration `json:"retention"`
	DeadLetters   DeadLetters     `json:"deadLetters"`
	// Quarantine is nil if requests that fail verification are not kept.
	Quarantine *Quarantine `json:"quarantine,omitempty"`
}

// DeadLetters bounds the dead letters.
type DeadLetters struct {
	CapacityBytes int64             `json:"capacityBytes"`
	WhenFull      v1alpha1.WhenFull `json:"whenFull"`
}

// Quarantine bounds what is kept of requests that failed verification.
type Quarantine struct {
	MaxRequests   int             `json:"maxRequests"`
	CapacityBytes int64           `json:"capacityBytes"`
	MaxAge        metav1.Duration `json:"maxAge"`
}

// Drain says how a stopping receiver takes its leave.
type Drain struct {
	Delay metav1.Duration `json:"delay"`
	Grace metav1.Duration `json:"grace"`
}

// Decode reads a configuration from JSON. An unknown field, another version,
// something behind the document, or a value out of its bounds is an error. A
// configuration of a later schema is ErrNewerSchema, whatever else is in it; one of
// an earlier schema is taken.
func Decode(data []byte) (*Config, error) {
	if err := checkSchema(data); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var c Config
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("decoding configuration: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decoding configuration: something stands behind the document")
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("checking configuration: %w", err)
	}
	return &c, nil
}

// validate checks what the receiver relies on. The writer has checked the same
// and more: an error here means that somebody else wrote the file.
func (c *Config) validate() error {
	switch {
	case c.APIVersion != APIVersion || c.Kind != Kind:
		return fmt.Errorf("it is %s %s; this receiver reads %s %s", c.APIVersion, c.Kind, APIVersion, Kind)
	case c.Schema < 0:
		return fmt.Errorf("schema %d is negative", c.Schema)
	case c.Endpoint.Namespace == "" || c.Endpoint.Name == "":
		return errors.New("endpoint has no namespace or no name")
	case c.Path == "" || c.Path[0] != '/':
		return fmt.Errorf("path %q does not begin with /", c.Path)
	case len(c.Signatures) == 0:
		return errors.New("signatures is empty: nothing could be verified")
	case len(c.Hooks) == 0:
		return errors.New("hooks is empty: nothing could be received")
	case len(c.Sinks) == 0:
		return errors.New("sinks is empty: nothing could be delivered")
	case c.Limits.MaxBodyBytes < 1:
		return errors.New("limits.maxBodyBytes is not positive")
	case c.Sources.Mode == v1alpha1.SourceEnforce && len(c.Sources.Ranges) == 0:
		return errors.New("sources.mode is Enforce and sources.ranges is empty: everybody would be refused")
	}
	if !local(c.Secret.Dir) {
		return fmt.Errorf("secret.dir %q is not a path below the secrets' root", c.Secret.Dir)
	}
	if err := c.Queue.validate(); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return errors.Join(c.validateSinks(), c.validateResponders())
}

func (c *Config) validateSinks() error {
	seen := map[string]bool{}
	for i := range c.Sinks {
		s := &c.Sinks[i]
		if s.Name == "" || seen[s.Name] {
			return fmt.Errorf("sinks[%d]: name %q is empty or used twice", i, s.Name)
		}
		seen[s.Name] = true
		if err := s.validate(); err != nil {
			return fmt.Errorf("sink %q: %w", s.Name, err)
		}
	}
	return nil
}

func (q *Queue) validate() error {
	if q.CapacityBytes < 1 || q.DeadLetters.CapacityBytes < 1 {
		return errors.New("capacityBytes and deadLetters.capacityBytes must be positive")
	}
	if k := q.Quarantine; k != nil && (k.MaxRequests < 1 || k.CapacityBytes < 1 || k.MaxAge.Duration <= 0) {
		return errors.New("quarantine has a value that is zero or negative")
	}
	return checkWhenFull(q.DeadLetters.WhenFull)
}

func checkWhenFull(w v1alpha1.WhenFull) error {
	switch w {
	case "", v1alpha1.WhenFullReject, v1alpha1.WhenFullDropOldest:
		return nil
	}
	return fmt.Errorf("whenFull %q is neither %s nor %s", w, v1alpha1.WhenFullReject, v1alpha1.WhenFullDropOldest)
}

func (s *Sink) validate() error {
	if (s.HTTP == nil) == (s.Stdout == nil) {
		return errors.New("exactly one of http and stdout must be set")
	}
	if err := checkWhenFull(s.WhenFull); err != nil {
		return err
	}
	if err := s.Delivery.validate(); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	if s.HTTP == nil {
		return nil
	}
	return s.HTTP.validate()
}

func (d *Delivery) validate() error {
	if d.MaxAttempts < 1 || d.Concurrency < 1 || d.Timeout.Duration <= 0 || d.MinBackoff.Duration <= 0 ||
		d.MaxBackoff.Duration < d.MinBackoff.Duration || d.MaxAge.Duration <= 0 {
		return errors.New("a value is zero, negative or out of order")
	}
	switch d.Ordering {
	case "", v1alpha1.OrderingNone, v1alpha1.OrderingBySubject:
		return nil
	}
	return fmt.Errorf("ordering %q is neither %s nor %s", d.Ordering, v1alpha1.OrderingNone, v1alpha1.OrderingBySubject)
}

func (s *HTTPSink) validate() error {
	if s.CAFile != "" && !local(s.CAFile) {
		return fmt.Errorf("caFile %q is not a path below the secrets' root", s.CAFile)
	}
	for _, h := range s.Headers {
		if h.File != "" && !local(h.File) {
			return fmt.Errorf("header %q: file %q is not a path below the secrets' root", h.Name, h.File)
		}
	}
	return nil
}

// local reports whether p stays below the directory that it is joined to.
func local(p string) bool {
	return p != "" && p[0] != '/' && path.Clean(p) == p && p != "." && p != ".." && (len(p) < 3 || p[:3] != "../")
}
