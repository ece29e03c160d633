package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// The providers that are played.
const (
	streamChat = "stream-chat"
	socialPlus = "social-plus"
)

// request is what a provider posts. It is signed here by what the provider's
// documentation says, and not by code of the product.
type request struct {
	method, path string
	header       http.Header
	body         []byte
}

// answer is what came back.
type answer struct {
	status int
	body   string
	header http.Header
}

// id is one that no other request has.
func id() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func mac(secret string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return m.Sum(nil)
}

// stream is a request of Stream's.
func stream(path string, body []byte) *request {
	return &request{method: http.MethodPost, path: path, body: body, header: http.Header{
		"Content-Type": {"application/json"}, "X-Api-Key": {streamKey}, "X-Webhook-Id": {id()}, "X-Webhook-Attempt": {"1"},
		"X-Signature": {hex.EncodeToString(mac(streamSecret, body))},
	}}
}

// social is a request of social.plus's.
func social(path string, body []byte) *request {
	return &request{method: http.MethodPost, path: path, body: body, header: http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"node-superagent/4.0.0"},
		"X-Amity-Signature": {base64.StdEncoding.EncodeToString(mac(socialSecret, body))},
	}}
}

// zipped compresses the body, as Stream does when it is told to: the signature is
// over what it was before.
func (q *request) zipped() *request {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(q.body)
	_ = w.Close()
	q.body = b.Bytes()
	return q.with("Content-Encoding", "gzip")
}

// with replaces a header, or takes it out if value is empty.
func (q *request) with(name, value string) *request {
	q.header.Set(name, value)
	if value == "" {
		q.header.Del(name)
	}
	return q
}

// post sends a request to an address, such as 192.0.2.10:80.
func post(ctx context.Context, c *http.Client, address string, q *request) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+address+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	req.Header = q.header.Clone()
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, string(body), resp.Header}, nil
}

// answers sends a request and fails the test unless it is answered so. An empty body
// is any.
func answers(t testing.TB, c *http.Client, address string, q *request, status int, body string) *answer {
	t.Helper()
	a, err := post(t.Context(), c, address, q)
	if err != nil {
		t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	if a.status != status || body != "" && a.body != body {
		t.Fatalf("%s %s: answered %d %q, want %d %q", q.method, q.path, a.status, a.body, status, body)
	}
	return a
}

// message is a new message as Stream sends one: other letters, escapes and markup, a
// number whose last digit a second printing would lose, and a newline at the end.
func message(text string) []byte {
	return fmt.Appendf(nil, `{"type":"message.new","cid":"messaging:fun","channel_type":"messaging","channel_id":"fun",`+
		`"message":{"id":%q,"text":"h\u00e9llo 🚀 <b>&amp;</b> %s","html":"\u003cp\u003eh\u00e9llo\u003c\/p\u003e\n","price":1.50},`+
		`"user":{"id":"ada","role":"user"},"members":[],"created_at":"2026-11-22T07:54:46.295138Z"}`+"\n", id(), text)
}

// post of social.plus's, the type of which stands in event.
func created(text string) []byte {
	return fmt.Appendf(nil, `{"event":"message.didCreate","data":{"messages":[{"messageId":%q,"data":{"text":"héllo 🚀 %s"},"flagCount":0}]}}`, id(), text)
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}
