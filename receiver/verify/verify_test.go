package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
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

func hmacBase64(secret, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestNew(t *testing.T) {
	for name, edit := range map[string]func(*config.Signature){
		"no header":              func(s *config.Signature) { s.Header = "" },
		"no algorithm":           func(s *config.Signature) { s.Algorithm = "" },
		"unknown algorithm":      func(s *config.Signature) { s.Algorithm = "none" },
		"text signature":         func(s *config.Signature) { s.Encoding = v1alpha1.EncodingText },
		"no encoding":            func(s *config.Signature) { s.Encoding = "" },
		"no content":             func(s *config.Signature) { s.Content = "" },
		"no body":                func(s *config.Signature) { s.Content = "{method}" },
		"unknown placeholder":    func(s *config.Signature) { s.Content = "{body}{path}" },
		"header without a name":  func(s *config.Signature) { s.Content = "{body}{header:}" },
		"open brace":             func(s *config.Signature) { s.Content = "{body}{" },
		"nested braces":          func(s *config.Signature) { s.Content = "{{body}}" },
		"closing brace":          func(s *config.Signature) { s.Content = "}{body}" },
		"id without a header":    func(s *config.Signature) { s.Content = "{id}{body}" },
		"timestamp from nowhere": func(s *config.Signature) { s.Content = "{timestamp}{body}" },
		"URL unknown":            func(s *config.Signature) { s.Content = "{url}{body}" },
		"time that is unsigned":  func(s *config.Signature) { s.SignedAt = &v1alpha1.SigningTime{Header: "X-Time"} },
		"time in two places": func(s *config.Signature) {
			s.Content, s.SignedAt = "{timestamp}{body}", &v1alpha1.SigningTime{Header: "X-Time", JSONPath: "$.time"}
		},
		"time in no place": func(s *config.Signature) { s.Content, s.SignedAt = "{timestamp}{body}", &v1alpha1.SigningTime{} },
		"time key, no list": func(s *config.Signature) {
			s.Content, s.SignedAt = "{timestamp}{body}", &v1alpha1.SigningTime{Key: "t"}
		},
		"past unreadable": func(s *config.Signature) {
			s.SignedAt = &v1alpha1.SigningTime{JSONPath: "$.time", Past: "soon"}
		},
		"future negative": func(s *config.Signature) {
			s.SignedAt = &v1alpha1.SigningTime{JSONPath: "$.time", Future: "-1s"}
		},
		"format of nothing": func(s *config.Signature) { s.Format = &v1alpha1.SignatureFormat{} },
		"format of two kinds": func(s *config.Signature) {
			s.Format = &v1alpha1.SignatureFormat{Prefix: "v1=", KeyValues: &v1alpha1.KeyValueFormat{Key: "v1", Separator: ","}}
		},
		"list without a separator": func(s *config.Signature) {
			s.Format = &v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{Key: "v1"}}
		},
		"token in a list": func(s *config.Signature) {
			s.Algorithm, s.Format = v1alpha1.StaticToken, &v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{Key: "v1", Separator: ","}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := plain
			edit(&s)
			if _, err := verify.New([]config.Signature{s}, ""); err == nil {
				t.Error("New() = nil, want an error")
			}
		})
	}
	if _, err := verify.New(nil, ""); err == nil {
		t.Error("New() of no signatures = nil, want an error")
	}
	public := plain
	public.Algorithm = v1alpha1.Ed25519
	if _, err := verify.New([]config.Signature{plain, public}, ""); err == nil {
		t.Error("New() of a secret and a public key that look alike = nil, want an error")
	}
}

func TestSignsInflated(t *testing.T) {
	inflated := plain
	inflated.SignedBody = v1alpha1.SignedBodyInflated
	if newScheme(t, plain).SignsInflated() || !newScheme(t, plain, inflated).SignsInflated() {
		t.Error("SignsInflated is not true exactly if one signature is so")
	}
}

