// Package source finds the address that a request comes from, and whether it is
// one of those that may send. It knows addresses and headers, and no providers.
//
// IPv4 addresses that are written as IPv6 (::ffff:192.0.2.1) are folded to IPv4
// everywhere: in the peer's address, in headers and in ranges.
package source

import (
	"net/http"
	"net/netip"
	"strings"
)

// Bounds of what is read of X-Forwarded-For and of Forwarded, from the right end.
const (
	maxElements = 64
	maxBytes    = 8 << 10
)

// maxElement is the length of the longest address with a port.
const maxElement = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")

const (
	forwardedFor = "X-Forwarded-For"
	forwarded    = "Forwarded"
)

// Resolver finds client addresses. It does not change and may be used by many
// goroutines at once.
type Resolver struct {
	trusted *Set
	// announced is whether trusted peers announce clients by the PROXY protocol.
	announced bool
}

// NewResolver returns a Resolver that believes what peers in the ranges say about
// clients, and no others: the PROXY protocol header of their connections if
// proxyProtocol, else the headers of their requests.
func NewResolver(trusted []netip.Prefix, proxyProtocol bool) *Resolver {
	return &Resolver{trusted: NewSet(trusted), announced: proxyProtocol}
}

// Client returns the address that a request comes from.
//
// That is the peer's, if the peer is not trusted: whatever the request says.
//
// If the peer is trusted and the PROXY protocol is expected, it is the address of
// the connection's header (WithAnnouncer). If that one is trusted too, it is another
// proxy, which speaks through the request's headers:
//
// X-Forwarded-For and Forwarded (RFC 7239) are lists, to which each proxy adds from
// whom it got the request; several headers of a name are one list, in their order.
// The client is the right-most address that is not trusted itself. What stands to
// the left of it was written by somebody who is not trusted, and is not looked at.
// If both headers are there, they must say the same: of one that the proxy does not
// set, the client may have written all.
//
// An address may have a port, brackets and quotes; it may have no zone, which would
// mean nothing on this machine. In Forwarded an IPv6 address needs its brackets; an
// element without "for", with "unknown" or with an obfuscated name has no address.
// The peer's own zone is dropped.
//
// The error is ErrNoAddress, and ReasonOf tells why.
func (r *Resolver) Client(req *http.Request) (netip.Addr, error) {
	peer, ok := parsePeer(req.RemoteAddr)
	if !ok {
		return netip.Addr{}, noAddress(PeerUnknown)
	}
	if !r.trusted.Contains(peer) {
		return peer, nil
	}
	if !r.announced {
		return r.headers(req.Header)
	}
	a := announced(req.Context())
	switch {
	case !a.Header:
		return netip.Addr{}, noAddress(ProxyMissing)
	case !a.Client.IsValid():
		return netip.Addr{}, noAddress(ProxyUnknown)
	case r.trusted.Contains(a.Client):
		return r.headers(req.Header)
	}
	return a.Client.Unmap(), nil
}

// Trusts reports whether a request comes from a trusted peer.
func (r *Resolver) Trusts(req *http.Request) bool {
	peer, ok := parsePeer(req.RemoteAddr)
	return ok && r.trusted.Contains(peer)
}

// headers finds the client in the headers of a trusted peer's request.
func (r *Resolver) headers(h http.Header) (netip.Addr, error) {
	x, f := h[forwardedFor], h[forwarded]
	switch {
	case len(x) == 0 && len(f) == 0:
		return netip.Addr{}, noAddress(HeaderMissing)
	case len(f) == 0:
		return r.walk(x)
	case len(x) == 0:
		return r.walkForwarded(f)
	}
	one, err := r.walk(x)
	if err != nil {
		return netip.Addr{}, err
	}
	other, err := r.walkForwarded(f)
	if err == nil && one != other {
		err = noAddress(HeaderConflict)
	}
	if err != nil {
		return netip.Addr{}, err
	}
	return one, nil
}

// walk reads X-Forwarded-For from its right end.
func (r *Resolver) walk(lines []string) (netip.Addr, error) {
	elements, bytes := maxElements, maxBytes
	for i := len(lines) - 1; i >= 0; i-- {
		for line, more := lines[i], true; more; elements-- {
			var element string
			line, element, more = cutLast(line, bytes)
			bytes -= len(element) + 1
			a, ok := parseElement(element)
			if !ok || elements == 0 || bytes < 0 {
				return netip.Addr{}, noAddress(HeaderUnreadable)
			}
			if !r.trusted.Contains(a) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, noAddress(HeaderTrusted)
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
	if text == "" || len(text) > maxElement {
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
