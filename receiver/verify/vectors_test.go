package verify_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// vector is a request that another implementation signed; see the README beside
// the files.
type vector struct {
	Name       string             `json:"name"`
	Provider   string             `json:"provider"`
	Signatures []config.Signature `json:"signatures"`
	Secret     string             `json:"secret"`
	URL        string             `json:"url"`
	Method     string             `json:"method"`
	Now        int64              `json:"now"`
	Headers    map[string]string  `json:"headers"`
	Body       string             `json:"body"`
	BodyBase64 []byte             `json:"bodyBase64"`
	Oracle     string             `json:"oracle"`
}

// vectors reads all vectors.
func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("../../api/provider/testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files of vectors: %v", len(files), err)
	}
	var all []vector
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		var list []vector
		if err := d.Decode(&list); err != nil {
			t.Fatalf("reading %s: %v", filepath.Base(name), err)
		}
		all = append(all, list...)
	}
	return all
}

// signatures returns the scheme's signatures with their defaults.
func (v vector) signatures(t testing.TB) []config.Signature {
	t.Helper()
	if v.Provider == "" {
		p := &v1alpha1.WebhookProvider{Spec: v1alpha1.WebhookProviderSpec{Signatures: v.Signatures}}
		provider.SetDefaults(p)
		return p.Spec.Signatures
	}
	p, err := provider.Get(v.Provider)
	if err != nil {
		t.Fatal(err)
	}
	return p.Spec.Signatures
}

