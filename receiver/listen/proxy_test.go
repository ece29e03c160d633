package listen_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/receiver/listen"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
	"github.com/fairlead-dev/fairlead/receiver/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	request   = "POST / HTTP/1.1\r\n\r\n"
	tcp4      = "\xcb\x00\x71\x07\x0a\x00\x00\x01\xc0\x00\x01\xbb" // 203.0.113.7:49152 to 10.0.0.1:443
	ip6       = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
	mapped    = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x07"
	ports     = "\xc0\x00\x01\xbb"
)

// v2 is a header of version 2.
func v2(command, family byte, rest string) string {
	return signature + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

// TestProxy is what is found at the beginning of connections from a trusted proxy.
func TestProxy(t *testing.T) {
	const (
		proxy, local            = 0x21, 0x20
		unspec, over4, over6    = 0x00, 0x11, 0x21
		datagram4, unixStream   = 0x12, 0x31
		none, unknown, closed   = "no header", "no address", "closed"
		someV1                  = "PROXY TCP4 203.0.113.7 10.0.0.1 49152 443\r\n"
		client, client6         = "203.0.113.7", "2001:db8::7"
		extra                   = "\x04\x00\x03abc" // a NOOP of three bytes
		fullLine, longerThanAny = 107, 108
	)
	for name, tt := range map[string]struct {
		sent string
		want string // an address, or none, unknown or closed
		rest string // what the server reads behind it
	}{
		"v1":                   {someV1 + request, client, request},
		"v1 over IPv6":         {"PROXY TCP6 2001:db8::7 2001:db8::1 49152 443\r\n" + request, client6, request},
		"v1 mapped":            {"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:10.0.0.1 1 2\r\n" + request, client, request},
		"v1 UNKNOWN":           {"PROXY UNKNOWN\r\n" + request, unknown, request},
		"v1 UNKNOWN, and more": {"PROXY UNKNOWN 203.0.113.7 10.0.0.1 1 2\r\n" + request, unknown, request},
		"v1 all zero":          {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n" + request, unknown, request},
		"v1 twice":             {someV1 + someV1, client, someV1}, // what is left is bad HTTP
		"v1 alone":             {someV1, client, ""},
		"v1 before v2":         {someV1 + v2(proxy, over4, tcp4), client, v2(proxy, over4, tcp4)},
		"v1 cut off":           {"PROXY TCP4 203.0.113.7", closed, ""},
		"v1 without an end":    {"PROXY " + strings.Repeat("x", longerThanAny), closed, ""},
		"v1 overlong":          {"PROXY UNKNOWN " + strings.Repeat("x", fullLine) + "\r\n" + request, closed, ""},
		"v1 with LF alone":     {"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\n" + request, closed, ""},
		"v1 short":             {"PROXY\r\n" + request, closed, ""},
		"v1 other protocol":    {"PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n" + request, closed, ""},
		"v1 wrong family":      {"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n" + request, closed, ""},
		"v1 IPv4 as TCP6":      {"PROXY TCP6 203.0.113.7 10.0.0.1 1 2\r\n" + request, closed, ""},
		"v1 zone":              {"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n" + request, closed, ""},
		"v1 octal":             {"PROXY TCP4 0203.0.113.7 10.0.0.1 1 2\r\n" + request, closed, ""},
		"v1 port too high":     {"PROXY TCP4 203.0.113.7 10.0.0.1 65536 2\r\n" + request, closed, ""},
		"v1 two spaces":        {"PROXY TCP4  203.0.113.7 10.0.0.1 1 2\r\n" + request, closed, ""},
		"v1 one field more":    {"PROXY TCP4 203.0.113.7 10.0.0.1 1 2 3\r\n" + request, closed, ""},
		"v1 in small letters":  {"proxy TCP4 203.0.113.7 10.0.0.1 1 2\r\n", none, "proxy TCP4 203.0.113.7 10.0.0.1 1 2\r\n"},
		"v2":                   {v2(proxy, over4, tcp4) + request, client, request},
		"v2 over IPv6":         {v2(proxy, over6, ip6+ip6+ports) + request, client6, request},
		"v2 mapped":            {v2(proxy, over6, mapped+ip6+ports) + request, client, request},
		"v2 LOCAL":             {v2(local, unspec, "") + request, unknown, request},
		"v2 LOCAL, address":    {v2(local, over4, tcp4) + request, unknown, request},
		"v2 UNIX":              {v2(proxy, unixStream, strings.Repeat("/", 216)) + request, unknown, request},
		"v2 datagram":          {v2(proxy, datagram4, tcp4) + request, unknown, request},
		"v2 with TLVs":         {v2(proxy, over4, tcp4+extra) + request, client, request},
		"v2 with 4 KiB":        {v2(proxy, over4, tcp4+strings.Repeat("x", 4096-12)) + request, client, request},
		"v2 with more":         {v2(proxy, over4, tcp4+strings.Repeat("x", 4097-12)) + request, closed, ""},
		"v2 too short":         {v2(proxy, over4, tcp4[:11]) + request, closed, ""},
		"v2 cut off":           {v2(proxy, over4, tcp4)[:20], closed, ""},
		"v2 no address":        {v2(proxy, unspec, "") + request, closed, ""},
		"v2 other version":     {v2(0x11, over4, tcp4) + request, closed, ""},
		"v2 other command":     {v2(0x22, over4, tcp4) + request, closed, ""},
		"v2 other family":      {v2(proxy, 0x13, tcp4) + request, closed, ""},
		"v2 signature alone":   {signature, closed, ""},
		"half a signature":     {signature[:8], none, signature[:8]},
		"no header":            {request, none, request},
		"nothing":              {"", none, ""},
		"PRI of HTTP/2":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", none, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		"TLS":                  {"\x16\x03\x01\x00\x05hello", none, "\x16\x03\x01\x00\x05hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			malformed := false
			c := accept(t, tt.sent, listen.ProxyOptions{Expects: everybody, Malformed: func(peer netip.Addr) {
				malformed = true
				if !peer.IsLoopback() {
					t.Errorf("peer = %v", peer)
				}
			}})
			rest, err := io.ReadAll(c)
			got := none
			switch a := c.(*listen.Conn).Announced(); {
			case err != nil && errors.Is(err, listen.ErrHeader) && len(rest) == 0:
				got = closed
			case err != nil:
				t.Fatal(err)
			case a.Client.IsValid():
				got = a.Client.String()
			case a.Header:
				got = unknown
			}
			if got != tt.want || string(rest) != tt.rest || malformed != (tt.want == closed) {
				t.Errorf("found %q and read %q (malformed: %v), want %q and %q", got, rest, malformed, tt.want, tt.rest)
			}
			if a := c.RemoteAddr().String(); !strings.HasPrefix(a, "127.0.0.1:") {
				t.Errorf("the peer is %s: what a header says must not be taken for it", a)
			}
		})
	}
}

