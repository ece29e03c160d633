package verify_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

const (
	oldSecret = "the old secret, still in use"
	newSecret = "the new secret, since today"
)

var plain = config.Signature{
	Algorithm: v1alpha1.HMACSHA256, Header: "X-Signature", Encoding: v1alpha1.EncodingHex,
	Content: "{body}", EntryHeader: "X-Api-Key", Secret: &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingText},
}

func newScheme(t testing.TB, sigs ...config.Signature) *verify.Scheme {
	t.Helper()
	s, err := verify.New(sigs, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed makes a request that is signed with a secret and may name an entry.
func signed(secret string, names ...string) verify.Request {
	body := []byte(`{"type":"message.new"}`)
	h := http.Header{"X-Signature": {hmacHex(secret, body)}}
	if names != nil {
		h["X-Api-Key"] = names
	}
	return verify.Request{Method: http.MethodPost, Header: h, Body: body}
}

func TestRotation(t *testing.T) {
	k, _ := newScheme(t, plain).Keys([]verify.Entry{
		{Name: "old", Value: []byte(oldSecret)},
		{Name: "new", Value: []byte(newSecret + "\n")},
		{Name: "broken", Value: []byte("\n")},
	})
	for name, tt := range map[string]struct {
		request verify.Request
		want    string
		err     error
	}{
		"old secret":             {signed(oldSecret), "old", nil},
		"new secret":             {signed(newSecret), "new", nil},
		"unknown secret":         {signed("nobody's"), "", verify.ErrSignature},
		"named":                  {signed(newSecret, "new"), "new", nil},
		"named wrongly":          {signed(newSecret, "old"), "", verify.ErrSignature},
		"unknown name":           {signed(newSecret, "else"), "new", nil},
		"empty name":             {signed(newSecret, ""), "new", nil},
		"two names":              {signed(newSecret, "old", "old"), "new", nil},
		"named one unusable":     {signed(newSecret, "broken"), "", verify.ErrNoKeys},
		"signed with nothing":    {signed(""), "", verify.ErrSignature},
		"not signed":             {verify.Request{Header: http.Header{}}, "", verify.ErrUnsigned},
		"named, with nothing":    {signed("", "broken"), "", verify.ErrNoKeys},
		"secret with a line end": {signed(newSecret + "\n"), "", verify.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := k.Verify(tt.request, time.Time{})
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Verify() = %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
	if diff := cmp.Diff([]string{"new", "old"}, k.Usable()); diff != "" {
		t.Error(diff)
	}
}

// problem is a Problem without its text.
type problem struct {
	Entry string
	Fatal bool
}

func TestKeys(t *testing.T) {
	text, b64, pub := plain, plain, plain
	b64.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingBase64, Prefix: "whsec_"}
	pub.Algorithm = v1alpha1.Ed25519
	pub.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingBase64, Prefix: "whpk_"}
	hexed, basic, curve := plain, plain, pub
	hexed.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingHex}
	basic.Algorithm, basic.Header = v1alpha1.BasicAuth, "Authorization"
	curve.Algorithm = v1alpha1.ECDSAP256SHA256
	key32 := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	fatal, warning := []problem{{"e", true}}, []problem{{"e", false}}
	for name, tt := range map[string]struct {
		sigs  []config.Signature
		value string
		want  []problem
	}{
		"good":                  {[]config.Signature{text}, oldSecret, nil},
		"line end":              {[]config.Signature{text}, oldSecret + "\n", nil},
		"DOS line end":          {[]config.Signature{text}, oldSecret + "\r\n", nil},
		"spaces":                {[]config.Signature{text}, " " + oldSecret, warning},
		"quotes":                {[]config.Signature{text}, `"` + oldSecret + `"`, warning},
		"empty":                 {[]config.Signature{text}, "", fatal},
		"line end only":         {[]config.Signature{text}, "\n", fatal},
		"DOS line end only":     {[]config.Signature{text}, "\r\n", fatal},
		"short":                 {[]config.Signature{text}, "fifteen letters", warning},
		"just long enough":      {[]config.Signature{text}, "sixteen letters!", nil},
		"base64":                {[]config.Signature{b64}, "whsec_" + key32, nil},
		"base64 unpadded":       {[]config.Signature{b64}, "whsec_" + strings.TrimRight(key32, "="), nil},
		"base64 bare":           {[]config.Signature{b64}, key32, nil},
		"not base64":            {[]config.Signature{b64}, "whsec_~~~~", fatal},
		"base64 of two lines":   {[]config.Signature{b64}, "whsec_" + key32[:20] + "\n" + key32[20:], fatal},
		"prefix only":           {[]config.Signature{b64}, "whsec_", fatal},
		"padding only":          {[]config.Signature{b64}, "whsec_==", fatal},
		"hex":                   {[]config.Signature{hexed}, strings.Repeat("aB", 16), nil},
		"not hex":               {[]config.Signature{hexed}, strings.Repeat("x", 32), fatal},
		"public key":            {[]config.Signature{pub}, "whpk_" + key32, nil},
		"short public key":      {[]config.Signature{pub}, "whpk_" + key32[:20], fatal},
		"no curve":              {[]config.Signature{curve}, key32, fatal},
		"user and password":     {[]config.Signature{basic}, "user:a long password", nil},
		"no password":           {[]config.Signature{basic}, "user with no password", fatal},
		"mixed, secret":         {[]config.Signature{b64, pub}, "whsec_" + key32, nil},
		"mixed, public key":     {[]config.Signature{b64, pub}, "whpk_" + key32, nil},
		"mixed, neither":        {[]config.Signature{b64, pub}, key32, fatal},
		"one of two can use it": {[]config.Signature{text, hexed}, oldSecret, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k, problems := newScheme(t, tt.sigs...).Keys([]verify.Entry{{Name: "e", Value: []byte(tt.value)}})
			var got []problem
			for _, p := range problems {
				got = append(got, problem{p.Entry, p.Fatal})
				if tt.value != "" && len(strings.TrimSpace(tt.value)) > 6 && strings.Contains(p.Text, strings.TrimSpace(tt.value)) {
					t.Error("the problem holds the secret")
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			isFatal := len(tt.want) > 0 && tt.want[0].Fatal
			if usable := len(k.Usable()) == 1; usable == isFatal {
				t.Errorf("usable = %v, fatal = %v", usable, isFatal)
			}
			if _, err := k.Verify(signed(oldSecret), time.Time{}); isFatal && !errors.Is(err, verify.ErrNoKeys) {
				t.Errorf("Verify() = %v, want ErrNoKeys", err)
			}
		})
	}
}

// TestPublicKeyAsSecret holds that what everybody knows signs nothing.
func TestPublicKeyAsSecret(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Name != "standard-webhooks-v1a" {
			continue
		}
		s := v.scheme(t)
		public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(v.Secret, "whpk_"))
		if err != nil {
			t.Fatal(err)
		}
		body := []byte("forged")
		mac := hmacBase64(public, append([]byte("msg_1.1700000000."), body...))
		h := http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {"1700000000"}, "Webhook-Signature": {"v1," + mac}}
		for _, entry := range []string{v.Secret, strings.TrimPrefix(v.Secret, "whpk_")} {
			k, _ := s.Keys([]verify.Entry{{Name: "e", Value: []byte(entry)}})
			if name, err := k.Verify(verify.Request{Header: h, Body: body}, v.now()); err == nil {
				t.Errorf("a request signed with the public key was accepted for %q", name)
			}
		}
	}
}

