package edge_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// maxBody is spec.limits.maxBodyBytes of the endpoints here: the default.
const maxBody = 1 << 20

// upload is one way to send a body.
type upload struct {
	name string
	// wire is what is sent, signed what the provider has signed.
	wire, signed string
	// chunked is whether the length is not said, gzip whether the coding is, slow
	// whether the body comes bit by bit.
	chunked, gzip, slow bool
	want                int
}

// uploads are the bodies; each is told from all others by its id.
func uploads(t *testing.T, id string) []upload {
	odd := "{\"id\":\"" + id + "\",\"\x00\xff\":\"\r\n\u2028\" , \"é\": 1e999}\r\n\n"
	small, full, over := event(id, 300), event(id, maxBody), event(id, maxBody+1)
	bomb := squeeze(t, over)
	random := noise(id, maxBody)
	return []upload{
		{name: "odd bytes", wire: odd, signed: odd, want: 200},
		{name: "gzip", wire: squeeze(t, small+"g"), signed: small + "g", gzip: true, want: 200},
		{name: "gzip, not said", wire: squeeze(t, small+"n"), signed: small + "n", want: 200},
		{name: "gzip in chunks", wire: squeeze(t, small+"c"), signed: small + "c", gzip: true, chunked: true, want: 200},
		{name: "chunks", wire: small + "ch", signed: small + "ch", chunked: true, want: 200},
		{name: "slow", wire: small + "sl", signed: small + "sl", slow: true, want: 200},
		{name: "slow chunks", wire: small + "sc", signed: small + "sc", slow: true, chunked: true, want: 200},
		{name: "at the limit", wire: full, signed: full, want: 200},
		{name: "at the limit, in chunks", wire: random, signed: random, chunked: true, want: 200},
		{name: "over the limit", wire: over, signed: over, want: 413},
		{name: "over the limit, in chunks", wire: over, signed: over, chunked: true, want: 413},
		{name: "over the limit, inflated", wire: bomb, signed: over, gzip: true, want: 413},
		{name: "far over the limit", wire: over + random + random, signed: over, want: 413},
	}
}

// event is a JSON body of a length.
func event(id string, length int) string {
	head, tail := `{"type":"message.new","id":"`+id+`","text":"`, `"}`
	return head + strings.Repeat("x", length-len(head)-len(tail)) + tail
}

// noise is a body that is no JSON and that nothing makes shorter.
func noise(id string, length int) string {
	seed := sha256.Sum256([]byte(id))
	b := make([]byte, length)
	_, _ = rand.NewChaCha8(seed).Read(b) // it never fails
	return string(b)
}

func squeeze(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// trickle gives a few bytes at a time.
type trickle struct {
	r    io.Reader
	tick *time.Ticker
}

func (r *trickle) Read(p []byte) (int, error) {
	<-r.tick.C
	return r.r.Read(p[:min(len(p), 16)])
}

// request makes the upload's.
func (u *upload) request(t *testing.T, url, id string) *http.Request {
	t.Helper()
	m := hmac.New(sha256.New, []byte(servertest.OldSecret))
	m.Write([]byte(u.signed))
	var body io.Reader = strings.NewReader(u.wire)
	if u.slow {
		tick := time.NewTicker(10 * time.Millisecond)
		t.Cleanup(tick.Stop)
		body = &trickle{body, tick}
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(u.wire))
	if u.chunked {
		req.ContentLength = -1
	}
	if u.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	req.Header.Set("X-Signature", hex.EncodeToString(m.Sum(nil)))
	req.Header.Set("X-Webhook-Id", id)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// bodies holds that a body gets through a proxy as it was sent, however it was sent,
// and that one that is too large is answered 413.
func (w *world) bodies(t *testing.T) {
	limit := func(c *v1alpha1.Config) { c.Limits.MaxBodyBytes = maxBody }
	for _, tt := range []struct {
		name string
		plan
		h2 bool
	}{
		{"direct", plan{}, false},
		{"direct, HTTP/2", plan{tls: true, own: true}, true},
		{"nginx, buffered", plan{sample: "nginx/http.conf", trusted: true}, false},
		{"nginx, not buffered", plan{sample: "nginx/tls.conf", trusted: true, tls: true}, false},
		{"nginx, not buffered, HTTP/2", plan{sample: "nginx/tls.conf", trusted: true, tls: true}, true},
		{"nginx, TCP", plan{sample: "nginx/tcp-proxy-protocol.conf", trusted: true, required: true}, false},
		{"HAProxy, not buffered", plan{sample: "haproxy/http.cfg", trusted: true}, false},
		{"HAProxy, buffered", plan{sample: "haproxy/tls.cfg", trusted: true, tls: true}, false},
		{"HAProxy, buffered, HTTP/2", plan{sample: "haproxy/tls.cfg", trusted: true, tls: true}, true},
		{"HAProxy, TLS through", plan{sample: "haproxy/passthrough-proxy-protocol.cfg", trusted: true, required: true, tls: true, own: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.edit = limit
			s := w.newSite(t, tt.plan)
			c := s.client(t, w.stream, tt.h2, true)
			for i, u := range uploads(t, tt.name) {
				got := c.do(u.request(t, s.url, fmt.Sprint(tt.name, i)))
				switch {
				case got != u.want:
					t.Errorf("%s: status = %d, want %d", u.name, got, u.want)
				case got == 200:
					servertest.Until(t, u.name+" at the sink", func() bool { return s.sink.times(u.signed) == 1 })
				default: // what was not read of the body may cost the connection; the next request needs another one
					c.http.CloseIdleConnections()
				}
			}
		})
	}
}
