// Package statusz is the page /statusz of a receiver: receivers write it, and the
// operator and people read it.
package statusz

import "time"

// Page is the page /statusz: what holds in this receiver now. It names no
// URL, no secret and no body. Times are UTC; ones that never were are left out.
type Page struct {
	// Version is the program's.
	Version string `json:"version"`
	// Started is when the process was ready to serve.
	Started time.Time `json:"started"`
	// Draining is whether the process has been asked to stop.
	Draining bool `json:"draining"`
	// Endpoints are those that the process serves: one in a pod.
	Endpoints []Endpoint `json:"endpoints"`
	// TLS is nil if the webhook listener speaks plain HTTP.
	TLS *TLS `json:"tls,omitempty"`
}

// Endpoint is what holds for one endpoint.
type Endpoint struct {
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Path      string  `json:"path"`
	Suspend   string  `json:"suspend"`
	Ready     bool    `json:"ready"`
	NotReady  string  `json:"notReady,omitempty"`
	Config    Config  `json:"config"`
	Secret    Secret  `json:"secret"`
	Sources   Sources `json:"sources"`
	Sinks     []Sink  `json:"sinks"`
	// Responders are those that answer synchronous hooks.
	Responders []Responder `json:"responders,omitempty"`
	Queue      Queue       `json:"queue"`
	// Misrouted lists hooks whose requests arrive at another hook's path: a URL was
	// pasted into the wrong field at the provider.
	Misrouted []Misrouted `json:"misrouted,omitempty"`
}

// Config says which configuration is in use.
type Config struct {
	Generation      int64     `json:"generation"`
	Provider        string    `json:"provider"`
	ProfileRevision string    `json:"profileRevision"`
	LoadedAt        time.Time `json:"loadedAt"`
	// Error says why the newest configuration is not in use; the one before it is.
	Error string `json:"error,omitempty"`
}

// Secret says which signing secrets are in use.
type Secret struct {
	Entries []Entry `json:"entries"`
	// Missing lists entries that the endpoint names and the Secret lacks.
	Missing []string `json:"missing,omitempty"`
	// Problems says what is wrong with entries, by entry; the text holds none of
	// the secret.
	Problems map[string]string `json:"problems,omitempty"`
	// Refused counts the requests that were refused for their signature; nil: none.
	Refused *Refused `json:"refused,omitempty"`
}

// Refused counts, since the process began, requests from addresses that may send
// whose signature was not right.
type Refused struct {
	// Unsigned had no signature where the provider puts it: something that is not the
	// provider, another provider's profile, or a proxy that drops the header.
	Unsigned int64 `json:"unsigned"`
	// Wrong had one that no secret here makes of the bytes that came: another secret,
	// or something that changed the body.
	Wrong int64 `json:"wrong"`
	// Late were signed with a secret of ours, too long ago or too far ahead.
	Late int64 `json:"late"`
}

// Entry is one signing secret in use.
type Entry struct {
	Name string `json:"name"`
	// Fingerprint tells secrets apart; the secret cannot be found from it.
	Fingerprint string     `json:"fingerprint"`
	LastUsed    *time.Time `json:"lastUsed,omitempty"`
}

// Sources says who may send.
type Sources struct {
	Mode   string `json:"mode"`
	Ranges int    `json:"ranges"`
	// LastUnlistedValid is when an unlisted address last sent a valid signature:
	// the provider's list may have changed, or something hides the client.
	LastUnlistedValid *time.Time `json:"lastUnlistedValid,omitempty"`
	// Finding says whether the addresses of those that send are seen at all: one of
	// SourceNoTraffic and its neighbours.
	Finding string `json:"finding"`
	// Verified counts the verified requests on which Finding rests: those of the
	// last hour, from unlisted addresses too.
	Verified int64 `json:"verified"`
	// Addresses lists up to 8 addresses from which they came, sorted.
	Addresses []string `json:"addresses,omitempty"`
	// Via says how addresses are found: SourceViaPeer and its neighbours.
	Via string `json:"via"`
	// Unknown counts the requests of the last hour whose client address could not be
	// known: a trusted proxy sent none, or what cannot be read.
	Unknown int64 `json:"unknown,omitempty"`
	// Unlisted counts requests of the last hour that were refused in mode Enforce
	// because their address, a public one or a pod's, is not listed: a sample, at most 5
	// a second. Where a NetworkPolicy is to keep those out, they show that it does not.
	// What came in mode Observe, when the policy let everybody in, shows nothing.
	Unlisted int64 `json:"unlisted,omitempty"`
}

// The findings on the addresses of those that send.
const (
	// SourceNoTraffic means that there was no verified request to judge by.
	SourceNoTraffic = "noTraffic"
	// SourcePreserved means that addresses are seen: at least two public ones, or
	// listed ones.
	SourcePreserved = "preserved"
	// SourceNode means that requests come from the address of the receiver's node:
	// traffic is passed on between nodes, or from the node, without its address.
	SourceNode = "node"
	// SourcePod means that they come from the pods' network: a proxy in the cluster.
	SourcePod = "pod"
	// SourcePrivate means that they come from other private addresses: a load
	// balancer, or another node.
	SourcePrivate = "private"
	// SourceSingle means that all come from one single public address that is not
	// listed: a load balancer, or a relay.
	SourceSingle = "single"
)