func (v vector) scheme(t testing.TB) *verify.Scheme {
	t.Helper()
	s, err := verify.New(v.signatures(t), v.URL)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keys makes one secret ready.
func keys(t testing.TB, s *verify.Scheme, secret string) *verify.Keys {
	t.Helper()
	k, problems := s.Keys([]verify.Entry{{Name: "current", Value: []byte(secret)}})
	for _, p := range problems {
		if p.Fatal {
			t.Fatalf("secret of the vector: %s", p.Text)
		}
	}
	return k
}

// request makes the request of the vector, its body inflated if that is signed.
func (v vector) request(t testing.TB, inflate bool) verify.Request {
	t.Helper()
	r := verify.Request{Method: v.Method, Header: http.Header{}, Body: []byte(v.Body)}
	if v.BodyBase64 != nil {
		r.Body = v.BodyBase64
	}
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	if !inflate || !bytes.HasPrefix(r.Body, []byte{0x1f, 0x8b}) {
		return r
	}
	z, err := gzip.NewReader(bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	if r.Body, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	return r
}

func (v vector) now() time.Time { return time.Unix(v.Now, 0) }

// breakage is a change that turns a valid request into one that must be refused.
// It reports false if it does not apply.
type breakage func(sig config.Signature, r *verify.Request) bool

var breakages = map[string]breakage{
	"flipped bit":              body(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }),
	"flipped bit at the start": body(func(b []byte) []byte { b[0] ^= 0x80; return b }),
	"truncated":                body(func(b []byte) []byte { return b[:len(b)-1] }),
	"cut at the front":         body(func(b []byte) []byte { return b[1:] }),
	"longer":                   body(func(b []byte) []byte { return append(b, ' ') }),
	"empty body":               body(func([]byte) []byte { return nil }),
	"printed again": body(func(b []byte) []byte {
		var v any
		if json.Unmarshal(b, &v) != nil {
			return b
		}
		again, _ := json.Marshal(v)
		return again
	}),
	"upper case": value(func(s string) string {
		return regexp.MustCompile(`[0-9a-f]{40,}`).ReplaceAllStringFunc(s, strings.ToUpper)
	}, v1alpha1.EncodingHex),
	"trailing space": value(func(s string) string { return s + " " }),
	"leading space":  value(func(s string) string { return " " + s }),
	"trailing line":  value(func(s string) string { return s + "\n" }),
	"longer value":   value(func(s string) string { return s + "0" }),
	"shorter value":  value(func(s string) string { return s[:len(s)-1] }),
	"no padding":     value(func(s string) string { return strings.TrimRight(s, "=") }, v1alpha1.EncodingBase64),
	"line in base64": value(func(s string) string { return s[:len(s)-9] + "\n" + s[len(s)-9:] }, v1alpha1.EncodingBase64),
	"missing": func(sig config.Signature, r *verify.Request) bool {
		r.Header.Del(string(sig.Header))
		return true
	},
	"empty": value(func(string) string { return "" }),
	"repeated": func(sig config.Signature, r *verify.Request) bool {
		r.Header.Add(string(sig.Header), r.Header.Get(string(sig.Header)))
		return true
	},
	"repeated behind": func(sig config.Signature, r *verify.Request) bool {
		r.Header.Add(string(sig.Header), "x")
		return true
	},
	"no time":           timeHeader(func(h http.Header, name string) { h.Del(name) }),
	"repeated time":     timeHeader(func(h http.Header, name string) { h.Add(name, h.Get(name)) }),
	"signed time":       timeHeader(func(h http.Header, name string) { h.Set(name, "+"+h.Get(name)) }),
	"time with a space": timeHeader(func(h http.Header, name string) { h.Set(name, h.Get(name)+" ") }),
	"another time":      timeHeader(func(h http.Header, name string) { h.Set(name, "1"+h.Get(name)[1:len(h.Get(name))-1]+"9") }),
	"no id": func(sig config.Signature, r *verify.Request) bool {
		r.Header.Del(string(sig.IDHeader))
		return sig.IDHeader != ""
	},
	"another id": func(sig config.Signature, r *verify.Request) bool {
		r.Header.Set(string(sig.IDHeader), "another")
		return sig.IDHeader != ""
	},
	"another method": func(sig config.Signature, r *verify.Request) bool {
		r.Method = http.MethodPut
		return strings.Contains(sig.Content, "{method}")
	},
	"another header": func(sig config.Signature, r *verify.Request) bool {
		r.Header.Set("X-Tenant", "other")
		return strings.Contains(sig.Content, "{header:X-Tenant}")
	},
	"no signed header": func(sig config.Signature, r *verify.Request) bool {
		r.Header.Del("X-Tenant")
		return strings.Contains(sig.Content, "{header:X-Tenant}")
	},
}

// body breaks the body of requests whose body is signed.
func body(change func([]byte) []byte) breakage {
	return func(sig config.Signature, r *verify.Request) bool {
		before := r.Body
		r.Body = change(bytes.Clone(before))
		return sig.Content != "" && !bytes.Equal(before, r.Body)
	}
}

// value breaks the signature header, in the encodings that are given or in all.
func value(change func(string) string, only ...v1alpha1.Encoding) breakage {
	return func(sig config.Signature, r *verify.Request) bool {
		before := r.Header.Get(string(sig.Header))
		after := change(before)
		r.Header[http.CanonicalHeaderKey(string(sig.Header))] = []string{after}
		return before != after && (len(only) == 0 || slices.Contains(only, sig.Encoding))
	}
}

func timeHeader(change func(h http.Header, name string)) breakage {
	return func(sig config.Signature, r *verify.Request) bool {
		if sig.SignedAt == nil || sig.SignedAt.Header == "" {
			return false
		}
		change(r.Header, string(sig.SignedAt.Header))
		return true
	}
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if v.Oracle == "" {
				t.Error("the vector does not say what made it")
			}
			s := v.scheme(t)
			k := keys(t, s, v.Secret)
			if got, err := k.Verify(v.request(t, s.SignsInflated()), v.now()); err != nil || got != "current" {
				t.Fatalf("Verify() = %q, %v, want the entry", got, err)
			}
			for name, change := range breakages {
				r := v.request(t, s.SignsInflated())
				if !change(v.signature(t), &r) {
					continue
				}
				if got, err := k.Verify(r, v.now()); !errors.Is(err, verify.ErrSignature) || got != "" {
					t.Errorf("%s: Verify() = %q, %v, want ErrSignature", name, got, err)
				}
			}
		})
	}
}

// signature returns the one of the signatures that the vector is made for.
func (v vector) signature(t testing.TB) config.Signature {
	t.Helper()
	sigs := v.signatures(t)
	for _, s := range sigs {
		if s.Secret.Prefix != "" && strings.HasPrefix(v.Secret, s.Secret.Prefix) {
			return s
		}
	}
	return sigs[0]
}

