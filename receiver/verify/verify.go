package verify

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Errors of Verify.
var (
	// ErrNoKeys means that no secret could be tried: there is none that is usable,
	// or the request names an entry that is not. It is trouble of ours, not of the
	// request.
	ErrNoKeys = errors.New("no usable signing secret")
	// ErrSignature means that the signature is missing, empty, repeated, malformed
	// or wrong, or that something else that is signed is missing or repeated.
	ErrSignature = errors.New("signature is missing or wrong")
	// ErrTimestamp means that the request was signed with one of the secrets, but
	// too long ago or too far ahead of now: it was captured and sent again, or a
	// clock is wrong. It wraps ErrSignature, so errors.Is(err, ErrSignature) holds
	// too.
	ErrTimestamp = fmt.Errorf("%w: it was made too long ago or too far ahead", ErrSignature)
	// ErrUnsigned means that the request has none of the headers in which signatures
	// are: they are missing, empty or repeated. It wraps ErrSignature too.
	ErrUnsigned = fmt.Errorf("%w: no header holds one", ErrSignature)
)

// Request is what Verify looks at. Nothing of it is changed or kept.
type Request struct {
	// Method is the request's HTTP method.
	Method string
	// Header has canonical keys, as net/http makes them.
	Header http.Header
	// Body is the bytes that are signed: those of the wire, or the inflated ones if
	// the scheme's SignsInflated says so.
	Body []byte
}

// Scheme is how an endpoint's provider signs, compiled. It does not change and
// may be used by many goroutines at once.
type Scheme struct {
	signatures []*signature
	// strict means that shared secrets and public keys are both in use, so that an
	// entry must say by its prefix which of them it is.
	strict bool
}

// signature is one way in which a request may be signed.
type signature struct {
	algorithm   v1alpha1.Algorithm
	header      string // canonical
	format      format
	encoding    v1alpha1.Encoding
	size        int // of a decoded signature; 0: it varies, up to maxSignature
	content     content
	idHeader    string // canonical; empty: no id is signed
	time        *signingTime
	entryHeader string // canonical; empty: no header names an entry
	secret      v1alpha1.SecretFormat
	inflated    bool
}

// New compiles signatures. url is the endpoint's public URL, empty if it has
// none; a signature over {url} is an error then.
func New(sigs []config.Signature, url string) (*Scheme, error) {
	if len(sigs) == 0 {
		return nil, errors.New("compiling signatures: there are none")
	}
	s := &Scheme{}
	for i := range sigs {
		sig, err := compile(&sigs[i], url)
		if err != nil {
			return nil, fmt.Errorf("compiling signature %d: %w", i, err)
		}
		s.signatures = append(s.signatures, sig)
	}
	if err := s.separate(); err != nil {
		return nil, fmt.Errorf("compiling signatures: %w", err)
	}
	return s, nil
}

// SignsInflated reports whether the inflated body is what is signed, by any of
// the signatures.
func (s *Scheme) SignsInflated() bool {
	for _, sig := range s.signatures {
		if sig.inflated {
			return true
		}
	}
	return false
}

// separate makes sure that a public key is never taken for a shared secret:
// everybody who knows the public key could sign with it.
func (s *Scheme) separate() error {
	public, shared := map[string]bool{}, map[string]bool{}
	for _, sig := range s.signatures {
		if isPublicKey(sig.algorithm) {
			public[sig.secret.Prefix] = true
		} else {
			shared[sig.secret.Prefix] = true
		}
	}
	if len(public) == 0 || len(shared) == 0 {
		return nil
	}
	for prefix := range public {
		if prefix == "" || shared[prefix] || shared[""] {
			return errors.New("public keys and shared secrets need a secret.prefix each, not the same one")
		}
	}
	s.strict = true
	return nil
}

