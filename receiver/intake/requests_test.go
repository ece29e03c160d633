package intake_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

func hexSignature(body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

func base64Signature(body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// stream is a request as Stream sends it.
func stream(signed, sent string, edit func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hooks", strings.NewReader(sent))
	r.RemoteAddr = listed
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Signature", hexSignature(signed))
	r.Header.Set("X-Webhook-Id", "id-1")
	r.Header.Set("X-Webhook-Attempt", "2")
	if edit != nil {
		edit(r)
	}
	return r
}

func trust(c *v1alpha1.Config) {
	c.Sources.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
}

func forwarded(peer, list string) func(*http.Request) {
	return func(r *http.Request) {
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", list)
	}
}

func flip(s string, at int) string {
	b := []byte(s)
	b[at] ^= 1
	return string(b)
}
