package verify_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// BenchmarkVerify is a request of Stream of usual size, with two secrets of which
// the second signed.
func BenchmarkVerify(b *testing.B) {
	p, err := provider.Get("stream-chat")
	if err != nil {
		b.Fatal(err)
	}
	scheme, err := verify.New(p.Spec.Signatures, "")
	if err != nil {
		b.Fatal(err)
	}
	const secret = "a secret for this benchmark only"
	body := []byte(strings.Repeat(`{"type":"message.new"}`, 60)[:1280])
	header := http.Header{"X-Signature": {hmacHex(secret, body)}}
	for name, entries := range map[string][]verify.Entry{
		"one secret":  {{Name: "current", Value: []byte(secret)}},
		"two secrets": {{Name: "a", Value: []byte("another secret, tried before it")}, {Name: "b", Value: []byte(secret)}},
	} {
		keys, _ := scheme.Keys(entries)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			now := time.Unix(1700000000, 0)
			for b.Loop() {
				if _, err := keys.Verify(verify.Request{Method: http.MethodPost, Header: header, Body: body}, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
