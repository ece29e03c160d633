package verify_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// FuzzHeader checks that whatever stands in a signature header, a request is only
// accepted if the one right signature stands there, in its one spelling.
func FuzzHeader(f *testing.F) {
	const at = "1700000000"
	body := []byte("{}")
	right := hmacHex(oldSecret, []byte(at+".{}"))
	right64 := hmacBase64([]byte(oldSecret), []byte(at+".{}"))
	base := plain
	base.Content, base.SignedAt = "{timestamp}.{body}", &v1alpha1.SigningTime{Header: "X-Time", Unit: "s", Past: "5m", Future: "5m"}
	formats := []*v1alpha1.SignatureFormat{
		nil,
		{Prefix: "sha256="},
		{KeyValues: &v1alpha1.KeyValueFormat{Key: "v1", Separator: ","}},
		{KeyValues: &v1alpha1.KeyValueFormat{Key: "h1", Separator: ";"}},
		{Versions: &v1alpha1.VersionFormat{Version: "v1", Separator: " ", VersionSeparator: ","}},
		{Versions: &v1alpha1.VersionFormat{Version: "v1", Separator: ",", VersionSeparator: "="}},
	}
	var all []*verify.Keys
	for _, format := range formats {
		for _, e := range []v1alpha1.Encoding{v1alpha1.EncodingHex, v1alpha1.EncodingBase64} {
			sig := base
			sig.Format, sig.Encoding = format, e
			all = append(all, keys(f, newScheme(f, sig), oldSecret))
		}
	}
	for _, sig := range []string{right, right64} {
		for _, text := range []string{"", "sha256=", "v1=", "v1=x,v1=", "h1=x;h1=", "v1,", "v1,x v1,", "t=1,v1="} {
			f.Add(text + sig)
		}
	}
	f.Add("v1," + strings.Repeat(" v1,", 40))
	f.Fuzz(func(t *testing.T, value string) {
		h := http.Header{"X-Signature": {value}, "X-Time": {at}}
		for i, k := range all {
			_, err := k.Verify(verify.Request{Header: h, Body: body}, time.Unix(1700000000, 0))
			if err != nil {
				if !errors.Is(err, verify.ErrSignature) {
					t.Errorf("scheme %d: Verify() = %v, want ErrSignature", i, err)
				}
				continue
			}
			want := right
			if i%2 == 1 {
				want = right64
			}
			if !strings.Contains(value, want) {
				t.Errorf("scheme %d accepted a header without the signature", i)
			}
		}
	})
}

// FuzzTemplate checks that a template either is refused or signs the whole body.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"{body}", "{id}.{timestamp}.{body}", "{method}{url}{body}{timestamp}", "{header:X-A}{body}", "{", "}", "{}", "{{body}}", "{body", "a}b{body}"} {
		f.Add(text, []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, template string, body []byte) {
		sig := plain
		sig.Content, sig.IDHeader = template, "X-Id"
		if strings.Contains(template, "{timestamp}") {
			sig.SignedAt = &v1alpha1.SigningTime{Header: "X-Time"}
		}
		s, err := verify.New([]config.Signature{sig}, "https://hooks.example.com/")
		if err != nil {
			return
		}
		if !strings.Contains(template, "{body}") {
			t.Fatalf("template %q was compiled without a body", template)
		}
		k := keys(t, s, oldSecret)
		if strings.Contains(template, "{header:") {
			return
		}
		content := strings.NewReplacer("{id}", "i", "{timestamp}", "1700000000", "{method}", "POST",
			"{url}", "https://hooks.example.com/", "{body}", string(body)).Replace(template)
		h := http.Header{"X-Id": {"i"}, "X-Time": {"1700000000"}, "X-Signature": {hmacHex(oldSecret, []byte(content))}}
		r := verify.Request{Method: http.MethodPost, Header: h, Body: body}
		if _, err := k.Verify(r, time.Unix(1700000000, 0)); err != nil {
			t.Errorf("template %q: Verify() = %v", template, err)
		}
		r.Body = append(bytes.Clone(body), 'x')
		if _, err := k.Verify(r, time.Unix(1700000000, 0)); err == nil {
			t.Errorf("template %q: another body was accepted", template)
		}
	})
}