// A public key is no secret that receivers share: anybody may have it.
func TestShared(t *testing.T) {
	b64, public := plain, plain
	b64.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingBase64, Prefix: "whsec_"}
	public.Algorithm = v1alpha1.Ed25519
	public.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingBase64, Prefix: "whpk_"}
	text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	k, _ := newScheme(t, b64, public).Keys([]verify.Entry{
		{Name: "public", Value: []byte("whpk_" + text)}, {Name: "secret", Value: []byte("whsec_" + text)}, {Name: "broken", Value: []byte("whsec_")},
	})
	if diff := cmp.Diff([]string{"secret"}, k.Shared()); diff != "" {
		t.Error(diff)
	}
}

func TestManyEntries(t *testing.T) {
	var entries []verify.Entry
	for i := range 20 {
		entries = append(entries, verify.Entry{Name: fmt.Sprintf("e%02d", 19-i), Value: []byte(fmt.Sprintf("secret number %02d", 19-i))})
	}
	k, problems := newScheme(t, plain).Keys(entries)
	if len(k.Usable()) != 16 || len(problems) != 1 || !problems[0].Fatal {
		t.Errorf("%d usable, problems %v, want 16 and one problem", len(k.Usable()), problems)
	}
	if got, err := k.Verify(signed("secret number 15"), time.Time{}); got != "e15" || err != nil {
		t.Errorf("Verify() = %q, %v, want the last one used", got, err)
	}
	if _, err := k.Verify(signed("secret number 16"), time.Time{}); !errors.Is(err, verify.ErrSignature) {
		t.Errorf("Verify() = %v, want an error", err)
	}
	if entries[0].Name != "e19" {
		t.Error("the caller's list was changed")
	}
}

