package listen

import (
	"container/list"
	"net/netip"
)

// crowd is the unproven sources that have connections, by how many they have.
type crowd struct {
	size    int // connections
	sources map[netip.Addr]*peer
	// levels are the sources with as many connections as the index says, in the order
	// in which they came there.
	levels []*list.List
	top    int // no level above holds a source
}

// peer is a source with connections.
type peer struct {
	addr netip.Addr
	size int // connections
	// idle are its connections that do nothing; the first has done so for longest.
	idle list.List
	// place is where it stands in its level.
	place *list.Element
}

// peer returns the source of an address, which may be new.
func (c *crowd) peer(a netip.Addr) *peer {
	if p := c.sources[a]; p != nil {
		return p
	}
	return &peer{addr: a}
}

// victim finds the connection that goes for one of p's: of the source with most
// connections that has one that does nothing, if that source has more than p even
// then. For a p that has none, or nil, any will do.
func (c *crowd) victim(p *peer) *limited {
	for c.top > 0 && c.levels[c.top].Len() == 0 {
		c.top--
	}
	least := 1
	if p != nil && p.size > 0 {
		least = p.size + 2
	}
	for n := c.top; n >= least; n-- {
		for at := c.levels[n].Front(); at != nil; at = at.Next() {
			s := at.Value.(*peer)
			if first := s.idle.Front(); first != nil && s != p {
				return first.Value.(*limited)
			}
		}
	}
	return nil
}

// add gives a source one more connection, which does nothing yet.
func (c *crowd) add(p *peer, l *limited) {
	c.sources[p.addr] = p
	c.resize(p, p.size+1)
	c.size++
	l.peer = p
	p.putIdle(l)
}

// drop takes a connection from its source.
func (c *crowd) drop(l *limited) {
	p := l.peer
	p.takeIdle(l)
	l.peer = nil
	c.resize(p, p.size-1)
	c.size--
	if p.size == 0 {
		delete(c.sources, p.addr)
	}
}

// resize moves a source to another level.
func (c *crowd) resize(p *peer, size int) {
	if p.place != nil {
		c.levels[p.size].Remove(p.place)
		p.place = nil
	}
	p.size = size
	for len(c.levels) <= size {
		c.levels = append(c.levels, list.New())
	}
	if size > 0 {
		p.place = c.levels[size].PushBack(p)
		c.top = max(c.top, size)
	}
}

func (p *peer) putIdle(c *limited) {
	if c.idle == nil {
		c.idle = p.idle.PushBack(c)
	}
}

func (p *peer) takeIdle(c *limited) {
	if c.idle != nil {
		p.idle.Remove(c.idle)
		c.idle = nil
	}
}
