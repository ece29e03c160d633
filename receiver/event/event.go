// Package event holds Event: a request that was verified and is, or is about
// to be, stored. It imports nothing of ours, and nothing here does I/O.
package event

import "time"

// Bounds of an event's fields, in bytes. Intake refuses what exceeds them.
const (
	MaxID      = 256
	MaxType    = 256
	MaxSubject = 1024
	MaxReplay  = 64
)

// Event is a verified request. Once it is stored it does not change; whoever
// holds one must not write to its fields or its body.
type Event struct {
	// ID is unique among the endpoint's events within the dedup window.
	ID string
	// Hook is the name of the provider's hook.
	Hook string
	// Type is the event's type in the provider's words, without the prefix that
	// CloudEvents get.
	Type string
	// Subject is what the event is about; may be empty.
	Subject string
	// Time is the event's own time as the provider wrote it (RFC 3339), or empty.
	Time string
	// Attempt is the provider's count of attempts, from 1; 0 if it does not say.
	Attempt int
	// ContentType is the request's Content-Type; may be empty.
	ContentType string
	// Headers are the provider's headers that go to sinks, in a fixed order.
	Headers []Header
	// ReceivedAt is when the request was verified.
	ReceivedAt time.Time
	// Replay names the replay that made deliveries of a stored event again; empty
	// for the event as it came. A replayed event keeps its ID.
	Replay string
	// ReplayedAt is when that was; zero for the event as it came.
	ReplayedAt time.Time
	// Body is the exact bytes that were signed.
	Body []byte
}

// Since is when the event's deliveries were asked for: their age counts from then.
func (e *Event) Since() time.Time {
	if e.ReplayedAt.IsZero() {
		return e.ReceivedAt
	}
	return e.ReplayedAt
}

// Header is one header with its value.
type Header struct{ Name, Value string }
