package play

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // providers sign with HMAC-SHA1, which SHA-1's collisions do not break
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// signer signs with one secret in one of a profile's ways.
type signer struct {
	*v1alpha1.Signature
	secret  []byte        // decoded
	private crypto.Signer // instead, for public-key algorithms
}

// Errors of New about the secret. None shows it.
var (
	errEmptySecret = errors.New("the secret is empty")
	errNoPEM       = errors.New("it signs with a private key; give that as PEM (-----BEGIN PRIVATE KEY-----)")
	errPEM         = errors.New("the private key cannot be read; give an Ed25519 or P-256 key as PEM (PKCS #8)")
)

func newSigner(p *v1alpha1.WebhookProvider, secret []byte, forge bool) (*signer, error) {
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	if len(secret) == 0 {
		return nil, errEmptySecret
	}
	s, err := read(p.Spec.Signatures, secret)
	if err != nil || !forge {
		return s, err
	}
	return s.forged()
}

// read finds the way of signing that a secret is for.
func read(ways []v1alpha1.Signature, secret []byte) (*signer, error) {
	if block, _ := pem.Decode(secret); block != nil {
		return readPrivate(ways, block.Bytes)
	}
	var way *v1alpha1.Signature
	for i := range ways {
		w := &ways[i]
		if w.Algorithm == v1alpha1.Ed25519 || w.Algorithm == v1alpha1.ECDSAP256SHA256 {
			continue
		}
		if way == nil || (w.Secret != nil && w.Secret.Prefix != "" && bytes.HasPrefix(secret, []byte(w.Secret.Prefix))) {
			way = w
		}
	}
	if way == nil {
		return nil, errNoPEM
	}
	decoded, err := decode(format(way), secret)
	if err != nil {
		return nil, err
	}
	if way.Algorithm == v1alpha1.BasicAuth && !bytes.Contains(decoded, []byte(":")) {
		return nil, errors.New("the secret must be written user:password")
	}
	return &signer{Signature: way, secret: decoded}, nil
}

func readPrivate(ways []v1alpha1.Signature, der []byte) (*signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errPEM
	}
	var algorithm v1alpha1.Algorithm
	switch k := parsed.(type) {
	case ed25519.PrivateKey:
		algorithm = v1alpha1.Ed25519
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			algorithm = v1alpha1.ECDSAP256SHA256
		}
	}
	for i := range ways {
		if private, ok := parsed.(crypto.Signer); ok && ways[i].Algorithm == algorithm {
			return &signer{Signature: &ways[i], private: private}, nil
		}
	}
	return nil, errPEM
}

// format says how a signature's secret is written.
func format(s *v1alpha1.Signature) v1alpha1.SecretFormat {
	if s.Secret == nil {
		return v1alpha1.SecretFormat{}
	}
	return *s.Secret
}

func decode(f v1alpha1.SecretFormat, secret []byte) ([]byte, error) {
	text := string(bytes.TrimPrefix(secret, []byte(f.Prefix)))
	var decoded []byte
	var err error
	switch f.Encoding {
	case v1alpha1.EncodingHex:
		decoded, err = hex.DecodeString(text)
	case v1alpha1.EncodingBase64:
		decoded, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	default:
		decoded = []byte(text)
	}
	if err != nil { // the cause would show a part of the secret
		return nil, fmt.Errorf("the secret is not %s, as this provider's are", f.Encoding)
	}
	if len(decoded) == 0 {
		return nil, errEmptySecret
	}
	return decoded, nil
}

// forged returns a signer like s that lacks the secret.
func (s *signer) forged() (*signer, error) {
	f := &signer{Signature: s.Signature}
	var err error
	switch s.Algorithm {
	case v1alpha1.Ed25519:
		_, f.private, err = ed25519.GenerateKey(rand.Reader)
	case v1alpha1.ECDSAP256SHA256:
		f.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		sum := sha256.Sum256(s.secret)
		f.secret = []byte("forged:" + hex.EncodeToString(sum[:16]))
	}
	if err != nil {
		return nil, fmt.Errorf("making a wrong key: %w", err)
	}
	return f, nil
}

func (s *signer) signsURL() bool { return strings.Contains(s.Content, "{url}") }

// timestamp returns the time of signing as this provider writes it, or nothing.
func (s *signer) timestamp(now time.Time) string {
	switch {
	case s.SignedAt == nil:
		return ""
	case s.SignedAt.Unit == v1alpha1.UnitMilliseconds:
		return strconv.FormatInt(now.UnixMilli(), 10)
	}
	return strconv.FormatInt(now.Unix(), 10)
}

// sign returns the value of the signature header, and sets that of the time.
func (s *signer) sign(r *Request, stamp, url string) (string, error) {
	if s.SignedAt != nil && s.SignedAt.Header != "" {
		r.Header.Set(string(s.SignedAt.Header), stamp)
	}
	switch s.Algorithm {
	case v1alpha1.BasicAuth:
		return "Basic " + base64.StdEncoding.EncodeToString(s.secret), nil
	case v1alpha1.StaticToken:
		return s.frame(string(s.secret), stamp), nil
	}
	raw, err := s.raw(s.content(r, stamp, url))
	if err != nil {
		return "", err
	}
	text := hex.EncodeToString(raw)
	if s.Encoding == v1alpha1.EncodingBase64 {
		text = base64.StdEncoding.EncodeToString(raw)
	}
	return s.frame(text, stamp), nil
}

// frame puts a signature into the form of its header.
func (s *signer) frame(text, stamp string) string {
	f := s.Format
	switch {
	case f == nil:
		return text
	case f.KeyValues != nil:
		pair := f.KeyValues.Key + "=" + text
		if s.SignedAt != nil && s.SignedAt.Key != "" {
			return s.SignedAt.Key + "=" + stamp + f.KeyValues.Separator + pair
		}
		return pair
	case f.Versions != nil:
		return f.Versions.Version + f.Versions.VersionSeparator + text
	}
	return f.Prefix + text
}

// raw signs bytes.
func (s *signer) raw(content []byte) ([]byte, error) {
	var newHash func() hash.Hash
	switch s.Algorithm {
	case v1alpha1.HMACSHA1:
		newHash = sha1.New
	case v1alpha1.HMACSHA256:
		newHash = sha256.New
	case v1alpha1.HMACSHA512:
		newHash = sha512.New
	case v1alpha1.Ed25519:
		return s.private.Sign(rand.Reader, content, crypto.Hash(0))
	case v1alpha1.ECDSAP256SHA256:
		sum := sha256.Sum256(content)
		return s.private.Sign(rand.Reader, sum[:], crypto.SHA256)
	default:
		return nil, fmt.Errorf("algorithm %q cannot be played", s.Algorithm)
	}
	mac := hmac.New(newHash, s.secret)
	_, _ = mac.Write(content) // a hash takes everything
	return mac.Sum(nil), nil
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// content fills in the template of the signed bytes.
func (s *signer) content(r *Request, stamp, url string) []byte {
	return placeholder.ReplaceAllFunc([]byte(s.Content), func(p []byte) []byte {
		switch name := string(p[1 : len(p)-1]); name {
		case "body":
			return r.Signed
		case "timestamp":
			return []byte(stamp)
		case "id":
			return []byte(r.Header.Get(string(s.IDHeader)))
		case "method":
			return []byte(r.Method)
		case "url":
			return []byte(url)
		default:
			return []byte(r.Header.Get(strings.TrimPrefix(name, "header:")))
		}
	})
}
