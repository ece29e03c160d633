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
	Queue     Queue   `json:"queue"`
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
}

// Sink is what holds for one sink.
type Sink struct {
	Name string `json:"name"`
	// State is ok, failing, pending or suspended.
	State string `json:"state"`
	// Reason says why a sink is pending or failing.
	Reason              string     `json:"reason,omitempty"`
	ConsecutiveFailures int        `json:"consecutiveFailures,omitempty"`
	LastSuccess         *time.Time `json:"lastSuccess,omitempty"`
	Queued              int64      `json:"queued"`
	QueuedBytes         int64      `json:"queuedBytes"`
	OldestAgeSeconds    float64    `json:"oldestAgeSeconds"`
	DeadLetters         int64      `json:"deadLetters"`
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
