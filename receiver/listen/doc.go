// Package listen is what lies between a TCP listener and the HTTP server of the
// webhooks: PROXY protocol headers and TLS.
//
// From the outside to the inside a connection passes a limit on connections (which
// sees the peer of the TCP connection), then Proxy (which reads the PROXY protocol
// header, if the peer is one that sends them), then TLS, then HTTP. Nothing of it
// waits for a client in Accept: what a client sends is read when the HTTP server
// reads, in the connection's own goroutine.
//
// The package knows nothing of endpoints, requests or metrics; it is told whom to
// believe, and tells what it found.
package listen
