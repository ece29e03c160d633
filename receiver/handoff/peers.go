package handoff

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxSisters bounds the addresses that one look-up gives.
const maxSisters = 1024

// Peers finds sisters by name. In a pod that is the name of the headless Service;
// every address that it has is a sister, but one's own.
type Peers struct {
	names    []hostPort
	own      netip.AddrPort
	resolver Resolver
	ifaces   func() ([]net.Addr, error)
}

// Resolver looks names up. A *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

type hostPort struct {
	host string
	port uint16
}

// ParsePeers reads a list of HOST:PORT, separated by commas. own is the address at
// which this process takes hand-overs itself. It is left out; if it stands for all
// addresses of this machine (":8082"), each of those with its port is. An empty
// list is nil: nobody to hand over to.
func ParsePeers(list string, own netip.AddrPort, r Resolver) (*Peers, error) {
	if list == "" {
		return nil, nil
	}
	p := &Peers{own: own, resolver: r, ifaces: net.InterfaceAddrs}
	for _, one := range strings.Split(list, ",") {
		host, port, err := net.SplitHostPort(strings.TrimSpace(one))
		if err != nil || host == "" {
			return nil, fmt.Errorf("reading peers: %q is not HOST:PORT", one)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("reading peers: %q has no port", one)
		}
		p.names = append(p.names, hostPort{host, uint16(n)})
	}
	return p, nil
}

// Resolve returns the addresses that the names have now, without one's own. Some
// may be there although a name could not be looked up: then err says so too.
func (p *Peers) Resolve(ctx context.Context) ([]netip.AddrPort, error) {
	own := p.ownAddrs()
	var all []netip.AddrPort
	var errs []error
	for _, n := range p.names {
		addrs, err := p.lookup(ctx, n.host)
		if err != nil {
			errs = append(errs, fmt.Errorf("looking up sisters: %w", err))
		}
		for _, a := range addrs {
			ap := netip.AddrPortFrom(a.Unmap(), n.port)
			if !slices.Contains(own, ap) && !slices.Contains(all, ap) && len(all) < maxSisters {
				all = append(all, ap)
			}
		}
	}
	return all, errors.Join(errs...)
}

func (p *Peers) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return p.resolver.LookupNetIP(ctx, "ip", host)
}

// ownAddrs lists where this process listens.
func (p *Peers) ownAddrs() []netip.AddrPort {
	addr := p.own.Addr().Unmap()
	if addr.IsValid() && !addr.IsUnspecified() {
		return []netip.AddrPort{netip.AddrPortFrom(addr, p.own.Port())}
	}
	list, err := p.ifaces()
	if err != nil {
		return nil // a hand-over to oneself is refused anyway: one is draining
	}
	var own []netip.AddrPort
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, netip.AddrPortFrom(prefix.Addr().Unmap(), p.own.Port()))
		}
	}
	return own
}
