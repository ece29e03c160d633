package statusz

import "encoding/json"

// Parting is what a receiver writes, as JSON, to its termination message when it
// ends, if it leaves deliveries behind or has handed some over.
type Parting struct {
	// Left counts the queued deliveries that are still in its data directory.
	Left int64 `json:"left"`
	// HandedOver counts the deliveries, dead letters included, that sisters took.
	HandedOver int64 `json:"handedOver"`
	// DeadLettersLeft counts the dead letters that are still there.
	DeadLettersLeft int64 `json:"deadLettersLeft"`
	// Reason says why not everything was handed over; it names no URL, secret or body.
	Reason string `json:"reason,omitempty"`
}

// ParseParting reads a termination message. It returns false for what is no
// Parting: an empty message, or the end of a log, which the kubelet puts there when
// a container fails without a message.
func ParseParting(message string) (Parting, bool) {
	var must struct {
		Left *int64 `json:"left"`
	}
	var p Parting
	if json.Unmarshal([]byte(message), &must) != nil || must.Left == nil || json.Unmarshal([]byte(message), &p) != nil {
		return Parting{}, false
	}
	if p.Left < 0 || p.HandedOver < 0 || p.DeadLettersLeft < 0 {
		return Parting{}, false
	}
	return p, true
}