func TestNoEntries(t *testing.T) {
	k, problems := newScheme(t, plain).Keys(nil)
	if _, err := k.Verify(signed(oldSecret), time.Time{}); !errors.Is(err, verify.ErrNoKeys) || problems != nil {
		t.Errorf("Verify() = %v, problems %v, want ErrNoKeys", err, problems)
	}
}

func TestFingerprint(t *testing.T) {
	k, _ := newScheme(t, plain).Keys([]verify.Entry{
		{Name: "a", Value: []byte(oldSecret)}, {Name: "b", Value: []byte(oldSecret + "\n")}, {Name: "c", Value: []byte(newSecret)},
	})
	a, b, c := k.Fingerprint("a"), k.Fingerprint("b"), k.Fingerprint("c")
	if len(a) != 8 || a != b || a == c || k.Fingerprint("d") != "" {
		t.Errorf("fingerprints %q, %q, %q, %q", a, b, c, k.Fingerprint("d"))
	}
}

// TestKeysKeepNoReference holds that Keys does not change with its input.
func TestKeysKeepNoReference(t *testing.T) {
	value := []byte(oldSecret)
	k, _ := newScheme(t, plain).Keys([]verify.Entry{{Name: "a", Value: value}})
	clear(value)
	if _, err := k.Verify(signed(oldSecret), time.Time{}); err != nil {
		t.Errorf("Verify() = %v after the caller's bytes changed", err)
	}
}

func TestConcurrent(t *testing.T) {
	k, _ := newScheme(t, plain).Keys([]verify.Entry{{Name: "a", Value: []byte(oldSecret)}, {Name: "b", Value: []byte(newSecret)}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			secret, want := oldSecret, "a"
			if i%2 == 1 {
				secret, want = newSecret, "b"
			}
			for range 200 {
				if got, err := k.Verify(signed(secret), time.Time{}); got != want || err != nil {
					t.Errorf("Verify() = %q, %v, want %q", got, err, want)
				}
				if _, err := k.Verify(signed("else"), time.Time{}); !errors.Is(err, verify.ErrSignature) {
					t.Errorf("Verify() = %v, want ErrSignature", err)
				}
			}
		})
	}
	wg.Wait()
}

// TestAllocations holds the promise that the usual request costs no memory.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools")
	}
	k, _ := newScheme(t, plain).Keys([]verify.Entry{{Name: "a", Value: []byte(oldSecret)}, {Name: "b", Value: []byte(newSecret)}})
	r := signed(newSecret, "b")
	if n := testing.AllocsPerRun(200, func() { _, _ = k.Verify(r, time.Time{}) }); n >= 1 { // a pool may be emptied
		t.Errorf("Verify allocates %v times", n)
	}
}