// How client addresses are found.
const (
	// SourceViaPeer is the address of the connection's other end.
	SourceViaPeer = "peer"
	// SourceViaHeader is X-Forwarded-For or Forwarded from a trusted proxy.
	SourceViaHeader = "header"
	// SourceViaProxyProtocol is the PROXY protocol from a trusted proxy.
	SourceViaProxyProtocol = "proxyProtocol"
)

// TLS is what holds for the certificate of the webhook listener.
type TLS struct {
	// NotBefore and NotAfter are when the certificate in use begins and ends; nil if
	// there is none.
	NotBefore *time.Time `json:"notBefore,omitempty"`
	NotAfter  *time.Time `json:"notAfter,omitempty"`
	// Names lists the certificate's DNS names, at most 16.
	Names []string `json:"names,omitempty"`
	// Error says why there is no certificate, or why the newest is not in use.
	Error string `json:"error,omitempty"`
}

// Responder is what holds for one responder. Counts are since the process began.
type Responder struct {
	Name string `json:"name"`
	Hook string `json:"hook"`
	// State is SinkOK, SinkFailing (the last answers failed) or SinkPending.
	State string `json:"state"`
	// Reason says why it is failing or pending.
	Reason string `json:"reason,omitempty"`
	// Breaker is one of BreakerClosed and its neighbours.
	Breaker     string     `json:"breaker"`
	Asked       int64      `json:"asked"`
	Failed      int64      `json:"failed"`
	LastSuccess *time.Time `json:"lastSuccess,omitempty"`
}

// The states of a sink.
const (
	// SinkOK means that the last attempt succeeded, or that there was none.
	SinkOK = "ok"
	// SinkFailing means that the last attempt failed.
	SinkFailing = "failing"
	// SinkPending means that something that the sink needs is missing.
	SinkPending = "pending"
	// SinkSuspended means that deliveries wait because the endpoint says so.
	SinkSuspended = "suspended"
	// SinkStopped means that no new attempt is made any more: the process stops.
	SinkStopped = "stopped"
)

// The states of a sink's circuit breaker.
const (
	// BreakerClosed lets every attempt through.
	BreakerClosed = "closed"
	// BreakerOpen lets none through until a moment.
	BreakerOpen = "open"
	// BreakerHalfOpen lets one through, by which it closes or opens again.
	BreakerHalfOpen = "half-open"
)

// The stores of which Queue.Alerts tells that they fill up.
const (
	// StoreQueue is more than half full of queued deliveries.
	StoreQueue = "queue"
	// StoreDeadLetters is more than half full of dead letters.
	StoreDeadLetters = "deadLetters"
	// StoreDisk has so little free space that events are refused, or soon will be.
	StoreDisk = "disk"
)

// Sink is what holds for one sink.
type Sink struct {
	Name string `json:"name"`
	// State is one of SinkOK and its neighbours.
	State string `json:"state"`
	// Reason says why a sink is pending or failing.
	Reason              string     `json:"reason,omitempty"`
	ConsecutiveFailures int        `json:"consecutiveFailures,omitempty"`
	LastSuccess         *time.Time `json:"lastSuccess,omitempty"`
	Queued              int64      `json:"queued"`
	QueuedBytes         int64      `json:"queuedBytes"`
	OldestAgeSeconds    float64    `json:"oldestAgeSeconds"`
	DeadLetters         int64      `json:"deadLetters"`
	// Breaker is one of BreakerClosed and its neighbours, or empty where there is no
	// breaker.
	Breaker string `json:"breaker,omitempty"`
	// BreakerUntil is when an open breaker lets an attempt through.
	BreakerUntil *time.Time `json:"breakerUntil,omitempty"`
	// Retrying counts the queued deliveries that have failed at least once.
	Retrying int64 `json:"retrying"`
	// Dropped counts the deliveries that were dropped to make room, or with a sink
	// that was taken out, since the data directory was made.
	Dropped int64 `json:"dropped"`
	// DeadLettersDropped counts the dead letters that made room for newer ones or
	// that a person dropped.
	DeadLettersDropped int64 `json:"deadLettersDropped"`
}

// Queue is what the queue holds, and what it survives.
type Queue struct {
	Type                    string `json:"type"`
	QueuedBytes             int64  `json:"queuedBytes"`
	CapacityBytes           int64  `json:"capacityBytes"`
	DeadLetterBytes         int64  `json:"deadLetterBytes"`
	DeadLetterCapacityBytes int64  `json:"deadLetterCapacityBytes"`
	StoredEvents            int64  `json:"storedEvents"`
	StoredBytes             int64  `json:"storedBytes"`
	// Alerts lists the stores that fill up: StoreQueue, StoreDeadLetters, StoreDisk.
	Alerts []string `json:"alerts,omitempty"`
	// FreeBytes is how much may be written before events are refused for want of
	// space; -1 if that is not known.
	FreeBytes int64 `json:"freeBytes"`
	// Quarantined counts the requests that are kept although they failed
	// verification.
	Quarantined int64 `json:"quarantined"`
	// SyncedBeforeReply is whether an event is on disk before its 2xx.
	SyncedBeforeReply bool `json:"syncedBeforeReply"`
}

// Misrouted counts requests of the shape of one hook at another hook's path.
type Misrouted struct {
	Hook  string    `json:"hook"`
	Shape string    `json:"shape"`
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

// When returns t for a status field, or nil for no time at all.
func When(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
