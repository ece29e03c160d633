package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// wire is a bare connection to a receiver.
type wire struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// CloseWrite ends what is sent.
func (w *wire) CloseWrite() error { return w.Conn.(*net.TCPConn).CloseWrite() }

// startTLS goes on inside of TLS.
func (w *wire) startTLS(c *tls.Config) *wire {
	inner := tls.Client(w.Conn, c)
	return &wire{inner, w.t, bufio.NewReader(inner)}
}

func dial(t *testing.T, r *receiver) *wire {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", r.host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(servertest.Wait)); err != nil {
		t.Fatal(err)
	}
	return &wire{c, t, bufio.NewReader(c)}
}

func (w *wire) send(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		w.t.Fatal(err)
	}
}

// status reads one answer; 0 stands for a connection that is closed.
func (w *wire) status() int {
	w.t.Helper()
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Fatal("no answer, and the connection stays open")
		}
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// raw is a signed request as text.
func raw(t *testing.T, id string) string {
	req := servertest.Request(t, "http://x/hooks", id, servertest.OldSecret, servertest.BodyOf(id))
	return fmt.Sprintf("POST /hooks HTTP/1.1\r\nHost: x\r\nX-Signature: %s\r\nX-Webhook-Id: %s\r\nContent-Length: %d\r\n\r\n%s",
		req.Header.Get("X-Signature"), id, req.ContentLength, servertest.BodyOf(id))
}

// TestWire is what happens to clients that do not behave: each is bounded, and
// what was sent rightly before is served.
func TestWire(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
	closed := start(t, t.TempDir(), servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Sources.Ranges = []netip.Prefix{other} }),
		servertest.Secrets(servertest.OldSecret))
	head := "POST /hooks HTTP/1.1\r\nHost: x\r\n"
	for name, tt := range map[string]struct {
		to   *receiver
		send []string
		half bool
		want []int
	}{
		"pipelined":                   {r, []string{raw(t, "p1") + raw(t, "p2")}, false, []int{200, 200}},
		"garbage behind a request":    {r, []string{raw(t, "g1"), "\x00\xffgarbage\r\n\r\n"}, false, []int{200, 400, 0}},
		"garbage":                     {r, []string{"\x16\x03\x01\x02\x00\x01"}, true, []int{400, 0}},
		"half closed":                 {r, []string{raw(t, "h1")}, true, []int{200, 0}},
		"huge header":                 {r, []string{head + "X-Big: " + strings.Repeat("x", 64<<10) + "\r\n\r\n"}, false, []int{431, 0}},
		"many headers":                {r, []string{head + strings.Repeat("X-H: y\r\n", 8<<10) + "\r\n"}, false, []int{431, 0}},
		"headers never end":           {r, []string{head + "X-Slow: "}, false, []int{0}},
		"nothing is sent":             {r, []string{""}, false, []int{0}},
		"body never ends":             {r, []string{head + "Content-Length: 100\r\n\r\n{"}, false, []int{400, 0}},
		"body is cut off":             {r, []string{head + "Content-Length: 100\r\n\r\n{"}, true, []int{400, 0}},
		"chunks never end":            {r, []string{head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}, false, []int{400, 0}},
		"bad chunk":                   {r, []string{head + "Transfer-Encoding: chunked\r\n\r\nZZ\r\n"}, false, []int{400, 0}},
		"length and chunks":           {r, []string{head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, true, []int{401, 0}},
		"two lengths":                 {r, []string{head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"}, false, []int{400, 0}},
		"announced too large":         {r, []string{head + "Content-Length: 99999999\r\n\r\n"}, false, []int{413, 0}},
		"unlisted, body not sent":     {closed, []string{head + "Content-Length: 100\r\n\r\n"}, false, []int{403, 0}},
		"unlisted, continue expected": {closed, []string{head + "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"}, false, []int{403, 0}},
		"wrong path, body not sent":   {r, []string{"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"}, false, []int{404, 0}},
		"wrong path, then right":      {r, []string{"GET /no HTTP/1.1\r\nHost: x\r\n\r\n" + raw(t, "w1")}, false, []int{404, 200}},
		"wrong method":                {r, []string{"GET /hooks HTTP/1.1\r\nHost: x\r\n\r\n"}, false, []int{405}},
		"options":                     {r, []string{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"}, false, []int{404}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dial(t, tt.to)
			for _, s := range tt.send {
				w.send(s)
			}
			if tt.half {
				if err := w.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			for i, want := range tt.want {
				if got := w.status(); got != want {
					t.Fatalf("answer %d = %d, want %d", i, got, want)
				}
			}
		})
	}
	t.Cleanup(func() {
		servertest.Until(t, "the events", func() bool { return len(sink.IDs()) >= 5 })
		servertest.EqualSets(t, "delivered", map[string]bool{"p1": true, "p2": true, "g1": true, "h1": true, "w1": true}, sink.IDs())
	})
}

// other is a range that nobody in these tests is in (RFC 5737).
var other = netip.MustParsePrefix("198.51.100.0/24")

// Refusals of well-behaved providers keep the connection: the next request on it
// is served.
func TestConnectionIsKept(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Ignore = []v1alpha1.IgnoreRule{{Name: "twin", Present: []api.HeaderName{"X-Twin"}}}
	}), servertest.Secrets(servertest.OldSecret))
	w := dial(t, r)
	for i := range 3 {
		w.send("POST /hooks HTTP/1.1\r\nHost: x\r\nX-Twin: yes\r\nContent-Length: 5\r\n\r\nhello")
		w.send("POST /hooks HTTP/1.1\r\nHost: x\r\nX-Signature: no\r\nContent-Length: 5\r\n\r\nhello")
		w.send(raw(t, fmt.Sprint("k", i)))
		for _, want := range []int{200, 401, 200} {
			if got := w.status(); got != want {
				t.Fatalf("status = %d, want %d", got, want)
			}
		}
	}
}
