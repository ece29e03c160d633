package sink

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// AddressError means that the name of a sink or responder led to an address that
// none may dial. It is retried: what a name leads to may change.
type AddressError struct {
	// Kind says what is wrong with the address.
	Kind string
}

func (e *AddressError) Error() string {
	return "host leads to " + e.Kind + " address, which sinks and responders may not dial"
}

// guard checks the address of each connection just before it is made, when
// names are resolved: so neither a name nor a later change of it gets around it.
type guard struct {
	allowLoopback bool
	deny          []netip.Addr
}

func newGuard(allowLoopback bool, deny []netip.Addr) *guard {
	g := &guard{allowLoopback: allowLoopback}
	for _, a := range deny {
		g.deny = append(g.deny, a.Unmap().WithZone(""))
	}
	return g
}

// control is a net.Dialer's Control.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &AddressError{Kind: "an unreadable"}
	}
	return g.check(ap.Addr())
}

func (g *guard) check(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if kind := g.refuses(a); kind != "" {
		return &AddressError{Kind: kind}
	}
	if v4, ok := embedded(a); ok {
		if kind := g.refuses(v4); kind != "" {
			return fmt.Errorf("behind a translator: %w", &AddressError{Kind: kind})
		}
	}
	return nil
}

// refuses returns what is wrong with an address, or nothing.
func (g *guard) refuses(a netip.Addr) string {
	switch {
	case slices.Contains(g.deny, a):
		return "a protected"
	case a.IsLoopback():
		if g.allowLoopback {
			return ""
		}
		return "a loopback"
	case a.IsUnspecified(), thisNetwork.Contains(a):
		return "an unspecified"
	case slices.Contains(metadata, a):
		return "a metadata service's"
	case a.IsLinkLocalUnicast():
		return "a link-local"
	case a.IsMulticast(), a == broadcast:
		return "a multicast"
	}
	return ""
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.MustParseAddr("255.255.255.255")
	// metadata lists clouds' metadata services outside of the link-local ranges.
	metadata = []netip.Addr{
		netip.MustParseAddr("169.254.169.254"),
		netip.MustParseAddr("fd00:ec2::254"),
		netip.MustParseAddr("fd20:ce::254"),
		netip.MustParseAddr("100.100.100.200"),
		netip.MustParseAddr("168.63.129.16"),
		netip.MustParseAddr("192.0.0.192"),
	}
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compatible = netip.MustParsePrefix("::/96")
)

// embedded returns the IPv4 address that a translator would make of an IPv6 one.
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case nat64.Contains(a), compatible.Contains(a) && !a.IsLoopback() && !a.IsUnspecified():
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