// TestLists holds how lists of signatures are read.
func TestLists(t *testing.T) {
	const at = "1700000000"
	body := []byte(`{}`)
	pairs, versions := plain, plain
	pairs.Format = &v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{Key: "v1", Separator: ","}}
	pairs.Content, pairs.SignedAt = "{timestamp}.{body}", &v1alpha1.SigningTime{Key: "t", Unit: "s", Past: "5m", Future: "5m"}
	versions.Format = &v1alpha1.SignatureFormat{Versions: &v1alpha1.VersionFormat{Version: "v1", Separator: " ", VersionSeparator: ","}}
	good, plainGood := hmacHex(oldSecret, []byte(at+".{}")), hmacHex(oldSecret, body)
	bad := strings.Repeat("0", 64)
	for name, tt := range map[string]struct {
		sig   config.Signature
		value string
		want  bool
	}{
		"pair":                     {pairs, "t=" + at + ",v1=" + good, true},
		"other order":              {pairs, "v1=" + good + ",t=" + at, true},
		"second of two":            {pairs, "t=" + at + ",v1=" + bad + ",v1=" + good, true},
		"malformed before":         {pairs, "t=" + at + ",v1=zz,v1=" + good, true},
		"unknown pairs":            {pairs, "t=" + at + ",v0=x,v1=" + good + ",=,a==", true},
		"sixteenth pair":           {pairs, "t=" + at + strings.Repeat(",v1="+bad, 14) + ",v1=" + good, true},
		"seventeenth pair":         {pairs, "t=" + at + strings.Repeat(",v1="+bad, 15) + ",v1=" + good, false},
		"time behind sixteen":      {pairs, strings.Repeat("v1="+good+",", 16) + "t=" + at, false},
		"endless":                  {pairs, strings.Repeat("v1="+bad+",", 100000), false},
		"no time":                  {pairs, "v1=" + good, false},
		"empty time":               {pairs, "t=,v1=" + good, false},
		"two times":                {pairs, "t=" + at + ",t=" + at + ",v1=" + good, false},
		"two times, first empty":   {pairs, "t=,t=" + at + ",v1=" + good, false},
		"two times, one empty":     {pairs, "t=" + at + ",t=,v1=" + good, false},
		"no signature":             {pairs, "t=" + at, false},
		"other version only":       {pairs, "t=" + at + ",v0=" + good, false},
		"upper-case key":           {pairs, "t=" + at + ",V1=" + good, false},
		"space behind the comma":   {pairs, "t=" + at + ", v1=" + good, false},
		"empty pair":               {pairs, "t=" + at + ",,v1=" + good, false},
		"no pair":                  {pairs, good, false},
		"comma at the end":         {pairs, "t=" + at + ",v1=" + good + ",", false},
		"version":                  {versions, "v1," + plainGood, true},
		"other versions":           {versions, "v1a,x v2,y v1," + plainGood, true},
		"longer version":           {versions, "v11," + plainGood, false},
		"no version":               {versions, plainGood, false},
		"two spaces":               {versions, "v1," + bad + "  v1," + plainGood, false},
		"space at the end":         {versions, "v1," + plainGood + " ", false},
		"tab":                      {versions, "v1," + bad + "\tv1," + plainGood, false},
		"signature in two":         {versions, "v1," + plainGood[:32] + " v1," + plainGood[32:], false},
		"version without anything": {versions, "v1,", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := keys(t, newScheme(t, tt.sig), oldSecret)
			r := verify.Request{Header: http.Header{"X-Signature": {tt.value}}, Body: body}
			_, err := k.Verify(r, time.Unix(1700000000, 0))
			if (err == nil) != tt.want || (err != nil && !errors.Is(err, verify.ErrSignature)) {
				t.Errorf("Verify() = %v, want accepted = %v", err, tt.want)
			}
		})
	}
}

