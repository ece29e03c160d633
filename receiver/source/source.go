// Package source finds the address that a request comes from, and whether it is
// one of those that may send. It knows addresses and headers, and no providers.
//
// IPv4 addresses that are written as IPv6 (::ffff:192.0.2.1) are folded to IPv4
// everywhere: in the peer's address, in headers and in ranges.
package source

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
)

// ErrNoAddress means that it cannot be known from where a request comes.
var ErrNoAddress = errors.New("no client address that can be believed")

// Bounds of what is read of X-Forwarded-For, from its right end.
const (
	maxElements = 64
	maxBytes    = 8 << 10
)

const forwardedFor = "X-Forwarded-For"

// Resolver finds client addresses. It does not change and may be used by many
// goroutines at once.
type Resolver struct{ trusted *Set }

// NewResolver returns a Resolver that believes the X-Forwarded-For header of peers
// in the ranges, and of no others.
func NewResolver(trusted []netip.Prefix) *Resolver {
	return &Resolver{trusted: NewSet(trusted)}
}

// Client returns the address that a request comes from: that of the peer; or, if
// the peer is trusted, the right-most address of X-Forwarded-For that is not
// trusted itself. What stands to the left of that address was written by somebody
// who is not trusted, and is not looked at.
//
// remoteAddr is the peer's address as net/http gives it; h has canonical keys.
// Several X-Forwarded-For headers are one list, in their order.
//
// The error is ErrNoAddress if the peer's address is not an IP address, or if the
// peer is trusted and the header
//   - is missing, or
//   - has an element that is not an address before one is found that is not trusted
//     (an address may have a port, brackets and quotes; it may have no zone, which
//     would mean nothing on this machine), or
//   - lists trusted addresses only, or
//   - shows no other within its last 64 elements and 8 KiB.
//
// The peer's own zone is dropped.
func (r *Resolver) Client(remoteAddr string, h http.Header) (netip.Addr, error) {
	peer, ok := parsePeer(remoteAddr)
	if !ok {
		return netip.Addr{}, ErrNoAddress
	}
	if !r.trusted.Contains(peer) {
		return peer, nil
	}
	return r.walk(h[forwardedFor])
}

// walk reads the list from its right end.
func (r *Resolver) walk(lines []string) (netip.Addr, error) {
	elements, bytes := maxElements, maxBytes
	for i := len(lines) - 1; i >= 0; i-- {
		for line, more := lines[i], true; more; elements-- {
			var element string
			line, element, more = cutLast(line, bytes)
			bytes -= len(element) + 1
			a, ok := parseElement(element)
			if !ok || elements == 0 || bytes < 0 {
				return netip.Addr{}, ErrNoAddress
			}
			if !r.trusted.Contains(a) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, ErrNoAddress
}

// cutLast cuts a line at its last comma, and looks for it in the last limit bytes
// only. more is false if there is none.
func cutLast(line string, limit int) (rest, element string, more bool) {
	start := max(0, len(line)-max(0, limit))
	if i := strings.LastIndexByte(line[start:], ','); i >= 0 {
		return line[:start+i], line[start+i+1:], true
	}
	return "", line, false
}

// parsePeer reads an address with or without a port.
func parsePeer(text string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().WithZone("").Unmap(), true
	}
	a, err := netip.ParseAddr(text)
	return a.WithZone("").Unmap(), err == nil
}

// parseElement reads an element of X-Forwarded-For.
func parseElement(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	// The longest address with a port is [ffff:…:255.255.255.255]:65535.
	if text == "" || len(text) > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535") {
		return netip.Addr{}, false
	}
	a, ok := parseHost(text)
	return a.Unmap(), ok && a.Zone() == ""
}

// parseHost reads an address: bare, in brackets, or with a port.
func parseHost(text string) (netip.Addr, bool) {
	if text[0] == '[' && text[len(text)-1] == ']' {
		a, err := netip.ParseAddr(text[1 : len(text)-1])
		return a, err == nil && a.Is6()
	}
	if text[0] == '[' || strings.Count(text, ":") == 1 {
		ap, err := netip.ParseAddrPort(text)
		return ap.Addr(), err == nil
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil
}
