package verify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // providers sign with HMAC-SHA1, which SHA-1's collisions do not break
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// signatureSizes returns the length of an algorithm's signatures in bytes, 0 if it
// varies or there are none, and whether the algorithm is known.
func signatureSizes(a v1alpha1.Algorithm) (int, bool) {
	switch a {
	case v1alpha1.HMACSHA1:
		return sha1.Size, true
	case v1alpha1.HMACSHA256:
		return sha256.Size, true
	case v1alpha1.HMACSHA512:
		return sha512.Size, true
	case v1alpha1.Ed25519:
		return ed25519.SignatureSize, true
	case v1alpha1.ECDSAP256SHA256, v1alpha1.StaticToken, v1alpha1.BasicAuth:
		return 0, true
	}
	return 0, false
}

// isPublicKey reports whether the secret of an algorithm is no secret.
func isPublicKey(a v1alpha1.Algorithm) bool {
	return a == v1alpha1.Ed25519 || a == v1alpha1.ECDSAP256SHA256
}

// isCredential reports whether the header of an algorithm holds the secret itself.
func isCredential(a v1alpha1.Algorithm) bool {
	return a == v1alpha1.StaticToken || a == v1alpha1.BasicAuth
}

// key is one secret, made ready for one algorithm; exactly one field is set.
type key struct {
	mac        *macKey
	ed25519    ed25519.PublicKey
	ecdsa      *ecdsa.PublicKey
	credential *[sha256.Size]byte
}

func newKey(a v1alpha1.Algorithm, secret []byte) (*key, error) {
	switch a {
	case v1alpha1.HMACSHA1:
		return &key{mac: newMACKey(sha1.New, secret)}, nil
	case v1alpha1.HMACSHA256:
		return &key{mac: newMACKey(sha256.New, secret)}, nil
	case v1alpha1.HMACSHA512:
		return &key{mac: newMACKey(sha512.New, secret)}, nil
	case v1alpha1.Ed25519:
		if len(secret) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("an Ed25519 public key has %d bytes, this has %d", ed25519.PublicKeySize, len(secret))
		}
		return &key{ed25519: secret}, nil
	case v1alpha1.ECDSAP256SHA256:
		return newECDSAKey(secret)
	case v1alpha1.StaticToken, v1alpha1.BasicAuth:
		sum := sha256.Sum256(secret)
		return &key{credential: &sum}, nil
	}
	return nil, fmt.Errorf("algorithm %q is not known", a)
}

func newECDSAKey(der []byte) (*key, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("it is not a public key in DER (SubjectPublicKeyInfo)")
	}
	pub, isECDSA := parsed.(*ecdsa.PublicKey)
	if !isECDSA || pub.Curve != elliptic.P256() {
		return nil, errors.New("it is not a public key on the curve P-256")
	}
	return &key{ecdsa: pub}, nil
}

// signed reports whether one of the claim's signatures was made with the key.
func (k *key) signed(s *signature, c *claim) bool {
	switch {
	case k.mac != nil:
		return k.mac.signed(s, c)
	case k.ed25519 != nil:
		message := s.content.bytes(c)
		for i := range c.signatures.count {
			if ed25519.Verify(k.ed25519, message, c.signatures.clone(i)) {
				return true
			}
		}
	case k.ecdsa != nil:
		sum := sha256.Sum256(s.content.bytes(c))
		for i := range c.signatures.count {
			if ecdsa.VerifyASN1(k.ecdsa, sum[:], c.signatures.clone(i)) {
				return true
			}
		}
	}
	return false
}

// equals reports whether text is the secret. Neither the time it takes nor the
// answer tells by how much they differ, their lengths included.
func (k *key) equals(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return k.credential != nil && subtle.ConstantTimeCompare(sum[:], k.credential[:]) == 1
}

// macKey is a secret of HMAC. It lends out hashes that have the secret worked in,
// which costs half of the time of a short message.
type macKey struct{ pool sync.Pool }

// macState is what one computation needs.
type macState struct {
	hash   hash.Hash
	sum    [sha512.Size]byte
	buffer [256]byte
}

func newMACKey(newHash func() hash.Hash, secret []byte) *macKey {
	return &macKey{pool: sync.Pool{New: func() any {
		return &macState{hash: hmac.New(newHash, secret)}
	}}}
}

func (k *macKey) signed(s *signature, c *claim) bool {
	m := k.pool.Get().(*macState) // New makes nothing else
	defer k.pool.Put(m)
	m.hash.Reset()
	s.content.write(m.hash, c, m.buffer[:])
	sum := m.hash.Sum(m.sum[:0])
	matched := false
	for i := range c.signatures.count {
		if hmac.Equal(sum, c.signatures.at(i)) {
			matched = true
		}
	}
	return matched
}
