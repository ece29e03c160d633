package edge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// client sends to a site from a host, as a provider does.
type client struct {
	t    testing.TB
	s    *site
	http *http.Client
	// first is written on a new connection before anything else.
	first []byte
	// forged are headers that requests get besides.
	forged http.Header
}

// client returns a client on a host that uses each connection once, or again and
// again with keep. It speaks HTTP/2 where it is offered, if h2 is set.
func (s *site) client(t testing.TB, on *host, h2, keep bool) *client {
	c := &client{t: t, s: s}
	tr := &http.Transport{
		DisableKeepAlives: !keep, DisableCompression: true, ForceAttemptHTTP2: h2, MaxIdleConnsPerHost: 64,
		TLSClientConfig: &tls.Config{RootCAs: s.w.roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			to := s.public
			if on == s.w.listed6 || on == s.w.unknown6 {
				to = s.public6
			}
			conn, err := on.dial(ctx, network, to)
			if err != nil || c.first == nil {
				return conn, err
			}
			return &preceded{Conn: conn, first: c.first}, nil
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	c.http = &http.Client{Transport: tr, Timeout: servertest.Wait}
	return c
}

// preceded is a connection on which something is sent before everything else, and
// together with it: an answer to it must find a request to be the answer to.
type preceded struct {
	net.Conn
	first []byte
}

func (p *preceded) Write(b []byte) (int, error) {
	if p.first == nil {
		return p.Conn.Write(b)
	}
	n, err := p.Conn.Write(append(p.first[:len(p.first):len(p.first)], b...))
	n = max(0, n-len(p.first))
	p.first = nil
	return n, err
}

// request is a signed one, with the body that eventOf gives for the id.
func (c *client) request(id string) *http.Request {
	caller := servertest.Stream(c.t)
	if c.s.provider == "social-plus" {
		caller = servertest.Social(c.t)
	}
	req := caller(c.s.url, id)
	for name, values := range c.forged {
		req.Header[name] = values
	}
	return req
}

// bodyOf is the body of the event with an id.
func (s *site) bodyOf(id string) string {
	if s.provider == "social-plus" {
		return servertest.SocialBodyOf(id)
	}
	return servertest.BodyOf(id)
}

// send sends the event with an id and returns the status of the answer; 0 stands for
// none.
func (c *client) send(id string) int {
	c.t.Helper()
	return c.do(c.request(id))
}

func (c *client) do(req *http.Request) int {
	resp, err := c.http.Do(req)
	if err != nil {
		if c.first == nil { // what a forged PROXY header leads to is no surprise
			c.t.Logf("no answer: %v", err)
		}
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// A forgery is what a client does that is not listed and claims to be.
type forgery struct {
	name   string
	first  []byte
	forged http.Header
}

// forgedHeaders are the headers by which a client may claim an address.
func forgedHeaders() []forgery {
	of := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	const a = streamAddress
	return []forgery{
		{name: "XFF", forged: of("X-Forwarded-For", a)},
		{name: "XFF list", forged: of("X-Forwarded-For", a+", "+a)},
		{name: "XFF twice", forged: of("X-Forwarded-For", a, "X-Forwarded-For", a)},
		{name: "XFF with the proxy", forged: of("X-Forwarded-For", a+", "+proxyAddress)},
		{name: "XFF with a port", forged: of("X-Forwarded-For", a+":443")},
		{name: "XFF mapped", forged: of("X-Forwarded-For", "::ffff:"+a)},
		{name: "XFF empty at the end", forged: of("X-Forwarded-For", a+",")},
		{name: "XFF long", forged: of("X-Forwarded-For", strings.Repeat(a+", ", 300)+a)},
		{name: "Forwarded", forged: of("Forwarded", "for="+a)},
		{name: "Forwarded list", forged: of("Forwarded", "for="+a+", for="+proxyAddress)},
		{name: "Forwarded quoted", forged: of("Forwarded", `for="`+a+`:443";by=`+proxyAddress)},
		{name: "Forwarded open quote", forged: of("Forwarded", "for="+a+`, for="`)},
		{name: "both", forged: of("X-Forwarded-For", a, "Forwarded", "for="+a)},
		{name: "others", forged: of("X-Real-Ip", a, "True-Client-Ip", a, "X-Client-Ip", a, "Cf-Connecting-Ip", a, "X-Cluster-Client-Ip", a, "X-Original-Forwarded-For", a)},
		{name: "underscores", forged: of("X_forwarded_for", a)},
		{name: "hop by hop", forged: of("X-Forwarded-For", a, "Connection", "X-Forwarded-For, Forwarded")},
	}
}

// forgedProxy are headers of the PROXY protocol before everything else.
func forgedProxy() []forgery {
	v1 := "PROXY TCP4 " + streamAddress + " 198.51.100.1 40000 80\r\n"
	return []forgery{
		{name: "v1", first: []byte(v1)},
		{name: "v1 twice", first: []byte(v1 + v1)},
		{name: "v2", first: proxyV2(streamAddress)},
	}
}

// proxyV2 is a header of version 2 that claims an address.
func proxyV2(address string) []byte {
	const signature, command, family, length = "\r\n\r\n\x00\r\nQUIT\n", 0x21, 0x11, 12
	b := bytes.NewBufferString(signature)
	b.Write([]byte{command, family, 0, length})
	b.Write(netip.MustParseAddr(address).AsSlice())
	b.Write(netip.MustParseAddr("198.51.100.1").AsSlice())
	b.Write(binary.BigEndian.AppendUint32(nil, 40000<<16|80))
	return b.Bytes()
}

// show writes statuses as the matrix shows them: each once.
func show(statuses []int) string {
	var parts []string
	seen := map[int]bool{}
	for _, s := range statuses {
		if seen[s] {
			continue
		}
		seen[s] = true
		if s == 0 {
			parts = append(parts, "closed")
			continue
		}
		parts = append(parts, fmt.Sprint(s))
	}
	return strings.Join(parts, ", ")
}
