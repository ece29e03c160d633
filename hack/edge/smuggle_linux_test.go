package edge_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// inner is a request that is right in all but where it comes from. A client that is
// not listed hides it in one of its own, so that a proxy takes it for a part of that
// one, and the receiver for a request by itself with a header that a proxy wrote.
func inner(t testing.TB, id string) string {
	req := servertest.Request(t, "http://"+publicHost+"/hooks", id, servertest.OldSecret, servertest.BodyOf(id))
	return fmt.Sprintf("POST /hooks HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\nForwarded: for=%s\r\nX-Signature: %s\r\nX-Webhook-Id: %s\r\nContent-Length: %d\r\n\r\n%s",
		publicHost, streamAddress, streamAddress, req.Header.Get("X-Signature"), id, req.ContentLength, servertest.BodyOf(id))
}

// shapes are ways to hide in: %d is the length of what is hidden, %x the same in hex,
// and it follows.
func shapes() map[string]string {
	head := func(lines ...string) string {
		return "POST /hooks HTTP/1.1\r\nHost: " + publicHost + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	}
	return map[string]string{
		"behind a request":           head("Content-Length: 0"),
		"length, then chunks":        head("Content-Length: %d", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		"chunks, then length":        head("Transfer-Encoding: chunked", "Content-Length: %d") + "0\r\n\r\n",
		"chunks, length zero":        head("Transfer-Encoding: chunked", "Content-Length: 0") + "%x\r\n",
		"coding misspelt":            head("Transfer-Encoding: xchunked", "Content-Length: %d"),
		"coding twice":               head("Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Length: %d") + "0\r\n\r\n",
		"coding listed":              head("Transfer-Encoding: identity, chunked", "Content-Length: %d") + "0\r\n\r\n",
		"space before the colon":     head("Transfer-Encoding : chunked", "Content-Length: %d") + "0\r\n\r\n",
		"tab before the value":       head("Transfer-Encoding:\tchunked", "Content-Length: %d") + "0\r\n\r\n",
		"folded":                     head("X-A: b", " Transfer-Encoding: chunked", "Content-Length: %d") + "0\r\n\r\n",
		"two lengths":                head("Content-Length: 0", "Content-Length: %d"),
		"two lengths in one":         head("Content-Length: 0, %d"),
		"length with a sign":         head("Content-Length: +%d"),
		"length in hex":              head("Content-Length: 0x%x"),
		"bare line feeds":            strings.ReplaceAll(head("Content-Length: %d", "Transfer-Encoding: chunked"), "\r\n", "\n") + "0\n\n",
		"carriage return in a value": head("X-A: b\rTransfer-Encoding: chunked", "Content-Length: %d") + "0\r\n\r\n",
		"zero byte in a value":       head("X-A: b\x00", "Content-Length: %d"),
		"chunk's extension":          head("Transfer-Encoding: chunked") + "0;a=\"\n\"\r\n\r\n",
		"chunk's size with a sign":   head("Transfer-Encoding: chunked") + "+0\r\n\r\n",
		"chunk's size too long":      head("Transfer-Encoding: chunked") + "10000000000000000\r\n",
		"chunk's end is bare":        head("Transfer-Encoding: chunked") + "1\nx\n0\n\n",
		"trailer":                    head("Transfer-Encoding: chunked", "Trailer: X-Forwarded-For") + "0\r\nX-Forwarded-For: " + streamAddress + "\r\n\r\n",
		"body of the ready path":     "GET /.well-known/fairlead/ready HTTP/1.1\r\nHost: " + publicHost + "\r\nContent-Length: %d\r\n\r\n",
		"body of a HEAD":             "HEAD /hooks HTTP/1.1\r\nHost: " + publicHost + "\r\nContent-Length: %d\r\n\r\n",
		"continue":                   head("Content-Length: %d", "Expect: 100-continue"),
		"upgrade":                    head("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Content-Length: 0"),
		"websocket":                  head("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Content-Length: 0"),
		"version 1.0":                "POST /hooks HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n",
		"connect":                    "CONNECT " + firstAddress + ":8080 HTTP/1.1\r\nHost: " + firstAddress + ":8080\r\n\r\n",
		"absolute target":            "POST http://" + firstAddress + ":8080/hooks HTTP/1.1\r\nHost: " + publicHost + "\r\nContent-Length: 0\r\n\r\n",
	}
}

// smuggling holds that what a client hides in a request is never taken for a request
// of the proxy's.
func (w *world) smuggling(t *testing.T) {
	for _, tt := range []plan{
		{},
		{sample: "nginx/http.conf", trusted: true},
		{sample: "nginx/forwarded.conf", trusted: true},
		{sample: "haproxy/http.cfg", trusted: true},
		{sample: "haproxy/forwarded.cfg", trusted: true},
		{sample: "haproxy/http-proxy-protocol.cfg", trusted: true, required: true},
	} {
		name := tt.sample
		if name == "" {
			name = direct
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, tt)
			for name, shape := range shapes() {
				s.hide(t, shape, inner(t, "hidden in "+name))
			}
			if got := s.client(t, w.stream, false, false).send("last"); got != 200 {
				t.Errorf("a good request was answered %d afterwards", got)
			}
			servertest.Until(t, "the last event", func() bool { return s.sink.times(servertest.BodyOf("last")) == 1 })
			for name := range shapes() {
				if s.sink.times(servertest.BodyOf("hidden in "+name)) > 0 {
					t.Errorf("%s: what was hidden was taken for a request of Stream's", name)
				}
			}
		})
	}
}

// hide sends a shape with something hidden in it, and reads what is answered until
// the connection ends or is quiet.
func (s *site) hide(t *testing.T, shape, hidden string) {
	t.Helper()
	shape = strings.ReplaceAll(strings.ReplaceAll(shape, "%d", fmt.Sprint(len(hidden))), "%x", fmt.Sprintf("%x", len(hidden)))
	c, err := s.w.unknown.dial(t.Context(), "tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	// The other side may have had enough of it before its end.
	_, _ = io.WriteString(c, shape+hidden+"\r\n0\r\n\r\n")
	_, _ = io.Copy(io.Discard, c)
}