// TestTimestamps holds which texts are timestamps, in a header and in a body.
func TestTimestamps(t *testing.T) {
	inHeader, inBody := plain, plain
	inHeader.Content, inHeader.SignedAt = "{timestamp}.{body}", &v1alpha1.SigningTime{Header: "X-Time", Unit: "s", Past: "5m", Future: "5m"}
	inBody.SignedAt = &v1alpha1.SigningTime{JSONPath: "$.meta.time", Unit: "ms", Past: "5m", Future: "5m"}
	for text, want := range map[string]bool{
		"1700000000": true, "0001700000000": true,
		"": false, "+1700000000": false, "-1700000000": false, "1700000000.0": false, "17e8": false, "0x6553f100": false,
		" 1700000000": false, "1700000000 ": false, "1_700_000_000": false, "1700000000a": false, "١٧٠٠٠٠٠٠٠٠": false,
		"0000000000000001700000000": false, "99999999999999999999": false, "18446744075409551616": false,
	} {
		body := []byte("{}")
		h := http.Header{"X-Signature": {hmacHex(oldSecret, []byte(text+".{}"))}, "X-Time": {text}}
		_, err := keys(t, newScheme(t, inHeader), oldSecret).Verify(verify.Request{Header: h, Body: body}, time.Unix(1700000000, 0))
		if (err == nil) != want {
			t.Errorf("header %q: Verify() = %v, want accepted = %v", text, err, want)
		}
	}
	for text, want := range map[string]bool{
		`{"meta":{"time":1700000000000}}`: true, `{"meta":{"time":"1700000000000"}}`: true, `{"a":[1],"meta":{"x":0,"time":1700000000000}}`: true,
		`{"meta":{"time":1.7e12}}`: false, `{"meta":{"time":-1700000000000}}`: false, `{"meta":{"time":null}}`: false,
		`{"meta":{"time":true}}`: false, `{"meta":{"time":[1700000000000]}}`: false, `{"meta":{"time":{}}}`: false,
		`{"meta":[{"time":1700000000000}]}`: false, `{"meta.time":1700000000000}`: false, `{"time":1700000000000}`: false,
		`{}`: false, ``: false, `not JSON`: false, `[]`: false, `1700000000000`: false,
	} {
		h := http.Header{"X-Signature": {hmacHex(oldSecret, []byte(text))}}
		_, err := keys(t, newScheme(t, inBody), oldSecret).Verify(verify.Request{Header: h, Body: []byte(text)}, time.Unix(1700000000, 0))
		if (err == nil) != want {
			t.Errorf("body %s: Verify() = %v, want accepted = %v", text, err, want)
		}
	}
}

// TestCredentials holds what a header that is the secret may look like.
func TestCredentials(t *testing.T) {
	const password = "user:a long: password"
	token, bearer, basic := plain, plain, plain
	token.Algorithm, token.Header = v1alpha1.StaticToken, "X-Token"
	bearer.Algorithm, bearer.Header, bearer.Format = v1alpha1.StaticToken, "Authorization", &v1alpha1.SignatureFormat{Prefix: "Bearer "}
	basic.Algorithm, basic.Header = v1alpha1.BasicAuth, "Authorization"
	encoded := base64.StdEncoding.EncodeToString([]byte(password))
	for name, tt := range map[string]struct {
		sig   config.Signature
		value string
		want  bool
	}{
		"token":                {token, password, true},
		"token, shorter":       {token, password[1:], false},
		"token, longer":        {token, password + "0", false},
		"token, other case":    {token, strings.ToUpper(password), false},
		"token, two":           {token, password + ", " + password, false},
		"token, huge":          {token, strings.Repeat("x", 1<<20), false},
		"bearer":               {bearer, "Bearer " + password, true},
		"bearer, no prefix":    {bearer, password, false},
		"bearer, two prefixes": {bearer, "Bearer Bearer " + password, false},
		"basic":                {basic, "Basic " + encoded, true},
		"basic, other case":    {basic, "bAsIc " + encoded, true},
		"basic, bare":          {basic, encoded, false},
		"basic, bearer":        {basic, "Bearer " + encoded, false},
		"basic, plain":         {basic, "Basic " + password, false},
		"basic, other user":    {basic, "Basic " + base64.StdEncoding.EncodeToString([]byte("x"+password)), false},
		"basic, two spaces":    {basic, "Basic  " + encoded, false},
		"basic, line":          {basic, "Basic " + encoded[:8] + "\n" + encoded[8:], false},
		"basic, nothing":       {basic, "Basic ", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := keys(t, newScheme(t, tt.sig), password)
			r := verify.Request{Header: http.Header{http.CanonicalHeaderKey(string(tt.sig.Header)): {tt.value}}, Body: []byte("{}")}
			if _, err := k.Verify(r, time.Time{}); (err == nil) != tt.want || (err != nil && !errors.Is(err, verify.ErrSignature)) {
				t.Errorf("Verify() = %v, want accepted = %v", err, tt.want)
			}
		})
	}
}
