package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// provider is how one signs, how long it waits, and when it sends again.
type provider struct {
	timeout time.Duration // of one attempt
	total   time.Duration // of all
	body    func(id, text string, at time.Time) []byte
	sign    func(h http.Header, c call)
	// attempts is how many there are in all when the last one ended so.
	attempts func(o Outcome, status int) int
}

// call is one attempt to send an event.
type call struct {
	id, secret, apiKey string
	body               []byte
	attempt            int
}

func providers() map[string]provider {
	return map[string]provider{
		"stream-chat": {timeout: 6 * time.Second, total: 15 * time.Second, body: streamBody, sign: signStream, attempts: streamAttempts},
		// No retry is documented.
		"social-plus": {timeout: 1500 * time.Millisecond, total: 1500 * time.Millisecond, body: socialBody, sign: signSocial,
			attempts: func(Outcome, int) int { return 1 }},
	}
}

// streamBody is a message as Stream sends one, a newline at its end.
func streamBody(id, text string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"type":"message.new","cid":"messaging:fun","channel_type":"messaging","channel_id":"fun",`+
		`"message":{"id":%q,"text":"h\u00e9llo 🚀 <b>&amp;</b> %s","html":"\u003cp\u003eh\u00e9llo\u003c/p\u003e","type":"regular","price":1.50},`+
		`"user":{"id":"ada","role":"user"},"created_at":%q}`+"\n", id, text, at.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

func socialBody(id, text string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"event":"message.didCreate","data":{"messages":[{"messageId":%q,"channelId":"fun","data":{"text":"héllo 🚀 %s"},`+
		`"createdAt":%q,"flagCount":0}]}}`, id, text, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func signStream(h http.Header, c call) {
	h.Set("X-Signature", hex.EncodeToString(digest(c)))
	h.Set("X-Webhook-Id", c.id)
	h.Set("X-Webhook-Attempt", strconv.Itoa(c.attempt))
	if c.apiKey != "" {
		h.Set("X-Api-Key", c.apiKey)
	}
}

func signSocial(h http.Header, c call) {
	h.Set("X-Amity-Signature", base64.StdEncoding.EncodeToString(digest(c)))
}

func digest(c call) []byte {
	m := hmac.New(sha256.New, []byte(c.secret))
	m.Write(c.body)
	return m.Sum(nil)
}

// streamAttempts is what Stream documents: three for 408, 429, 5xx and timeouts, two
// for network errors, and one for all else.
func streamAttempts(o Outcome, status int) int {
	switch {
	case o == Timeout, o == ConnectTimeout, status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return 3
	case o != Answered:
		return 2
	}
	return 1
}

// request is one attempt on the wire. zipped compresses the body, which Stream
// signs before.
func (p provider) request(ctx context.Context, url string, c call, zipped bool) (*http.Request, error) {
	wire := c.body
	if zipped {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(c.body); err != nil {
			return nil, fmt.Errorf("compressing body: %w", err)
		}
		if err := z.Close(); err != nil {
			return nil, fmt.Errorf("compressing body: %w", err)
		}
		wire = b.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(wire))
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	req.GetBody = nil // without it, the client sends nothing again in silence
	req.Header.Set("Content-Type", "application/json")
	if zipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	p.sign(req.Header, c)
	return req, nil
}

// Sign returns the headers with which a provider signs a body; nil if there is no
// such provider.
func Sign(name, secret string, body []byte) http.Header {
	p, ok := providers()[name]
	if !ok {
		return nil
	}
	h := http.Header{}
	p.sign(h, call{secret: secret, body: body, attempt: 1})
	return h
}