// FuzzTimestamp checks that only digits near the clock are accepted.
func FuzzTimestamp(f *testing.F) {
	for _, text := range []string{"1700000000", "1700000300", "1700000301", "-1", "", "1e9", "999999999999999", "0", "00000001700000000"} {
		f.Add(text, false)
		f.Add(text+"000", true)
	}
	f.Fuzz(func(t *testing.T, text string, milliseconds bool) {
		sig := plain
		at := v1alpha1.SigningTime{Header: "X-Time", Unit: v1alpha1.UnitSeconds, Past: "5m", Future: "5m"}
		width := 1
		if milliseconds {
			at.Unit, width = v1alpha1.UnitMilliseconds, 1000
		}
		sig.Content, sig.SignedAt = "{timestamp}.{body}", &at
		h := http.Header{"X-Time": {text}, "X-Signature": {hmacHex(oldSecret, []byte(text+".{}"))}}
		_, err := keys(t, newScheme(t, sig), oldSecret).Verify(verify.Request{Header: h, Body: []byte("{}")}, time.Unix(1700000000, 0))
		n, digits := 0, len(text) > 0 && len(text) <= 15
		for _, c := range []byte(text) {
			digits = digits && c >= '0' && c <= '9'
			n = n*10 + int(c-'0')
		}
		want := digits && n >= (1700000000-300)*width && n <= (1700000000+300)*width
		if (err == nil) != want {
			t.Errorf("timestamp %q: Verify() = %v, want accepted = %v", text, err, want)
		}
	})
}

// FuzzSecret checks that no entry makes Keys or Verify fall over, and that one that
// has nothing in it is never usable.
func FuzzSecret(f *testing.F) {
	for _, text := range []string{"", "\n", "whsec_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whpk_", "a:b", "zz", "\r\n"} {
		f.Add([]byte(text))
	}
	sigs := make([]config.Signature, 0, 6)
	for _, a := range []v1alpha1.Algorithm{v1alpha1.HMACSHA1, v1alpha1.HMACSHA512, v1alpha1.StaticToken, v1alpha1.BasicAuth, v1alpha1.Ed25519, v1alpha1.ECDSAP256SHA256} {
		sig := plain
		sig.Algorithm = a
		sig.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingBase64, Prefix: "whsec_"}
		sigs = append(sigs, sig)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, sig := range sigs {
			k, problems := newScheme(t, sig).Keys([]verify.Entry{{Name: "e", Value: value}})
			usable := len(k.Usable()) == 1
			if !usable && len(problems) != 1 {
				t.Errorf("%s: not usable, and problems are %v", sig.Algorithm, problems)
			}
			if usable && len(bytes.TrimSpace(value)) == 0 {
				t.Errorf("%s: a blank entry is usable", sig.Algorithm)
			}
			h := http.Header{"X-Signature": {hmacHex("", []byte("{}"))}, "Authorization": {"Basic " + base64.StdEncoding.EncodeToString(value)}}
			_, _ = k.Verify(verify.Request{Header: h, Body: []byte("{}")}, time.Unix(0, 0))
		}
	})
}

// FuzzBodyTime checks that no body makes reading a time from it fall over, and that a body
// that does not speak of a time is refused.
func FuzzBodyTime(f *testing.F) {
	for _, text := range []string{`{"meta":{"time":1700000000000}}`, `{"meta":{"time":"1700000000000"}}`, `{"meta":[{"time":1}]}`, `{"meta":{"time":1.7e12}}`,
		`{"meta":{"time":"\u0031700000000000"}}`, `{"meta":`, `[[[[`, `{"me\u0074a":{"time":1700000000000}}`, ``} {
		f.Add([]byte(text))
	}
	sig := plain
	sig.SignedAt = &v1alpha1.SigningTime{JSONPath: "$.meta.time", Unit: v1alpha1.UnitMilliseconds, Past: "1h", Future: "1h"}
	k := keys(f, newScheme(f, sig), oldSecret)
	f.Fuzz(func(t *testing.T, body []byte) {
		h := http.Header{"X-Signature": {hmacHex(oldSecret, body)}}
		_, err := k.Verify(verify.Request{Header: h, Body: body}, time.UnixMilli(1700000000000))
		if err != nil && !errors.Is(err, verify.ErrSignature) {
			t.Fatalf("Verify() = %v, want ErrSignature", err)
		}
		if err == nil && !bytes.Contains(body, []byte("time")) && !bytes.Contains(body, []byte(`\u`)) {
			t.Errorf("a body without a time was accepted: %q", body)
		}
	})
}