func compile(c *config.Signature, url string) (*signature, error) {
	s := &signature{
		algorithm:   c.Algorithm,
		header:      canonical(c.Header),
		encoding:    c.Encoding,
		idHeader:    canonical(c.IDHeader),
		entryHeader: canonical(c.EntryHeader),
		inflated:    c.SignedBody == v1alpha1.SignedBodyInflated,
	}
	if c.Secret != nil {
		s.secret = *c.Secret
	}
	if s.header == "" {
		return nil, errors.New("header is empty")
	}
	size, known := signatureSizes(c.Algorithm)
	if !known {
		return nil, fmt.Errorf("algorithm %q is not known", c.Algorithm)
	}
	s.size = size
	var err error
	if s.format, err = compileFormat(c.Format); err != nil {
		return nil, err
	}
	if isCredential(c.Algorithm) {
		if s.format.kind != formatPlain && s.format.kind != formatPrefix {
			return nil, errors.New("a token or password has no list form")
		}
		return s, nil
	}
	return s, s.compileContent(c, url)
}

// compileContent compiles what only signatures over bytes have.
func (s *signature) compileContent(c *config.Signature, url string) error {
	if c.Encoding != v1alpha1.EncodingHex && c.Encoding != v1alpha1.EncodingBase64 {
		return fmt.Errorf("encoding %q of a signature is neither hex nor base64", c.Encoding)
	}
	var err error
	if s.content, err = compileTemplate(c.Content, url); err != nil {
		return fmt.Errorf("compiling content: %w", err)
	}
	if c.SignedAt != nil {
		if s.time, err = compileTime(c.SignedAt); err != nil {
			return fmt.Errorf("compiling signedAt: %w", err)
		}
	}
	switch {
	case s.content.has(pieceID) && s.idHeader == "":
		return errors.New("content holds {id}, and idHeader is empty")
	case s.content.has(pieceTimestamp) && s.time == nil:
		return errors.New("content holds {timestamp}, and signedAt is missing")
	case s.time != nil && s.time.path == "" && !s.content.has(pieceTimestamp):
		return errors.New("signedAt tells a time that is not signed")
	case s.time != nil && s.time.key != "" && s.format.kind != formatKeyValues:
		return errors.New("signedAt.key needs a header of format keyValues")
	}
	return nil
}

func canonical(name v1alpha1.HeaderName) string {
	return http.CanonicalHeaderKey(string(name))
}

// Verify returns the name of the entry whose secret signed the request. With
// several entries or signatures, one that matches is enough. now is the time that
// a time of signing is compared with.
//
// The error is ErrNoKeys, ErrSignature, ErrTimestamp, ErrUnsigned, or wraps one of
// them.
func (k *Keys) Verify(r Request, now time.Time) (entry string, err error) {
	if len(k.entries) == 0 {
		return "", ErrNoKeys
	}
	worst := ErrUnsigned
	for i, sig := range k.scheme.signatures {
		name, err := k.verify(i, sig, &r, now)
		if err == nil {
			return name, nil
		}
		worst = graver(worst, err)
	}
	return "", worst
}

// graver returns the error that says more: trouble of ours before a wrong time,
// that before a wrong signature, and that before none at all.
func graver(a, b error) error {
	for _, e := range []error{ErrNoKeys, ErrTimestamp} {
		if errors.Is(a, e) {
			return a
		}
		if errors.Is(b, e) {
			return b
		}
	}
	if errors.Is(a, ErrUnsigned) {
		return b
	}
	return a
}

// verify checks the request against signature i of the scheme.
func (k *Keys) verify(i int, sig *signature, r *Request, now time.Time) (string, error) {
	value, found := single(r.Header, sig.header)
	if !found {
		return "", ErrUnsigned
	}
	if isCredential(sig.algorithm) {
		return k.verifyCredential(i, sig, value, r)
	}
	var c claim
	if !sig.claim(&c, value, r) {
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
		if !e.keys[i].signed(sig, &c) {
			continue
		}
		if err := sig.checkTime(&c, now); err != nil {
			return "", err
		}
		return e.name, nil
	}
	return "", ErrSignature
}

// single returns the only value of a header; one that is missing, empty or
// repeated is not found.
func single(h http.Header, name string) (string, bool) {
	values := h[name]
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}
