package source

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Findings remember for an hour from where verified requests came, so as to tell
// whether clients' addresses are seen at all. Their memory is bounded. They may be
// used by many goroutines; to note an address that is known takes no lock and
// allocates nothing.
type Findings struct {
	places places
	seed   maphash.Seed
	spans  [spansKept]atomic.Pointer[period]
	turn   sync.Mutex // held to begin a period
}

const (
	spanLength = 5 * time.Minute
	spansKept  = 12 // an hour
	// addressesKept bounds the addresses that are told apart in a period; of further
	// ones only their kind is counted.
	addressesKept = 64
	addressSlots  = 2 * addressesKept
)

// Kind is what an address says about where a request comes from.
type Kind int

// The kinds.
const (
	// Listed addresses may send, and are not the node's.
	Listed Kind = iota
	// Node is the address of the receiver's own node.
	Node
	// Pod is an address of the network that the receiver's pod is in.
	Pod
	// Private is any other address that is not public.
	Private
	// Public is any other address.
	Public
	kinds
)

// NewFindings returns Findings of a receiver on a node, in a pod, with these
// addresses; there may be none.
func NewFindings(node, pod []netip.Addr) *Findings {
	return &Findings{places: places{node: unmapped(node), pod: networks(pod)}, seed: maphash.MakeSeed()}
}

// Verified notes a verified request from an address. listed is whether the address
// may send.
func (f *Findings) Verified(a netip.Addr, listed bool, now time.Time) {
	f.period(now).note(f.seed, a.WithZone("").Unmap(), listed, &f.places)
}

// Unknown notes a request whose client address is not known.
func (f *Findings) Unknown(now time.Time) { f.period(now).unknown.Add(1) }

// Unlisted notes a request that was refused because its address is not listed, if it
// is one that a NetworkPolicy could keep out: nodes always pass, and a load balancer's
// may be let in.
func (f *Findings) Unlisted(a netip.Addr, now time.Time) {
	if !a.IsValid() {
		return
	}
	if k := f.places.kind(a.WithZone("").Unmap(), false); k == Public || k == Pod {
		f.period(now).unlisted.Add(1)
	}
}

// Report is what was found in the last hour.
type Report struct {
	// Kinds counts the verified requests.
	Kinds [kinds]int64
	// Addresses are those from which most came, at most addressesTold, sorted.
	Addresses []netip.Addr
	// Publics is how many public addresses were told apart, up to a bound.
	Publics int
	// Unknown counts the requests without a known address.
	Unknown int64
	// Unlisted counts those of Findings.Unlisted.
	Unlisted int64
}

// addressesTold bounds the addresses of a Report.
const addressesTold = 8

// Verified is the number of verified requests.
func (r *Report) Verified() int64 {
	var n int64
	for _, k := range r.Kinds {
		n += k
	}
	return n
}

// Report returns what was found in the last hour.
func (f *Findings) Report(now time.Time) Report {
	var r Report
	counts := map[netip.Addr]int64{}
	publics := map[netip.Addr]bool{}
	for i := range f.spans {
		p := f.spans[i].Load()
		if p == nil || p.number > numberOf(now) || p.number <= numberOf(now)-spansKept {
			continue
		}
		p.add(&r, counts, publics, &f.places)
	}
	r.Addresses, r.Publics = most(counts), len(publics)
	return r
}

// most returns the addresses with the highest counts, sorted.
func most(counts map[netip.Addr]int64) []netip.Addr {
	var list []netip.Addr
	for a := range counts {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), a.Compare(b)) })
	list = list[:min(len(list), addressesTold)]
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// period is a stretch of time.
type period struct {
	number  int64
	unknown atomic.Int64
	// unlisted counts the requests of Findings.Unlisted.
	unlisted atomic.Int64
	kinds    [kinds]atomic.Int64
	// slots is a hash table that is only ever added to.
	slots  [addressSlots]atomic.Pointer[seen]
	adding sync.Mutex
	added  int
}

// seen is one address in a period.
type seen struct {
	addr netip.Addr
	n    atomic.Int64
	// listed is how many of these requests came while the address might send.
	listed atomic.Int64
}

func numberOf(t time.Time) int64 { return t.Unix() / int64(spanLength/time.Second) }

// period returns the period of a moment, and forgets the one of an hour before.
func (f *Findings) period(now time.Time) *period {
	n := numberOf(now)
	at := &f.spans[uint64(n)%spansKept]
	if p := at.Load(); p != nil && p.number == n {
		return p
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	p := at.Load()
	if p == nil || p.number != n {
		p = &period{number: n}
		at.Store(p)
	}
	return p
}

func (p *period) note(seed maphash.Seed, a netip.Addr, listed bool, where *places) {
	s := p.find(seed, a)
	if s == nil {
		p.kinds[where.kind(a, listed)].Add(1)
		return
	}
	s.n.Add(1)
	if listed {
		s.listed.Add(1)
	}
}

// find returns an address's place, or nil if there is none left.
func (p *period) find(seed maphash.Seed, a netip.Addr) *seen {
	first := maphash.Comparable(seed, a)
	for i := range uint64(addressSlots) {
		s := p.slots[(first+i)%addressSlots].Load()
		if s == nil {
			break
		}
		if s.addr == a {
			return s
		}
	}
	return p.insert(first, a)
}

func (p *period) insert(first uint64, a netip.Addr) *seen {
	p.adding.Lock()
	defer p.adding.Unlock()
	for i := range uint64(addressSlots) {
		at := &p.slots[(first+i)%addressSlots]
		s := at.Load()
		switch {
		case s != nil && s.addr == a:
			return s
		case s != nil:
			continue
		case p.added == addressesKept:
			return nil
		}
		s = &seen{addr: a}
		at.Store(s)
		p.added++
		return s
	}
	return nil
}

// add sums a period up.
func (p *period) add(r *Report, counts map[netip.Addr]int64, publics map[netip.Addr]bool, where *places) {
	r.Unknown += p.unknown.Load()
	r.Unlisted += p.unlisted.Load()
	for k := range p.kinds {
		r.Kinds[k] += p.kinds[k].Load()
	}
	for i := range p.slots {
		s := p.slots[i].Load()
		if s == nil {
			continue
		}
		n, listed := s.n.Load(), s.listed.Load()
		counts[s.addr] += n
		r.Kinds[where.kind(s.addr, true)] += listed
		r.Kinds[where.kind(s.addr, false)] += n - listed
		if where.kind(s.addr, false) == Public {
			publics[s.addr] = true
		}
	}
}

// places are what the receiver knows about where it is.
type places struct {
	node []netip.Addr
	pod  []netip.Prefix
}

// kind tells what an address is. That of the node is hidden behind even if somebody
// has listed it: everybody on the internet may stand behind it.
func (p *places) kind(a netip.Addr, listed bool) Kind {
	switch {
	case slices.Contains(p.node, a):
		return Node
	case listed:
		return Listed
	case slices.ContainsFunc(p.pod, func(n netip.Prefix) bool { return n.Contains(a) }):
		return Pod
	case !public(a):
		return Private
	}
	return Public
}

// public reports whether an address can be one of the internet's.
func public(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) // between a provider's customers and its NAT (RFC 6598)
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// networks returns the networks of the node's pods, by their usual sizes.
func networks(pods []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range unmapped(pods) {
		bits := 64
		if a.Is4() {
			bits = 24
		}
		out = append(out, netip.PrefixFrom(a, bits).Masked())
	}
	return out
}

func unmapped(list []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, a.WithZone("").Unmap())
	}
	return out
}
