package edge_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// fields is a request of HTTP/2 as no library would write it: header fields, those of
// the request line included, and a body.
type fields struct {
	list [][2]string
	body string
}

// with returns the request with fields added, or replaced if they are there.
func (f fields) with(pairs ...string) fields {
	out := fields{body: f.body}
	for _, old := range f.list {
		for i := 0; i < len(pairs); i += 2 {
			if old[0] == pairs[i] {
				old[1], pairs[i] = pairs[i+1], ""
			}
		}
		out.list = append(out.list, old)
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != "" {
			out.list = append(out.list, [2]string{pairs[i], pairs[i+1]})
		}
	}
	return out
}

// forgedFields are signed requests of a client that is not listed, in which something
// stands that a proxy might write out as a header of its own, or as a request.
func forgedFields(t testing.TB) map[string]fields {
	const claim = "x-forwarded-for: " + streamAddress
	valid := func(name string) fields {
		req := servertest.Request(t, "https://"+publicHost+"/hooks", name, servertest.OldSecret, servertest.BodyOf(name))
		return fields{[][2]string{
			{":method", "POST"}, {":scheme", "https"}, {":authority", publicHost}, {":path", "/hooks"},
			{"x-signature", req.Header.Get("X-Signature")}, {"x-webhook-id", name}, {"content-length", fmt.Sprint(req.ContentLength)},
		}, servertest.BodyOf(name)}
	}
	hiding := func(name, before string, pairs ...string) fields {
		f := valid(name).with(pairs...)
		f.body = before + inner(t, name)
		return f
	}
	out := map[string]fields{"nothing": valid("nothing")}
	for name, pairs := range map[string][]string{
		"line in a value":         {"x-a", "b\r\n" + claim},
		"line feed in a value":    {"x-a", "b\n" + claim},
		"zero byte in a value":    {"x-a", "b\x00\r\n" + claim},
		"line in a name":          {"x-a: b\r\nx-forwarded-for", streamAddress},
		"colon in a name":         {"x-forwarded-for:", streamAddress},
		"space behind a name":     {"x-forwarded-for ", streamAddress},
		"capitals":                {"X-Forwarded-For", streamAddress},
		"unknown pseudo-header":   {":x-forwarded-for", streamAddress},
		"line in the path":        {":path", "/hooks HTTP/1.1\r\n" + claim + "\r\nx-b: c"},
		"space in the path":       {":path", "/hooks HTTP/1.1"},
		"line in the method":      {":method", "POST /hooks HTTP/1.1\r\n" + claim + "\r\nx-b: c"},
		"line in the authority":   {":authority", publicHost + "\r\n" + claim},
		"line in the scheme":      {":scheme", "https\r\n" + claim},
		"host besides":            {"host", publicHost + "\r\n" + claim},
		"headers of a connection": {"connection", "x-forwarded-for", "x-forwarded-for", streamAddress},
	} {
		out[name] = valid(name).with(pairs...)
	}
	for name, f := range map[string]fields{
		"length zero":    hiding("length zero", "", "content-length", "0"),
		"length empty":   hiding("length empty", "", "content-length", ""),
		"chunks":         hiding("chunks", "0\r\n\r\n", "transfer-encoding", "chunked"),
		"chunks, folded": hiding("chunks, folded", "0\r\n\r\n", "x-a", "b\r\ntransfer-encoding: chunked"),
		"upgrade":        hiding("upgrade", "", "upgrade", "websocket", "connection", "upgrade"),
	} {
		out[name] = f
	}
	return out
}

// smuggling2 holds the same of HTTP/2, where a proxy writes what it reads anew.
func (w *world) smuggling2(t *testing.T) {
	for _, p := range []plan{
		{tls: true, own: true},
		{sample: "nginx/tls.conf", trusted: true, tls: true},
		{sample: "haproxy/tls.cfg", trusted: true, tls: true},
	} {
		t.Run(p.sample, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, p)
			all := forgedFields(t)
			for _, f := range all {
				s.write2(t, w.unknown, f)
			}
			s.write2(t, w.stream, all["nothing"]) // as a listed client it gets in
			servertest.Until(t, "the last event", func() bool { return s.sink.times(servertest.BodyOf("nothing")) == 1 })
			delete(all, "nothing")
			for name := range all {
				if s.sink.times(servertest.BodyOf(name)) > 0 {
					t.Errorf("%s: it was taken for a request of Stream's", name)
				}
			}
		})
	}
}

// write2 sends a request frame by frame from a host, and reads what is answered until the
// connection ends or is quiet.
func (s *site) write2(t *testing.T, on *host, f fields) {
	t.Helper()
	conn, err := on.dial(t.Context(), "tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(conn, &tls.Config{RootCAs: s.w.roots, ServerName: publicHost, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	defer c.Close()
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, pair := range f.list {
		if err := encoder.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]}); err != nil {
			t.Fatal(err)
		}
	}
	// The other side may have had enough of it before its end.
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, strings.NewReader(""))
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = framer.WriteData(1, true, []byte(f.body))
	_, _ = io.Copy(io.Discard, c)
}
