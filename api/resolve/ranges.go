package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// mappedBits is how many bits ::ffff:0:0/96 fixes before an IPv4 address.
const mappedBits = 96

// Ranges returns what a provider's regions come to at the time now: the ranges in
// use, and when they change, which is zero for never. No names stand for all
// regions; an unknown one is a Problem.
func Ranges(p *v1alpha1.WebhookProvider, names []string, now time.Time) ([]SourceRange, time.Time, error) {
	ep := Filled(&v1alpha1.WebhookEndpoint{Spec: v1alpha1.WebhookEndpointSpec{Regions: names}})
	r := &resolver{ep: ep, p: p, now: now}
	all := r.ranges()
	return all, r.nextChange(), errors.Join(r.problems...)
}

// ranges returns the ranges in use now, of the chosen regions and of the
// endpoint's own, sorted and each once.
func (r *resolver) ranges() []SourceRange {
	all := r.rangesOf(r.regions())
	for i, c := range r.ep.Spec.Sources.AdditionalRanges {
		if cidr, ok := r.prefix(fmt.Sprintf("spec.sources.additionalRanges[%d]", i), c); ok {
			all = append(all, SourceRange{CIDR: cidr})
		}
	}
	slices.SortFunc(all, func(a, b SourceRange) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), a.CIDR.Compare(b.CIDR))
	})
	return slices.Compact(all)
}

// rangesOf returns the ranges of regions that are in use now.
func (r *resolver) rangesOf(regions []v1alpha1.Region) []SourceRange {
	var all []SourceRange
	for _, region := range regions {
		for _, rg := range region.Ranges {
			if !inUse(&rg, r.now) {
				continue
			}
			cidr, err := fold(rg.CIDR)
			if err != nil {
				r.problem("spec.provider", "Provider %q lists a range %v in region %q; mend the WebhookProvider", r.p.Name, err, region.Name)
				continue
			}
			all = append(all, SourceRange{Region: region.Name, CIDR: cidr})
		}
	}
	return all
}

// omitted returns the ranges of the regions that the endpoint did not choose.
func (r *resolver) omitted() []SourceRange {
	if len(r.ep.Spec.Regions) == 0 {
		return nil
	}
	var left []v1alpha1.Region
	for _, region := range r.p.Spec.Regions {
		if !slices.Contains(r.ep.Spec.Regions, region.Name) {
			left = append(left, region)
		}
	}
	return r.rangesOf(left)
}

// regions returns the provider's regions that the endpoint chose; all of them if
// it chose none.
func (r *resolver) regions() []v1alpha1.Region {
	if len(r.ep.Spec.Regions) == 0 {
		return r.p.Spec.Regions
	}
	var chosen []v1alpha1.Region
	for i, name := range r.ep.Spec.Regions {
		at := slices.IndexFunc(r.p.Spec.Regions, func(g v1alpha1.Region) bool { return g.Name == name })
		if at < 0 {
			r.unknownRegion(i, name)
			continue
		}
		chosen = append(chosen, r.p.Spec.Regions[at])
	}
	return chosen
}

func (r *resolver) unknownRegion(i int, name string) {
	field := fmt.Sprintf("spec.regions[%d]", i)
	if len(r.p.Spec.Regions) == 0 {
		r.problem(field, "Provider %q lists no regions; leave spec.regions out", r.p.Name)
		return
	}
	known := make([]string, 0, len(r.p.Spec.Regions))
	for i := range r.p.Spec.Regions {
		known = append(known, r.p.Spec.Regions[i].Name)
	}
	r.problem(field, "Provider %q has no region %q; choose from %s", r.p.Name, name, list(known))
}

// nextChange returns the earliest boundary after now among the chosen regions.
func (r *resolver) nextChange() time.Time {
	var next time.Time
	quiet := resolver{ep: r.ep, p: r.p} // ranges has told of unknown regions
	for _, region := range quiet.regions() {
		for i := range region.Ranges {
			for _, t := range boundaries(&region.Ranges[i]) {
				if t.After(r.now) && (next.IsZero() || t.Before(next)) {
					next = t
				}
			}
		}
	}
	return next
}

func boundaries(rg *v1alpha1.Range) []time.Time {
	var all []time.Time
	if rg.ValidFrom != nil {
		all = append(all, rg.ValidFrom.Time)
	}
	if rg.ValidUntil != nil {
		all = append(all, rg.ValidUntil.Time)
	}
	return all
}

// inUse reports whether now lies in the range's time: from validFrom on, until
// just before validUntil.
func inUse(rg *v1alpha1.Range, now time.Time) bool {
	return (rg.ValidFrom == nil || !now.Before(rg.ValidFrom.Time)) &&
		(rg.ValidUntil == nil || now.Before(rg.ValidUntil.Time))
}

// sources returns who may send. Neighbouring regions may list the same range: it
// stands there once.
func (r *resolver) sources(ranges []SourceRange) config.Sources {
	s := config.Sources{Mode: r.ep.Spec.Sources.Mode}
	for _, rg := range ranges {
		s.Ranges = append(s.Ranges, rg.CIDR)
	}
	s.Ranges = sorted(s.Ranges)
	for i, c := range r.ep.Spec.Sources.TrustedProxies {
		if p, ok := r.prefix(fmt.Sprintf("spec.sources.trustedProxies[%d]", i), c); ok {
			s.TrustedProxies = append(s.TrustedProxies, p)
		}
	}
	s.TrustedProxies = sorted(s.TrustedProxies)
	if s.ProxyProtocol = r.ep.Spec.Exposure.ProxyProtocol == v1alpha1.ProxyProtocolRequired; s.ProxyProtocol && len(s.TrustedProxies) == 0 {
		r.problem("spec.sources.trustedProxies", "The PROXY protocol is believed of trusted proxies only; list the addresses of the load balancer, or set spec.exposure.proxyProtocol to None")
	}
	if s.Mode == v1alpha1.SourceEnforce && len(ranges) == 0 && len(r.problems) == 0 {
		r.problem("spec.sources.mode", "Everybody would be refused, because provider %q lists no address that is in use; "+
			"list its addresses in spec.sources.additionalRanges, or set mode to Observe", r.p.Name)
	}
	return s
}

func (r *resolver) prefix(field string, c v1alpha1.CIDR) (netip.Prefix, bool) {
	p, err := fold(c)
	if err != nil {
		r.problem(field, "Range %v; write a CIDR such as 203.0.113.7/32", err)
	}
	return p, err == nil
}

// fold reads a range, clears the bits behind its length, and makes a range of
// IPv4-mapped IPv6 addresses one of IPv4: clients are looked up so.
func fold(c v1alpha1.CIDR) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(string(c))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no CIDR", string(c))
	}
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-mappedBits))
	}
	if p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%q lists every address", string(c))
	}
	return p.Masked(), nil
}

func sorted(all []netip.Prefix) []netip.Prefix {
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// list writes names for people, sorted.
func list(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}
