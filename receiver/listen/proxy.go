package listen

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/fairlead-dev/fairlead/receiver/source"
)

// ErrHeader means that a connection began with a PROXY protocol header that cannot
// be read, or was not admitted after it.
var ErrHeader = errors.New("the PROXY protocol header is not one that can be used")

const (
	// headerTimeout bounds how long a header takes to arrive once it has begun. A proxy
	// sends it with the first packet of a connection; some send that only when the
	// client has said something, which may be long after it has connected.
	headerTimeout = 3 * time.Second
	// headerBuffer is as large as that of the HTTP server, so that what comes with the
	// header is read with it: an answer to it would be lost if a connection were closed
	// on which something has not been read. The library bounds a header to 4 KiB.
	headerBuffer = 4 << 10
)

// ProxyOptions say from whom PROXY protocol headers are read. All functions are
// called from many goroutines and must be quick; nil ones are not called.
type ProxyOptions struct {
	// Expects says whether a peer's connections begin with a header. It is asked in
	// Accept, once for each connection; from other peers nothing is read as a header.
	Expects func(peer netip.Addr) bool
	// Admit is asked once the header of a connection was read. inner is what the
	// wrapped listener returned; client is the address in the header, or none. An
	// error ends the connection.
	Admit func(inner net.Conn, client netip.Addr) error
	// Malformed is told of a connection that is closed because its header cannot be
	// read.
	Malformed func(peer netip.Addr)
	// Timeout bounds how long a header takes to arrive once it has begun; for its
	// beginning a connection waits as long as its own deadline says. 0 means 3 s.
	Timeout time.Duration
}

// Proxy returns a listener whose connections from peers that send PROXY protocol
// headers (version 1 or 2) are Conns. The others are those of inner, as they are.
//
// The header is read with the first Read of the connection, and not in Accept. A
// malformed one closes the connection without an answer. A connection without one
// goes on (so that a health check gets its answer) but has no client address.
func Proxy(inner net.Listener, o ProxyOptions) net.Listener {
	o.Timeout = cmp.Or(o.Timeout, headerTimeout)
	return &proxied{Listener: inner, o: o}
}

type proxied struct {
	net.Listener
	o ProxyOptions
}

// Accept implements net.Listener.
func (l *proxied) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer := addrOf(c.RemoteAddr())
	if l.o.Expects == nil || !peer.IsValid() || !l.o.Expects(peer) {
		return c, nil
	}
	return &Conn{Conn: c, o: &l.o, peer: peer}, nil
}

// Conn is a connection of a peer that sends PROXY protocol headers. RemoteAddr is
// the peer's address: what the header says is a claim, for those to use who
// believe this peer.
type Conn struct {
	net.Conn
	o    *ProxyOptions
	peer netip.Addr

	begin sync.Once
	// rest holds what was read beyond the header; nil when it is used up. Only Read
	// touches it.
	rest *bufio.Reader
	err  error

	announced atomic.Pointer[source.Announced]
	deadline  atomic.Pointer[time.Time]
}

// Announced implements source.Announcer. Before the header was read it is the zero
// value: no header.
func (c *Conn) Announced() source.Announced {
	if a := c.announced.Load(); a != nil {
		return *a
	}
	return source.Announced{}
}

// Read implements net.Conn. The first call reads the header.
func (c *Conn) Read(b []byte) (int, error) {
	c.begin.Do(c.start)
	if c.err != nil {
		return 0, c.err
	}
	if c.rest == nil {
		return c.Conn.Read(b)
	}
	n, err := c.rest.Read(b)
	if c.rest.Buffered() == 0 {
		c.rest = nil
	}
	return n, err
}

// start reads the header and decides on the connection.
func (c *Conn) start() {
	h, err := c.header()
	if err == nil && h != nil {
		a := source.Announced{Header: true, Client: clientOf(h)}
		c.announced.Store(&a)
		if c.o.Admit != nil {
			err = c.o.Admit(c.Conn, a.Client)
		}
	}
	if err != nil {
		// The HTTP server answers nothing to what looks like trouble with the network.
		c.err = &net.OpError{Op: "read", Net: "tcp", Err: fmt.Errorf("%w: %w", ErrHeader, err)}
		_ = c.Close() // there is nothing to say to this peer
	}
}

// header returns nil without an error if there is none. The library tells a
// connection without a header from a broken one by its first bytes, which it
// leaves in the buffer.
func (c *Conn) header() (*proxyproto.Header, error) {
	c.rest = bufio.NewReaderSize(c.Conn, headerBuffer)
	_, _ = c.rest.Peek(1) // an error comes again below
	restore := c.hurry()
	defer restore()
	h, err := proxyproto.Read(c.rest)
	if c.rest.Buffered() == 0 {
		c.rest = nil
	}
	if _, ok := err.(net.Error); ok || errors.Is(err, proxyproto.ErrNoProxyProtocol) { //nolint:errorlint // a bare one means that no header had begun; a wrapped one means half a header
		return nil, nil // what is wrong with the connection the next Read finds again
	}
	if err != nil && c.o.Malformed != nil {
		c.o.Malformed(c.peer)
	}
	return h, err
}

// hurry bounds the reading of the header; the function that it returns puts the
// server's own deadline back.
func (c *Conn) hurry() func() {
	soon, own := time.Now().Add(c.o.Timeout), time.Time{}
	if t := c.deadline.Load(); t != nil {
		own = *t
	}
	if own.IsZero() || soon.Before(own) {
		_ = c.Conn.SetReadDeadline(soon) // a connection on which this fails cannot be read either
	}
	return func() { _ = c.Conn.SetReadDeadline(own) }
}

// Write implements net.Conn. Nothing is said before the header was read.
func (c *Conn) Write(b []byte) (int, error) {
	c.begin.Do(c.start)
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Write(b)
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.deadline.Store(&t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline.Store(&t)
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite ends the sending half, by which the server makes sure that its last
// answer arrives.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Context is for http.Server.ConnContext: it lets requests know what the header of
// their connection says.
func Context(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*Conn); ok {
		return source.WithAnnouncer(ctx, p)
	}
	return ctx
}

// clientOf returns the address that a header says, or none: LOCAL (a connection of
// the proxy's own), UNKNOWN, UNIX and datagram addresses are no clients of ours.
func clientOf(h *proxyproto.Header) netip.Addr {
	if h.Command.IsLocal() {
		return netip.Addr{}
	}
	a := addrOf(h.SourceAddr)
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// addrOf returns a TCP address without its port and zone; none of any other.
func addrOf(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok || t == nil {
		return netip.Addr{}
	}
	return t.AddrPort().Addr().WithZone("").Unmap()
}
