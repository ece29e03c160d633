package verify

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // a provider may ask for HMAC-SHA1, which SHA-1's collisions do not break
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// newHash returns what makes the hashes of an HMAC algorithm.
func newHash(a v1alpha1.Algorithm) (func() hash.Hash, error) {
	switch a {
	case v1alpha1.HMACSHA1:
		return sha1.New, nil
	case v1alpha1.HMACSHA256:
		return sha256.New, nil
	case v1alpha1.HMACSHA512:
		return sha512.New, nil
	}
	return nil, fmt.Errorf("algorithm %q is no HMAC", a)
}

// MAC signs a message as the endpoint does towards its provider: with the first
// usable entry by name that nobody but the two knows, decoded as the first
// signature says that takes it. The error is ErrNoKeys if there is none.
//
// Whoever can have a message of their own choosing signed can forge requests: the
// caller must see to it that no message is one that a provider signs.
func (k *Keys) MAC(a v1alpha1.Algorithm, message []byte) ([]byte, error) {
	h, err := newHash(a)
	if err != nil {
		return nil, err
	}
	for _, e := range k.entries {
		if e.shared == nil {
			continue
		}
		mac := hmac.New(h, e.shared)
		_, _ = mac.Write(message) // a hash takes everything
		return mac.Sum(nil), nil
	}
	return nil, ErrNoKeys
}
