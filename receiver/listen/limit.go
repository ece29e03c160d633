package listen

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// ErrTooMany means that there are as many connections as there may be, and none
// that has to go for this one.
var ErrTooMany = errors.New("too many connections")

// Refusal says why a connection was closed.
type Refusal string

// The reasons.
const (
	// RefusedFull means that no connection had to go for it.
	RefusedFull Refusal = "full"
	// RefusedSource means that its source has as many as whoever has most.
	RefusedSource Refusal = "source"
	// RefusedIdle means that it did nothing, and went for another.
	RefusedIdle Refusal = "idle"
)

// Refusals lists all reasons.
func Refusals() []Refusal { return []Refusal{RefusedFull, RefusedSource, RefusedIdle} }

// LimitOptions say how many connections there may be, and whose. All are needed.
// The functions are called from many goroutines, under a lock, and must be quick.
type LimitOptions struct {
	// Most is how many connections there may be, as things are now.
	Most func() int
	// Proven says whether a client address has shown a valid signature lately.
	Proven func(netip.Addr) bool
	// Trusted says whether a peer is a proxy, so that its connections are of many
	// clients.
	Trusted func(netip.Addr) bool
	// Refused is told of each connection that was closed.
	Refused func(Refusal)
}

// Limit is a listener that bounds the connections that are open.
//
// Proven sources and trusted proxies may have all of them; the others together
// three quarters. When there is no room, a connection that does nothing has to go
// for a new one: the one of the source with most connections that has done nothing
// for longest. A source that would have more than any other gets no new one.
// Nothing is waiting when no request of it is in the handler: so a connection that
// sends a request's headers byte by byte does nothing.
//
// Sources are IPv4 addresses, and IPv6 networks of 64 bits. Memory is bounded by
// the number of connections.
type Limit struct {
	net.Listener
	o LimitOptions

	mu       sync.Mutex
	open     int
	unproven crowd

	speakers speakers
}

// NewLimit returns a Limit around a listener of TCP connections.
func NewLimit(inner net.Listener, o LimitOptions) *Limit {
	return &Limit{Listener: inner, o: o, unproven: crowd{sources: map[netip.Addr]*peer{}},
		speakers: speakers{all: map[*limited]struct{}{}}}
}

// Open is how many connections are open, and how many of them are of unproven
// sources.
func (l *Limit) Open() (all, unproven int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.unproven.size
}

// Accept implements net.Listener. Connections that are refused are closed without
// an answer.
func (l *Limit) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &limited{Conn: inner, limit: l}
		victim, why := l.enter(c, addrOf(inner.RemoteAddr()))
		victim.abort()
		if victim != nil {
			l.o.Refused(RefusedIdle)
		}
		if why == "" {
			return c, nil
		}
		c.abort()
		l.o.Refused(why)
	}
}

// enter counts a connection, unless it is refused; victim has to go for it.
func (l *Limit) enter(c *limited, addr netip.Addr) (victim *limited, why Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := max(1, l.o.Most())
	if l.o.Trusted(addr) || l.o.Proven(addr) {
		if l.open >= most {
			if victim = l.unproven.victim(nil); victim == nil {
				return nil, RefusedFull
			}
			l.remove(victim)
		}
		c.privileged.Store(true)
	} else if victim, why = l.join(c, addr, most, l.open >= most); why != "" {
		return nil, why
	}
	c.open = true
	l.open++
	return victim, ""
}

// join counts a connection as one of an unproven source's.
func (l *Limit) join(c *limited, addr netip.Addr, most int, full bool) (victim *limited, why Refusal) {
	p := l.unproven.peer(networkOf(addr))
	if full || l.unproven.size >= max(1, most-most/4) {
		if victim = l.unproven.victim(p); victim == nil {
			if p.size > 0 {
				return nil, RefusedSource
			}
			return nil, RefusedFull
		}
		l.remove(victim)
	}
	l.unproven.add(p, c)
	return victim, ""
}

// Admit counts a connection of a trusted proxy as one of the client that the proxy
// says (ProxyOptions.Admit). inner is what Accept returned.
func (l *Limit) Admit(inner net.Conn, client netip.Addr) error {
	c, ok := inner.(*limited)
	if !ok || !client.IsValid() || l.o.Trusted(client) || l.o.Proven(client) {
		return nil
	}
	l.mu.Lock()
	if !c.open || !c.privileged.Load() {
		l.mu.Unlock()
		return nil
	}
	victim, why := l.join(c, client, max(1, l.o.Most()), false)
	c.privileged.Store(why != "")
	l.mu.Unlock()
	victim.abort()
	if victim != nil {
		l.o.Refused(RefusedIdle)
	}
	if why != "" {
		l.o.Refused(why)
		return ErrTooMany
	}
	return nil
}

// remove takes a connection out of all counts, once.
func (l *Limit) remove(c *limited) {
	if !c.open {
		return
	}
	c.open = false
	l.open--
	if c.peer != nil {
		l.unproven.drop(c)
	}
}

// limited is a connection that is counted.
type limited struct {
	net.Conn
	limit *Limit
	// privileged is whether nothing is to be done for it at each request.
	privileged atomic.Bool
	// resting is whether no request of it has been read to the end of its headers,
	// heard whether something has been read since (Follow).
	resting, heard atomic.Bool
	// known is whether it is known which protocol is spoken.
	known atomic.Bool

	// The others are guarded by the limit's lock.
	open bool
	peer *peer         // nil: of a proven source or a proxy
	busy int           // requests in the handler
	idle *list.Element // in peer's list of those that do nothing, or nil
}

// Close implements net.Conn.
func (c *limited) Close() error {
	c.limit.mu.Lock()
	c.limit.remove(c)
	c.limit.mu.Unlock()
	return c.Conn.Close()
}

// abort ends a connection at once: nothing that a flood has sent is waited for, and
// no memory of it is kept by the system.
func (c *limited) abort() {
	if c == nil {
		return
	}
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it is closed in any case
	}
	_ = c.Conn.Close() // nothing can be done about a connection that does not close
}

// CloseWrite ends the sending half.
func (c *limited) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

type limitedKey struct{}

// Context is for http.Server.ConnContext: it lets Handler find the connection of a
// request.
func (l *Limit) Context(ctx context.Context, c net.Conn) context.Context {
	if own := limitedOf(c); own != nil {
		return context.WithValue(ctx, limitedKey{}, own)
	}
	return ctx
}

// Handler keeps the connections whose requests next handles.
func (l *Limit) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(limitedKey{}).(*limited)
		if !ok || c.privileged.Load() {
			next.ServeHTTP(w, r)
			return
		}
		l.begin(c)
		defer l.end(c)
		next.ServeHTTP(w, r)
	})
}

func (l *Limit) begin(c *limited) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.busy++
	if c.peer != nil {
		c.peer.takeIdle(c)
	}
}

// end makes a connection one that does nothing again; or that of a proven source,
// if its source is that by now.
func (l *Limit) end(c *limited) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.busy--
	switch {
	case c.peer == nil || !c.open:
	case l.o.Proven(c.peer.addr):
		l.unproven.drop(c)
		c.privileged.Store(true)
	case c.busy == 0:
		c.peer.putIdle(c)
	}
}

// networkOf is what tells sources apart.
func networkOf(a netip.Addr) netip.Addr {
	const network = 64
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(network)
	if err != nil {
		return a
	}
	return p.Addr()
}
