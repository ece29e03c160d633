package handoff

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of a sister's connection.
const (
	// maxConnections is enough for every session and some strangers.
	maxConnections = 32
	headerTimeout  = 5 * time.Second
	// transferTimeout bounds one batch, from its first byte to the answer.
	transferTimeout = 30 * time.Second
	idleTimeout     = 30 * time.Second
	maxHeaderBytes  = 8 << 10
)

// Server returns what serves r, with the bounds that the protocol needs.
func (r *Receiver) Server() *http.Server {
	return &http.Server{
		Handler: r, ReadHeaderTimeout: headerTimeout, ReadTimeout: transferTimeout, WriteTimeout: 2 * transferTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(r.o.Logger.Handler(), slog.LevelDebug),
	}
}

// Limit returns l with at most 32 connections at a time. More wait to be
// accepted.
func Limit(l net.Listener) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, maxConnections), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