func TestWrongSecret(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			s := v.scheme(t)
			for i := range len(v.Secret) {
				wrong := []byte(v.Secret)
				wrong[i] = "AB"[len(strings.Repeat("x", int(wrong[i]&1)))]
				if string(wrong) == v.Secret {
					continue
				}
				k, _ := s.Keys([]verify.Entry{{Name: "current", Value: wrong}})
				_, err := k.Verify(v.request(t, s.SignsInflated()), v.now())
				if !errors.Is(err, verify.ErrSignature) && !errors.Is(err, verify.ErrNoKeys) && !sameSecret(v, string(wrong)) {
					t.Errorf("secret changed at %d: Verify() = %v, want an error", i, err)
				}
			}
		})
	}
}

// sameSecret reports whether a secret stands for the same bytes as the vector's.
func sameSecret(v vector, other string) bool {
	return strings.EqualFold(v.Secret, other) || strings.TrimRight(v.Secret, "=") == strings.TrimRight(other, "=")
}

func TestTolerance(t *testing.T) {
	for _, v := range vectors(t) {
		sig := v.signature(t)
		if sig.SignedAt == nil {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			s := v.scheme(t)
			k := keys(t, s, v.Secret)
			past, _ := sig.SignedAt.Past.Parse()
			future, _ := sig.SignedAt.Future.Parse()
			for name, tt := range map[string]struct {
				now  time.Time
				want error
			}{
				"just in time":      {v.now().Add(past), nil},
				"too old":           {v.now().Add(past + time.Millisecond), verify.ErrTimestamp},
				"just not too far":  {v.now().Add(-future), nil},
				"too far ahead":     {v.now().Add(-future - time.Millisecond), verify.ErrTimestamp},
				"long ago":          {time.Unix(1<<40, 0), verify.ErrTimestamp},
				"no clock was set":  {time.Time{}, verify.ErrTimestamp},
				"longer than times": {time.Unix(-1<<55, 0), verify.ErrTimestamp},
			} {
				if _, err := k.Verify(v.request(t, s.SignsInflated()), tt.now); !errors.Is(err, tt.want) {
					t.Errorf("%s: Verify() = %v, want %v", name, err, tt.want)
				}
			}
		})
	}
	if !errors.Is(verify.ErrTimestamp, verify.ErrSignature) {
		t.Error("ErrTimestamp is not an ErrSignature")
	}
}

// TestEveryScheme holds that no algorithm, encoding or header format goes without a
// vector.
func TestEveryScheme(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vectors(t) {
		s := v.signature(t)
		seen[string(s.Algorithm)], seen["signature in "+string(s.Encoding)], seen["secret in "+string(s.Secret.Encoding)] = true, true, true
		if f := s.Format; f != nil {
			seen["prefix"], seen["keyValues"], seen["versions"] = seen["prefix"] || f.Prefix != "", seen["keyValues"] || f.KeyValues != nil, seen["versions"] || f.Versions != nil
		}
		if at := s.SignedAt; at != nil {
			seen["time in a header"], seen["time in the list"], seen["time in the body"] = seen["time in a header"] || at.Header != "", seen["time in the list"] || at.Key != "", seen["time in the body"] || at.JSONPath != ""
			seen["unit "+string(at.Unit)] = true
		}
		for _, p := range []string{"{body}", "{timestamp}", "{id}", "{method}", "{url}", "{header:"} {
			seen[p] = seen[p] || strings.Contains(s.Content, p)
		}
	}
	for _, want := range []string{"hmac-sha1", "hmac-sha256", "hmac-sha512", "ed25519", "ecdsa-p256-sha256", "token", "basic",
		"signature in hex", "signature in base64", "secret in text", "secret in hex", "secret in base64", "prefix", "keyValues", "versions",
		"time in a header", "time in the list", "time in the body", "unit s", "unit ms",
		"{body}", "{timestamp}", "{id}", "{method}", "{url}", "{header:"} {
		if !seen[want] {
			t.Errorf("no vector has: %s", want)
		}
	}
}

func hmacHex(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
