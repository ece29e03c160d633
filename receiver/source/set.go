package source

import (
	"net/netip"
	"slices"
)

// Set is a set of addresses, made of ranges. It does not change and may be used
// by many goroutines at once.
type Set struct {
	spans []span // apart from each other, in order
}

// span is the addresses from first to last, both included.
type span struct{ first, last netip.Addr }

// NewSet returns the set of all addresses in the ranges. A range of IPv4 addresses
// written as a part of IPv6 is the range of the IPv4 addresses; an IPv6 range that
// is larger than that part holds no IPv4 addresses. A range that is not valid holds
// nothing.
func NewSet(ranges []netip.Prefix) *Set {
	spans := make([]span, 0, len(ranges))
	for _, r := range ranges {
		if r = fold(r); r.IsValid() {
			spans = append(spans, span{r.Masked().Addr(), last(r)})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	return &Set{spans: merge(spans)}
}

// Contains reports whether the set holds the address. IPv4 addresses written as
// IPv6 are IPv4 addresses. An address with a zone is in no set. It takes time in
// proportion to the logarithm of the number of ranges and allocates nothing.
func (s *Set) Contains(a netip.Addr) bool {
	a = a.Unmap()
	low, high := 0, len(s.spans) // the first span that ends at a or behind it
	for low < high {
		middle := (low + high) / 2
		if s.spans[middle].last.Less(a) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return a.IsValid() && a.Zone() == "" && low < len(s.spans) && !a.Less(s.spans[low].first)
}

// merge joins spans that overlap. They are in order of their first address.
func merge(spans []span) []span {
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && !merged[n-1].last.Less(s.first) {
			if merged[n-1].last.Less(s.last) {
				merged[n-1].last = s.last
			}
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// fold turns a range of IPv4 addresses that is written as IPv6 into one of IPv4.
func fold(r netip.Prefix) netip.Prefix {
	const mapped = 96 // the length of the prefix that all mapped addresses share
	if r.Addr().Is4In6() && r.Bits() >= mapped {
		return netip.PrefixFrom(r.Addr().Unmap(), r.Bits()-mapped)
	}
	return r
}

// last returns the last address of a range.
func last(r netip.Prefix) netip.Addr {
	bytes := r.Masked().Addr().AsSlice()
	for bit := r.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(bytes) // of a length that it just had
	return a
}
