package listen

import "net/netip"

// crowd is the unproven sources that have connections, by how many they have.
type crowd struct {
	size    int // connections
	sources map[netip.Addr]*peer
	// levels are the sources with as many connections as the index says, in the order
	// in which they came there.
	levels []level
	top    int // no level above holds a source
}

// level is a list of sources.
type level struct{ first, last *peer }

// peer is a source with connections.
type peer struct {
	addr netip.Addr
	size int // connections
	// first and last are the ends of the list of connections that do nothing; the first
	// has done so for longest.
	first, last   *limited
	before, after *peer // in its level
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
	for c.top > 0 && c.levels[c.top].first == nil {
		c.top--
	}
	least := 1
	if p != nil && p.size > 0 {
		least = p.size + 2
	}
	for n := c.top; n >= least; n-- {
		for s := c.levels[n].first; s != nil; s = s.after {
			if s.first != nil && s != p {
				return s.first
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
	if p.size > 0 {
		c.levels[p.size].remove(p)
	}
	p.size = size
	for len(c.levels) <= size {
		c.levels = append(c.levels, level{})
	}
	if size > 0 {
		c.levels[size].push(p)
		c.top = max(c.top, size)
	}
}

func (v *level) push(p *peer) {
	p.before, p.after = v.last, nil
	if v.last != nil {
		v.last.after = p
	} else {
		v.first = p
	}
	v.last = p
}

func (v *level) remove(p *peer) {
	if p.before != nil {
		p.before.after = p.after
	} else {
		v.first = p.after
	}
	if p.after != nil {
		p.after.before = p.before
	} else {
		v.last = p.before
	}
	p.before, p.after = nil, nil
}

func (p *peer) putIdle(c *limited) {
	if c.idle {
		return
	}
	c.idle, c.older, c.next = true, p.last, nil
	if p.last != nil {
		p.last.next = c
	} else {
		p.first = c
	}
	p.last = c
}

func (p *peer) takeIdle(c *limited) {
	if !c.idle {
		return
	}
	c.idle = false
	if c.older != nil {
		c.older.next = c.next
	} else {
		p.first = c.next
	}
	if c.next != nil {
		c.next.older = c.older
	} else {
		p.last = c.older
	}
	c.older, c.next = nil, nil
}
