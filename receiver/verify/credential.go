package verify

import (
	"encoding/base64"
	"strings"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// maxCredential bounds a token or password, in bytes of the header.
const maxCredential = 8 << 10

// verifyCredential checks a header that holds the secret itself.
func (k *Keys) verifyCredential(i int, sig *signature, value string, r *Request) (string, error) {
	text, ok := sig.credential(value)
	if !ok {
		return "", ErrSignature
	}
	named, only := k.named(sig, r)
	if only && named == nil {
		return "", ErrNoKeys
	}
	for _, e := range k.entries {
		if only && e != named || e.keys[i] == nil {
			continue
		}
		if e.keys[i].equals(text) {
			return e.name, nil
		}
	}
	return "", ErrSignature
}

// credential returns the secret that a header's value holds.
func (s *signature) credential(value string) (string, bool) {
	switch {
	case len(value) > maxCredential:
		return "", false
	case s.algorithm == v1alpha1.BasicAuth:
		return basic(value)
	case s.format.kind == formatPrefix:
		return strings.CutPrefix(value, s.format.prefix)
	}
	return value, true
}

// basic returns the user:password of an Authorization header (RFC 7617).
func basic(value string) (string, bool) {
	scheme, encoded, found := strings.Cut(value, " ")
	if !found || !strings.EqualFold(scheme, "Basic") || strings.ContainsAny(encoded, "\r\n") {
		return "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return string(text), err == nil
}