func everybody(netip.Addr) bool { return true }

// accept returns the server's end of a connection on which sent arrives, and then
// the end.
func accept(t *testing.T, sent string, o listen.ProxyOptions) net.Conn {
	t.Helper()
	l := listen.Proxy(servertest.Listen(t), o)
	t.Cleanup(func() { _ = l.Close() })
	client := connect(t, l)
	if _, err := io.WriteString(client, sent); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return acceptOne(t, l)
}

func acceptOne(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func connect(t *testing.T, l net.Listener) *net.TCPConn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// From a peer that is not trusted nothing is read as a header, and its connection is
// what the listener inside has made.
func TestUntrustedPeer(t *testing.T) {
	const sent = "PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n"
	c := accept(t, sent, listen.ProxyOptions{Expects: func(peer netip.Addr) bool { return !peer.IsLoopback() }})
	if _, ok := c.(*net.TCPConn); !ok {
		t.Errorf("the connection is a %T", c)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != sent {
		t.Errorf("read %q, %v", got, err)
	}
	if ctx := t.Context(); listen.Context(ctx, c) != ctx {
		t.Error("its requests get an announcement")
	}
}

// A proxy that is silent holds up nobody: not Accept, not others, and its own
// connection only until the header is given up.
func TestSilence(t *testing.T) {
	l := listen.Proxy(servertest.Listen(t), listen.ProxyOptions{Expects: everybody, Timeout: 50 * time.Millisecond})
	t.Cleanup(func() { _ = l.Close() })
	silent := connect(t, l)
	slow := acceptOne(t, l)
	if _, err := io.WriteString(connect(t, l), "PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\nhello"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(acceptOne(t, l), b); err != nil || string(b) != "hello" {
		t.Fatalf("read %q, %v", b, err)
	}
	read := make(chan string)
	go func() {
		b, err := io.ReadAll(slow)
		if err != nil {
			t.Error(err)
		}
		read <- string(b)
	}()
	// The header's deadline is over when the late bytes are sent, or they arrive before:
	// either way they are read as they are.
	if _, err := io.WriteString(silent, "late"); err != nil {
		t.Fatal(err)
	}
	if err := silent.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "late" {
		t.Errorf("read %q", got)
	}
}

// A header is read however late it begins: some proxies send it with the client's
// first bytes.
func TestLateHeader(t *testing.T) {
	l := listen.Proxy(servertest.Listen(t), listen.ProxyOptions{Expects: everybody, Timeout: 1}) // over at once
	t.Cleanup(func() { _ = l.Close() })
	client := connect(t, l)
	c := acceptOne(t, l)
	read := make(chan string)
	go func() {
		b, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		read <- string(b)
	}()
	if _, err := io.WriteString(client, "PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\nhello"); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, a := <-read, c.(*listen.Conn).Announced(); got != "hello" || a.Client.String() != "203.0.113.7" {
		t.Errorf("read %q from %v", got, a)
	}
}

// The server's deadline counts while the header is waited for, and after it.
func TestDeadline(t *testing.T) {
	l := listen.Proxy(servertest.Listen(t), listen.ProxyOptions{Expects: everybody, Timeout: time.Hour})
	t.Cleanup(func() { _ = l.Close() })
	connect(t, l)
	c := acceptOne(t, l)
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("reading ends with %v", err)
		}
	}
}

// Admit decides on a connection by the client that its header says.
func TestAdmit(t *testing.T) {
	refused := errors.New("one too many")
	for client, want := range map[string]error{"203.0.113.7": nil, "203.0.113.8": refused} {
		c := accept(t, "PROXY TCP4 "+client+" 10.0.0.1 1 2\r\n"+request, listen.ProxyOptions{Expects: everybody,
			Admit: func(inner net.Conn, a netip.Addr) error {
				if _, ok := inner.(*net.TCPConn); !ok {
					t.Errorf("inner is a %T", inner)
				}
				if a.String() == "203.0.113.8" {
					return refused
				}
				return nil
			}})
		if _, err := io.ReadAll(c); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", client, err, want)
		}
	}
}

