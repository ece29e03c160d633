package server

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/listen"
	"github.com/fairlead-dev/fairlead/receiver/source"
)

// readyPath is for the health checks of a layer-7 proxy, which reach the webhook
// listener only.
const readyPath = "/.well-known/fairlead/ready"

// Bounds of an HTTP/2 connection. A provider sends small bodies, and few at once; a
// connection that is out of streams makes its client wait or open another.
const (
	http2Streams      = 100
	http2Frame        = 16 << 10
	http2StreamBuffer = 256 << 10
	http2ConnBuffer   = 1 << 20
	http2PingAfter    = 30 * time.Second
	http2PingTimeout  = 15 * time.Second
	http2WriteTimeout = 30 * time.Second
)

// webhooks makes the HTTP server of the webhook listener. HTTP/2 is spoken only over
// TLS, to clients that ask for it by ALPN.
func (s *process) webhooks() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	h := &http.Server{
		Handler:     s.limited(s.recovered(s.answerReady(Route(s.o.Receivers)))),
		ConnContext: s.connContext, ConnState: s.limit.Follow,
		ReadTimeout: s.o.ReadTimeout, ReadHeaderTimeout: min(headerTimeout, s.o.ReadTimeout), WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true,
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: http2Streams, MaxReadFrameSize: http2Frame,
			MaxReceiveBufferPerStream: http2StreamBuffer, MaxReceiveBufferPerConnection: http2ConnBuffer,
			SendPingTimeout: http2PingAfter, PingTimeout: http2PingTimeout, WriteByteTimeout: http2WriteTimeout,
		},
		// What the library says here is caused by clients, and anybody can be one.
		ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	if s.certificate != nil {
		h.TLSConfig = s.certificate.Config()
	}
	return h
}

// serveWebhooks takes webhooks until the server is shut down.
func (s *process) serveWebhooks(h *http.Server) error {
	if s.certificate == nil {
		return serve(h, s.door)
	}
	return served(h.ServeTLS(s.door, "", ""), s.door)
}

// door is a listener that is closed once, whoever closes it again: http.Server takes
// a second time for a failure.
type door struct {
	net.Listener
	once sync.Once
	err  error
}

// Close implements net.Listener.
func (d *door) Close() error {
	d.once.Do(func() { d.err = d.Listener.Close() })
	return d.err
}

// listener puts together what lies between the TCP listener and TLS or HTTP. The
// order is that of package listen: what is put around o.Webhooks here sees the peers
// of TCP connections, and Admit sees what their PROXY protocol headers say.
func (s *process) listener() net.Listener {
	return listen.Proxy(s.limit, listen.ProxyOptions{
		Expects: s.expectsHeader, Admit: s.limit.Admit, Malformed: s.malformedHeader,
	})
}

// expectsHeader reports whether an endpoint wants PROXY protocol headers of a peer,
// as things are now. With several endpoints on one listener others may not: they
// take the peer for what it is, and believe no header.
func (s *process) expectsHeader(peer netip.Addr) bool {
	for _, r := range s.o.Receivers {
		if r.announces(peer) {
			return true
		}
	}
	return false
}

// malformedHeader counts a connection that nobody can know the client of, at the
// endpoints that one of its requests may have been for.
func (s *process) malformedHeader(peer netip.Addr) {
	for _, r := range s.o.Receivers {
		if r.announces(peer) {
			r.metrics.AddressUnknown(source.ProxyMalformed, s.o.Now())
		}
	}
}

// announces reports whether connections of a peer begin with a PROXY protocol
// header.
func (r *Receiver) announces(peer netip.Addr) bool {
	return r.Config().Sources.ProxyProtocol && r.trusts(peer)
}

// trusts reports whether a peer is one of the trusted proxies.
func (r *Receiver) trusts(peer netip.Addr) bool { return r.trusted.Load().Contains(peer) }

// answerReady answers health checks and leaves the rest to next. Whoever asks is
// answered, without any detail, and it counts as no request.
func (s *process) answerReady(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != readyPath || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if r.ContentLength != 0 { // what claims to be its body is nothing that should be looked at
			w.Header().Set("Connection", "close")
		}
		if !s.ready() {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n")) // the prober is gone if this fails
	})
}

// ready reports whether requests should come here.
func (s *process) ready() bool {
	if s.draining.Load() {
		return false
	}
	for _, r := range s.o.Receivers {
		if r.unready() != nil {
			return false
		}
	}
	return true
}
