package source

import "errors"

// ErrNoAddress means that it cannot be known from where a request comes.
var ErrNoAddress = errors.New("no client address that can be believed")

// Reason is why it cannot be known.
type Reason string

// The reasons.
const (
	// PeerUnknown means that the connection's other end has no IP address.
	PeerUnknown Reason = "peer_unknown"
	// ProxyMissing means that the connection of a trusted proxy began without the
	// PROXY protocol header that is expected.
	ProxyMissing Reason = "proxy_missing"
	// ProxyUnknown means that the header says no address: LOCAL, UNKNOWN, UNIX.
	ProxyUnknown Reason = "proxy_unknown"
	// ProxyMalformed means that the header could not be read. The connection was
	// closed.
	ProxyMalformed Reason = "proxy_malformed"
	// HeaderMissing means that a trusted proxy's request has neither X-Forwarded-For
	// nor Forwarded.
	HeaderMissing Reason = "header_missing"
	// HeaderUnreadable means that one of them has something else where the client's
	// address should be, or more than is read.
	HeaderUnreadable Reason = "header_unreadable"
	// HeaderTrusted means that they list trusted addresses only.
	HeaderTrusted Reason = "header_trusted"
	// HeaderConflict means that the two say different addresses.
	HeaderConflict Reason = "header_conflict"
)

// Reasons lists all reasons.
func Reasons() []Reason {
	return []Reason{PeerUnknown, ProxyMissing, ProxyUnknown, ProxyMalformed, HeaderMissing, HeaderUnreadable, HeaderTrusted, HeaderConflict}
}

// ReasonOf returns why an address is not known, or "" if the error is another.
func ReasonOf(err error) Reason {
	var n noAddress
	if errors.As(err, &n) {
		return Reason(n)
	}
	return ""
}

// noAddress is an ErrNoAddress with its reason.
type noAddress Reason

func (n noAddress) Error() string { return ErrNoAddress.Error() + ": " + string(n) }

func (n noAddress) Is(target error) bool { return target == ErrNoAddress }