// Requests know what the header of their connection says.
func TestContext(t *testing.T) {
	c := accept(t, "PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n"+request, listen.ProxyOptions{Expects: everybody})
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	ctx := listen.Context(context.Background(), c)
	req := requestFrom(ctx, "127.0.0.1:80")
	r := source.NewResolver([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true)
	if a, err := r.Client(req); err != nil || a.String() != "203.0.113.7" {
		t.Errorf("Client() = %v, %v", a, err)
	}
}

// FuzzProxy holds what a proxy may send to two promises: the server reads the end of
// it and nothing else, and all of it where there is no header.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n" + request))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(v2(0x21, 0x11, tcp4) + request))
	f.Add([]byte(v2(0x20, 0, "") + request))
	f.Add([]byte(v2(0x21, 0x21, ip6+ip6+ports+"\x04\x00\x03abc")))
	f.Add([]byte(request))
	f.Fuzz(func(t *testing.T, sent []byte) {
		l := listen.Proxy(one{sent}, listen.ProxyOptions{Expects: everybody})
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(c)
		a := c.(*listen.Conn).Announced()
		switch {
		case err != nil && (a.Header || len(rest) > 0):
			t.Errorf("a connection that is closed has %+v and %q", a, rest)
		case err != nil:
		case !a.Header && !bytes.Equal(rest, sent), !bytes.HasSuffix(sent, rest), a.Header && len(rest) == len(sent):
			t.Errorf("%+v: read %q of %q", a, rest, sent)
		case a.Client.IsValid() && (a.Client.Is4In6() || a.Client.Zone() != "" || !a.Header):
			t.Errorf("found %+v", a)
		}
	})
}

// one is a listener of one connection.
type one struct{ sent []byte }

func (l one) Accept() (net.Conn, error) { return &memory{Reader: bytes.NewReader(l.sent)}, nil }
func (l one) Close() error              { return nil }
func (l one) Addr() net.Addr            { return &net.TCPAddr{} }

// memory is a connection without a network.
type memory struct {
	net.Conn
	io.Reader
}

func (m *memory) Read(b []byte) (int, error)      { return m.Reader.Read(b) }
func (m *memory) Close() error                    { return nil }
func (m *memory) SetReadDeadline(time.Time) error { return nil }
func (m *memory) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} }
