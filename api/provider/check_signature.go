package provider

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const (
	maxSignatures = 4
	maxTolerance  = 24 * time.Hour
)

// placeholderShape is anything in braces that holds no braces itself.
var placeholderShape = regexp.MustCompile(`\{[^{}]*\}`)

func (c *checker) signatures(path string, sigs []v1alpha1.Signature) {
	c.size(path, len(sigs), 1, maxSignatures)
	for i := range sigs {
		c.signature(fmt.Sprintf("%s[%d]", path, i), &sigs[i])
	}
	c.mixed(path, sigs)
}

// mixed refuses a profile in which a public key could be taken for a shared
// secret: whoever knows the public key could then sign.
func (c *checker) mixed(path string, sigs []v1alpha1.Signature) {
	public, shared := map[string]bool{}, map[string]bool{}
	for _, s := range sigs {
		if isPublicKey(s.Algorithm) {
			public[s.Secret.Prefix] = true
		} else {
			shared[s.Secret.Prefix] = true
		}
	}
	if len(public) == 0 || len(shared) == 0 {
		return
	}
	for prefix := range public {
		if prefix == "" || shared[prefix] || shared[""] {
			c.addf(path, "public keys and shared secrets are both in use; give each its own secret.prefix, or a public key could be taken for a shared secret")
			return
		}
	}
}

func (c *checker) signature(path string, s *v1alpha1.Signature) {
	known := oneOf(c, path+".algorithm", s.Algorithm, v1alpha1.HMACSHA1, v1alpha1.HMACSHA256, v1alpha1.HMACSHA512,
		v1alpha1.Ed25519, v1alpha1.ECDSAP256SHA256, v1alpha1.StaticToken, v1alpha1.BasicAuth)
	c.header(path+".header", s.Header)
	oneOf(c, path+".signedBody", s.SignedBody, v1alpha1.SignedBodyWire, v1alpha1.SignedBodyInflated)
	if s.IDHeader != "" {
		c.header(path+".idHeader", s.IDHeader)
	}
	if s.EntryHeader != "" {
		c.header(path+".entryHeader", s.EntryHeader)
	}
	switch {
	case !known:
	case isCredential(s.Algorithm):
		c.credential(path, s)
	default:
		c.overBytes(path, s)
	}
	c.secret(path+".secret", s)
}

// credential checks a signature that is a secret sent as it is.
func (c *checker) credential(path string, s *v1alpha1.Signature) {
	if s.Content != "" || s.SignedAt != nil {
		c.addf(path, "%s signs nothing; leave out content and signedAt", s.Algorithm)
	}
	if s.Encoding != v1alpha1.EncodingText {
		c.addf(path+".encoding", "%s is compared as text; leave encoding out", s.Algorithm)
	}
	if s.Algorithm == v1alpha1.BasicAuth {
		if !strings.EqualFold(string(s.Header), "Authorization") {
			c.addf(path+".header", "basic authentication uses the Authorization header; set header to Authorization")
		}
		if s.Format != nil {
			c.addf(path+".format", "basic authentication has a form of its own; leave format out")
		}
		return
	}
	c.format(path+".format", s.Format)
	if f := s.Format; f != nil && (f.KeyValues != nil || f.Versions != nil) {
		c.addf(path+".format", "a token has no list form; use prefix or leave format out")
	}
}

// overBytes checks a signature over bytes of the request.
func (c *checker) overBytes(path string, s *v1alpha1.Signature) {
	oneOf(c, path+".encoding", s.Encoding, v1alpha1.EncodingHex, v1alpha1.EncodingBase64)
	c.format(path+".format", s.Format)
	c.content(path+".content", s)
	c.signedAt(path+".signedAt", s)
}

func (c *checker) format(path string, f *v1alpha1.SignatureFormat) {
	if f == nil {
		return
	}
	c.exactlyOne(path, "prefix, keyValues, versions", f.Prefix != "", f.KeyValues != nil, f.Versions != nil)
	if kv := f.KeyValues; kv != nil && (kv.Key == "" || kv.Separator == "" || strings.Contains(kv.Key, "=") ||
		strings.Contains(kv.Key, kv.Separator) || strings.Contains(kv.Separator, "=")) {
		c.addf(path+".keyValues", "needs a key and a separator, neither with a '=' in it, and no separator within the key")
	}
	if v := f.Versions; v != nil && (v.Version == "" || v.Separator == "" || v.VersionSeparator == "" ||
		v.Separator == v.VersionSeparator || strings.Contains(v.Version, v.Separator) || strings.Contains(v.Version, v.VersionSeparator)) {
		c.addf(path+".versions", "needs a version and two different separators, neither of which stands in the version")
	}
}

