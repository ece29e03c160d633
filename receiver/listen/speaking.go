package listen

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// speakers are the HTTP/1 connections of a server, to tell the ones on which a request
// is on its way to the handler from those on which nothing is said.
type speakers struct {
	mu  sync.Mutex
	all map[*limited]struct{}
}

// Follow is for http.Server.ConnState.
func (l *Limit) Follow(conn net.Conn, state http.ConnState) {
	c := limitedOf(conn)
	if c == nil {
		return
	}
	switch state {
	case http.StateNew:
		c.resting.Store(true)
		l.speakers.mu.Lock()
		l.speakers.all[c] = struct{}{}
		l.speakers.mu.Unlock()
	case http.StateActive:
		c.resting.Store(false)
		if c.known.CompareAndSwap(false, true) && isHTTP2(conn) {
			l.speakers.leave(c)
		}
	case http.StateIdle:
		c.heard.Store(false)
		c.resting.Store(true)
	case http.StateClosed, http.StateHijacked:
		l.speakers.leave(c)
	}
}

func (s *speakers) leave(c *limited) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

// isHTTP2 reports whether HTTP/2 is spoken on a connection that is set up. Its
// clients talk also when they ask nothing (they answer pings), and at a shutdown they
// are told which of their requests were not taken.
func isHTTP2(conn net.Conn) bool {
	t, ok := conn.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// Speaking counts the connections on which something has come since their last
// request, or since they are there, and no handler has it yet: http.Server takes
// those for idle, and a shutdown would cut them.
func (l *Limit) Speaking() (n int) {
	l.speakers.mu.Lock()
	defer l.speakers.mu.Unlock()
	for c := range l.speakers.all {
		if c.resting.Load() && c.heard.Load() {
			n++
		}
	}
	return n
}

// Read implements net.Conn.
func (c *limited) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, err
}

// limitedOf finds the connection that a Limit accepted below what lies around it;
// nil if there is none.
func limitedOf(c net.Conn) *limited {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*Conn); ok {
		c = p.Conn
	}
	own, _ := c.(*limited)
	return own
}
