package verify_test

import (
	"encoding/hex"
	"errors"
	"testing"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// The wanted values are those of
//
//	printf %s qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -mac HMAC -macopt key:"the old secret, still in use" -hex
func TestMAC(t *testing.T) {
	inHex := plain
	inHex.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingHex}
	public := config.Signature{Algorithm: v1alpha1.Ed25519, Header: "X-Signature", Encoding: v1alpha1.EncodingHex,
		Content: "{body}", Secret: &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingHex}}
	token := config.Signature{Algorithm: v1alpha1.StaticToken, Header: "X-Token", Secret: &v1alpha1.SecretFormat{}}
	for name, tt := range map[string]struct {
		signature config.Signature
		algorithm v1alpha1.Algorithm
		entries   map[string]string
		want      string
		err       error
	}{
		"one entry":       {plain, v1alpha1.HMACSHA256, map[string]string{"a": oldSecret}, "ded5ff5949af46f62f24fc4c8c25daa5fa5c739b4e895ecde13f86e7b2e41da3", nil},
		"line end":        {plain, v1alpha1.HMACSHA256, map[string]string{"a": oldSecret + "\n"}, "ded5ff5949af46f62f24fc4c8c25daa5fa5c739b4e895ecde13f86e7b2e41da3", nil},
		"first by name":   {plain, v1alpha1.HMACSHA256, map[string]string{"b": newSecret, "a": oldSecret}, "ded5ff5949af46f62f24fc4c8c25daa5fa5c739b4e895ecde13f86e7b2e41da3", nil},
		"first is broken": {plain, v1alpha1.HMACSHA256, map[string]string{"b": oldSecret, "a": "\n"}, "ded5ff5949af46f62f24fc4c8c25daa5fa5c739b4e895ecde13f86e7b2e41da3", nil},
		"other algorithm": {plain, v1alpha1.HMACSHA1, map[string]string{"a": oldSecret}, "bb9c32697328c883a0be772928d7a4eb06492669", nil},
		"longest":         {plain, v1alpha1.HMACSHA512, map[string]string{"a": oldSecret}, "23ac40c8c1efcd50f5e0d1e3a4cc2261815258d14af2779278441a3e28707e8ef56028ad89c0a81720db673c83fac701bcfce171c0b2599848d2fd7138c97a67", nil},
		"decoded":         {inHex, v1alpha1.HMACSHA256, map[string]string{"a": hex.EncodeToString([]byte(oldSecret))}, "ded5ff5949af46f62f24fc4c8c25daa5fa5c739b4e895ecde13f86e7b2e41da3", nil},
		"token":           {token, v1alpha1.HMACSHA256, map[string]string{"a": oldSecret}, "ded5ff5949af46f62f24fc4c8c25daa5fa5c739b4e895ecde13f86e7b2e41da3", nil},
		"public key":      {public, v1alpha1.HMACSHA256, map[string]string{"a": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}, "", verify.ErrNoKeys},
		"no entry":        {plain, v1alpha1.HMACSHA256, nil, "", verify.ErrNoKeys},
	} {
		t.Run(name, func(t *testing.T) {
			var entries []verify.Entry
			for n, v := range tt.entries {
				entries = append(entries, verify.Entry{Name: n, Value: []byte(v)})
			}
			k, _ := newScheme(t, tt.signature).Keys(entries)
			got, err := k.MAC(tt.algorithm, []byte("qgg8vlvZRS6UYooatFL8Aw"))
			if hex.EncodeToString(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("MAC() = %x, %v, want %s, %v", got, err, tt.want, tt.err)
			}
		})
	}
	k, _ := newScheme(t, plain).Keys([]verify.Entry{{Name: "a", Value: []byte(oldSecret)}})
	if _, err := k.MAC(v1alpha1.StaticToken, nil); err == nil {
		t.Error("MAC() takes an algorithm that is no HMAC")
	}
}
