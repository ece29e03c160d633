package listen_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/fairlead-dev/fairlead/receiver/listen"
)

// serve answers every request on a Limit, over TLS if that is wanted.
func serve(t *testing.T, overTLS bool) (*listen.Limit, *httptest.Server) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	no := func(netip.Addr) bool { return false }
	l := listen.NewLimit(s.Listener, listen.LimitOptions{Most: func() int { return 8 }, Proven: no, Trusted: no, Refused: func(listen.Refusal) {}})
	s.Listener, s.Config.ConnState, s.EnableHTTP2 = l, l.Follow, overTLS
	if overTLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return l, s
}

// speaking waits until so many connections are.
func speaking(t *testing.T, l *listen.Limit, want int) {
	t.Helper()
	look, end := time.NewTicker(time.Millisecond), time.After(10*time.Second)
	defer look.Stop()
	for l.Speaking() != want {
		select {
		case <-look.C:
		case <-end:
			t.Fatalf("%d connections are speaking, want %d", l.Speaking(), want)
		}
	}
}

// ask sends a part of a request, and returns the answer if it was the last.
func ask(t *testing.T, conn net.Conn, answers *bufio.Reader, part string, last bool) {
	t.Helper()
	if _, err := io.WriteString(conn, part); err != nil {
		t.Fatal(err)
	}
	if !last {
		return
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

// TestSpeaking holds that a connection speaks from the first byte of a request until
// the handler has it, also when it is kept for another one.
func TestSpeaking(t *testing.T) {
	l, s := serve(t, false)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	speaking(t, l, 0)
	for range 2 {
		ask(t, conn, answers, "GET / HT", false)
		speaking(t, l, 1)
		ask(t, conn, answers, "TP/1.1\r\nHost: x\r\n\r\n", true)
		speaking(t, l, 0)
	}
	ask(t, conn, answers, "GET", false)
	speaking(t, l, 1)
	_ = conn.Close()
	speaking(t, l, 0)
}

// TestPingsAreNoRequests holds that what an HTTP/2 client says while it asks nothing
// does not pass for a request that is on its way: every stop would wait for it.
func TestPingsAreNoRequests(t *testing.T) {
	l, s := serve(t, true)
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http2.NextProtoTLS}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/"}} {
		err = errors.Join(err, enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	_, prefaced := io.WriteString(conn, http2.ClientPreface)
	frames := http2.NewFramer(conn, conn)
	err = errors.Join(err, prefaced, frames.WriteSettings(),
		frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true}))
	if err != nil {
		t.Fatal(err)
	}
	until := func(is func(http2.Frame) bool) {
		t.Helper()
		for {
			f, err := frames.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if is(f) {
				return
			}
		}
	}
	until(func(f http2.Frame) bool {
		return f.Header().StreamID == 1 && f.Header().Flags.Has(http2.FlagDataEndStream)
	})
	for range 3 {
		if err := frames.WritePing(false, [8]byte{}); err != nil {
			t.Fatal(err)
		}
		until(func(f http2.Frame) bool { p, ok := f.(*http2.PingFrame); return ok && p.IsAck() })
		if n := l.Speaking(); n != 0 {
			t.Fatalf("%d connections are speaking", n)
		}
	}
}
