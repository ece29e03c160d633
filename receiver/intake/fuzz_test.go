package intake_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

// FuzzGzip sends anything as a body: what the standard library inflates within
// the limit is verified as that, and everything else is refused. The signature
// is over what should come out, so only exact bytes are accepted.
func FuzzGzip(f *testing.F) {
	for _, s := range []string{body, zipped(body), zipped(body) + zipped(""), zipped(body)[:30], "\x1f\x8b\x08", "\x1f\x8b\x08\x1c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		const limit = 4 << 10
		b := newBench(t, "stream-chat", func(c *v1alpha1.Config) { c.Limits.MaxBodyBytes = limit })
		plain, want := expectInflated(sent, limit)
		r := stream(string(plain), "", nil)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		if w.Code == 400 && want == 200 && len(b.stored) == 0 {
			return // its fields cannot be used; that is not what is tested here
		}
		if w.Code == 404 && want == 200 {
			return // a body of another hook's shape
		}
		if w.Code != want {
			t.Errorf("status = %d, want %d", w.Code, want)
		}
		if want == 200 && (len(b.stored) != 1 || !bytes.Equal(b.stored[0].Body, plain)) {
			t.Error("the stored body is not the signed one")
		}
	})
}

// expectInflated says what comes out of a body, by the standard library alone.
func expectInflated(sent []byte, limit int) ([]byte, int) {
	if len(sent) > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	if len(sent) < 3 || sent[0] != 0x1f || sent[1] != 0x8b || sent[2] != 8 {
		return sent, http.StatusOK
	}
	z, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return nil, http.StatusBadRequest
	}
	out, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	switch {
	case len(out) > limit:
		return nil, http.StatusRequestEntityTooLarge
	case err != nil && !errors.Is(err, io.EOF):
		return nil, http.StatusBadRequest
	}
	return out, http.StatusOK
}

// FuzzClassify sends signed bodies of any shape: whatever is in them, the answer
// is 200 with the exact bytes stored, or a refusal with nothing stored.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{body, `{"type":{"a":1}}`, `{"type":null}`, `{"type":"a\u0000b"}`, `[1]`, `{"cid":"` + "\xff" + `"}`, `{"type":1e400}`, `{`, ` {"type":"x"`} {
		f.Add([]byte(s), "id")
	}
	f.Fuzz(func(t *testing.T, sent []byte, id string) {
		b := newBench(t, "stream-chat", nil)
		r := stream(string(sent), string(sent), nil)
		r.Header["X-Webhook-Id"] = []string{id}
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		if stored := len(b.stored) == 1; stored != (w.Code == 200) {
			t.Fatalf("status = %d and stored = %t", w.Code, stored)
		}
		if w.Code == 200 && !bytes.HasPrefix(sent, []byte("\x1f\x8b\x08")) && !bytes.Equal(b.stored[0].Body, sent) {
			t.Error("the stored body is not the signed one")
		}
		for _, e := range b.stored {
			for _, s := range []string{e.ID, e.Type, e.Subject} {
				for _, c := range s {
					if c < 0x20 || c == 0x7f {
						t.Errorf("control character in %q", s)
					}
				}
			}
		}
	})
}
