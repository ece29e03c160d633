package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/pires/go-proxyproto"
)

// reach says how the URL of --to is reached.
type reach struct {
	ca, connect, proxyFrom string
	proxyVersion           int
}

// inventedPort is the client's port in a PROXY protocol header: any will do.
const inventedPort = 40000

func (f *reach) check() error {
	if f.connect != "" {
		if _, port, err := net.SplitHostPort(f.connect); err != nil || port == "" {
			return usagef("--connect must be an address like 127.0.0.1:8443")
		}
	}
	if f.proxyFrom != "" {
		if _, err := netip.ParseAddr(f.proxyFrom); err != nil {
			return usagef("--proxy-from must be an IP address, such as one of the provider's")
		}
	}
	if f.proxyVersion != 1 && f.proxyVersion != 2 {
		return usagef("--proxy-version is %d; it must be 1 or 2", f.proxyVersion)
	}
	return nil
}

// client returns a client that keeps a connection for each worker and follows no
// redirects, as providers do.
func (f *reach) client(workers int) (*http.Client, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         f.dial,
		MaxIdleConnsPerHost: 2 * workers,
		DisableCompression:  true,
		ForceAttemptHTTP2:   true,
	}
	if f.ca != "" {
		data, err := readFile(f.ca, nil, maxSecretBytes)
		if err != nil {
			return nil, fmt.Errorf("reading certificates: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(data) {
			return nil, errors.New("reading certificates: the file holds none in PEM")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if f.connect != "" || f.proxyFrom != "" {
		t.Proxy = nil // what is named is spoken to itself
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// dial connects, and begins the connection as a load balancer does that speaks
// the PROXY protocol, if it is to.
func (f *reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if f.connect != "" {
		address = f.connect
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil || f.proxyFrom == "" {
		return conn, err
	}
	if err := f.introduce(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("sending the PROXY protocol header: %w", err), conn.Close())
	}
	return conn, nil
}

func (f *reach) introduce(conn net.Conn) error {
	from, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(f.proxyFrom, strconv.Itoa(inventedPort)))
	if err != nil {
		return err
	}
	to := conn.RemoteAddr()
	if tcp, ok := to.(*net.TCPAddr); ok && (tcp.IP.To4() == nil) != (from.IP.To4() == nil) {
		to = &net.TCPAddr{IP: from.IP, Port: tcp.Port} // both addresses of a header are of one family
	}
	_, err = proxyproto.HeaderProxyFromAddrs(byte(f.proxyVersion), from, to).WriteTo(conn)
	return err
}