// content checks the template of the signed bytes.
func (c *checker) content(path string, s *v1alpha1.Signature) {
	if len(s.Content) > maxText {
		c.addf(path, "must have at most %d characters", maxText)
	}
	rest := placeholderShape.ReplaceAllString(s.Content, "")
	if strings.ContainsAny(rest, "{}") {
		c.addf(path, "has a brace without its partner; braces stand around placeholders only")
	}
	found := placeholderShape.FindAllString(s.Content, -1)
	for _, f := range found {
		c.placeholder(path, f)
	}
	if !slices.Contains(found, "{body}") {
		c.addf(path, "must hold {body}: a signature that does not cover the body proves nothing about it")
	}
	if slices.Contains(found, "{id}") && s.IDHeader == "" {
		c.addf(path, "holds {id}; name the header that carries it with idHeader")
	}
	if slices.Contains(found, "{timestamp}") && s.SignedAt == nil {
		c.addf(path, "holds {timestamp}; say with signedAt where it is found")
	}
}

func (c *checker) placeholder(path, text string) {
	switch text {
	case "{body}", "{timestamp}", "{id}", "{method}", "{url}":
		return
	}
	name, isHeader := strings.CutPrefix(strings.Trim(text, "{}"), "header:")
	if !isHeader || !headerShape.MatchString(name) {
		c.addf(path, "has the unknown placeholder %s; there are {body}, {timestamp}, {id}, {method}, {url} and {header:NAME}", text)
	}
}

func (c *checker) signedAt(path string, s *v1alpha1.Signature) {
	at := s.SignedAt
	if at == nil {
		return
	}
	c.exactlyOne(path, "header, key, jsonPath", at.Header != "", at.Key != "", at.JSONPath != "")
	if at.Header != "" {
		c.header(path+".header", at.Header)
	}
	if at.JSONPath != "" {
		c.jsonPath(path+".jsonPath", at.JSONPath)
	}
	if at.Key != "" {
		c.timeKey(path+".key", s)
	}
	if at.JSONPath == "" && !strings.Contains(s.Content, "{timestamp}") {
		c.addf(path, "content must hold {timestamp}, or signedAt must have a jsonPath into the signed body: a tolerance on an unsigned timestamp stops nobody")
	}
	oneOf(c, path+".unit", at.Unit, v1alpha1.UnitSeconds, v1alpha1.UnitMilliseconds)
	c.duration(path+".past", at.Past, time.Second, maxTolerance)
	c.duration(path+".future", at.Future, 0, maxTolerance)
}

// timeKey checks the key of a timestamp in the signature header.
func (c *checker) timeKey(path string, s *v1alpha1.Signature) {
	switch {
	case s.Format == nil || s.Format.KeyValues == nil:
		c.addf(path, "needs a signature header of format keyValues, where the pair stands; use header or jsonPath otherwise")
	case s.Format.KeyValues.Key == s.SignedAt.Key:
		c.addf(path, "is the key of the signatures too; name the timestamp's own")
	}
}

func (c *checker) secret(path string, s *v1alpha1.Signature) {
	if !oneOf(c, path+".encoding", s.Secret.Encoding, v1alpha1.EncodingText, v1alpha1.EncodingHex, v1alpha1.EncodingBase64) {
		return
	}
	text := s.Secret.Encoding == v1alpha1.EncodingText
	switch {
	case isPublicKey(s.Algorithm) && text:
		c.addf(path+".encoding", "a public key is bytes; set encoding to hex or base64")
	case s.Algorithm == v1alpha1.BasicAuth && !text:
		c.addf(path+".encoding", "basic authentication has a secret of the form user:password; leave encoding out")
	}
}

// isPublicKey reports whether the secret of an algorithm is no secret.
func isPublicKey(a v1alpha1.Algorithm) bool {
	return a == v1alpha1.Ed25519 || a == v1alpha1.ECDSAP256SHA256
}

// isCredential reports whether the header of an algorithm holds the secret itself.
func isCredential(a v1alpha1.Algorithm) bool {
	return a == v1alpha1.StaticToken || a == v1alpha1.BasicAuth
}
