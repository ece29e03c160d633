package verify

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const (
	// maxEntries bounds how many secrets are tried.
	maxEntries = 16
	// shortSecret is the length in bytes under which a shared secret is warned of.
	shortSecret = 16
	// fingerprintLength is that of a fingerprint, in hex digits.
	fingerprintLength = 8
)

// Entry is one entry of the Secret that holds the signing secrets, as it was read
// from its file.
type Entry struct {
	Name  string
	Value []byte
}

// Problem is something wrong with an entry. Its text never holds the secret.
type Problem struct {
	// Entry is the entry's name; empty if the problem is of all of them.
	Entry string
	// Fatal means that there is an entry that cannot be used; else it is a warning.
	Fatal bool
	// Text says what is wrong.
	Text string
}

// Keys are an endpoint's signing secrets, made ready. They do not change and may
// be used by many goroutines at once.
type Keys struct {
	scheme  *Scheme
	entries []*entry // the usable ones, by name
	broken  []string // the names of the others
}

// entry is a usable secret.
type entry struct {
	name        string
	fingerprint string
	keys        []*key // one for each signature of the scheme; nil: not for that one
	shared      []byte // the decoded secret; nil if it is a public key
}

// Keys makes secrets ready. What is wrong with some is returned beside; the others
// are usable all the same. At most 16 entries are taken, the first ones by name.
//
// One line end behind a secret is dropped, as editors and tools leave it there. A
// secret with the secret.prefix of a signature is for signatures with that prefix
// only; another is for all, unless public keys and shared secrets are both in use:
// then it is refused.
func (s *Scheme) Keys(entries []Entry) (*Keys, []Problem) {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	var problems []Problem
	if n := len(entries); n > maxEntries {
		problems = append(problems, Problem{Fatal: true,
			Text: fmt.Sprintf("there are %d entries; only the first %d by name are used", n, maxEntries)})
		entries = entries[:maxEntries]
	}
	k := &Keys{scheme: s}
	for _, in := range entries {
		e, warning, err := s.entry(in)
		if err != nil {
			k.broken = append(k.broken, in.Name)
			problems = append(problems, Problem{Entry: in.Name, Fatal: true, Text: err.Error()})
			continue
		}
		k.entries = append(k.entries, e)
		if warning != "" {
			problems = append(problems, Problem{Entry: in.Name, Text: warning})
		}
	}
	return k, problems
}

// Usable returns the names of the entries that can be used, sorted.
func (k *Keys) Usable() []string {
	names := make([]string, 0, len(k.entries))
	for _, e := range k.entries {
		names = append(names, e.name)
	}
	return names
}

// Shared returns the names of the usable entries that nobody knows but the
// provider and us, sorted: those that are public keys are left out.
func (k *Keys) Shared() []string {
	var names []string
	for _, e := range k.entries {
		if !k.public(e) {
			names = append(names, e.name)
		}
	}
	return names
}

// public reports whether an entry is a public key for some signature.
func (k *Keys) public(e *entry) bool {
	for i, one := range e.keys {
		if one != nil && isPublicKey(k.scheme.signatures[i].algorithm) {
			return true
		}
	}
	return false
}

// Fingerprint returns a short text by which two people can tell whether they mean
// the same secret, and from which the secret cannot be had; empty if the entry is
// not usable. It changes with the secret.
func (k *Keys) Fingerprint(entry string) string {
	for _, e := range k.entries {
		if e.name == entry {
			return e.fingerprint
		}
	}
	return ""
}

// named returns the entry that the request names, if the scheme has a header for
// that and it equals an entry's name. Nil with true means that this entry is not
// usable.
func (k *Keys) named(s *signature, r *Request) (*entry, bool) {
	if s.entryHeader == "" {
		return nil, false
	}
	name, found := single(r.Header, s.entryHeader)
	if !found {
		return nil, false
	}
	for _, e := range k.entries {
		if e.name == name {
			return e, true
		}
	}
	return nil, slices.Contains(k.broken, name)
}

// entry makes one secret ready for the signatures that it is for.
func (s *Scheme) entry(in Entry) (e *entry, warning string, err error) {
	value := dropLineEnd(in.Value)
	if len(value) == 0 {
		return nil, "", errors.New("it is empty; anybody could sign with it")
	}
	prefix := s.prefixOf(value)
	if prefix == "" && s.strict {
		return nil, "", fmt.Errorf("it begins with none of %s, so it is not clear whether it is a public key", s.prefixes())
	}
	e = &entry{name: in.Name, fingerprint: fingerprint(value), keys: make([]*key, len(s.signatures))}
	usable := false
	for i, sig := range s.signatures {
		if prefix != "" && sig.secret.Prefix != prefix {
			continue
		}
		secret, text, keyErr := sig.decode(value)
		if keyErr == nil {
			e.keys[i], keyErr = newKey(sig.algorithm, secret)
		}
		if keyErr != nil {
			err = keyErr
			continue
		}
		if e.shared == nil && !isPublicKey(sig.algorithm) {
			e.shared = secret
		}
		usable = true
		warning = cmp.Or(warning, text)
	}
	if !usable {
		return nil, "", err
	}
	return e, warning, nil
}

// decode returns the bytes of a secret for one signature.
func (s *signature) decode(value []byte) (secret []byte, warning string, err error) {
	secret, err = decodeSecret(bytes.TrimPrefix(value, []byte(s.secret.Prefix)), s.secret.Encoding)
	if err != nil {
		return nil, "", err
	}
	if len(secret) == 0 {
		return nil, "", errors.New("nothing stands behind its prefix; anybody could sign with it")
	}
	if s.algorithm == v1alpha1.BasicAuth && !bytes.Contains(secret, []byte(":")) {
		return nil, "", errors.New("it is not of the form user:password")
	}
	switch {
	case isPublicKey(s.algorithm):
	case len(secret) < shortSecret:
		warning = fmt.Sprintf("it has under %d bytes; a secret that short can be guessed", shortSecret)
	case len(bytes.TrimSpace(value)) != len(value):
		warning = "it begins or ends with white space, which counts as a part of it"
	case quoted(value):
		warning = "it stands between quotation marks, which count as a part of it"
	}
	return secret, warning, nil
}

// quoted reports whether a secret stands between quotation marks, as it does when
// they were copied with it.
func quoted(value []byte) bool {
	first, last := value[0], value[len(value)-1]
	return first == last && (first == '"' || first == '\'')
}

// dropLineEnd drops one line end from the end.
func dropLineEnd(value []byte) []byte {
	if rest, found := bytes.CutSuffix(value, []byte("\n")); found {
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	return value
}

// decodeSecret returns the bytes of a secret. They are never shared with text.
func decodeSecret(text []byte, e v1alpha1.Encoding) ([]byte, error) {
	switch e {
	case v1alpha1.EncodingHex:
		b, err := hex.DecodeString(string(text))
		if err != nil {
			return nil, errors.New("it is not hex")
		}
		return b, nil
	case v1alpha1.EncodingBase64:
		return decodeBase64Secret(string(text))
	}
	return bytes.Clone(text), nil
}

// decodeBase64Secret reads base64 with or without its padding.
func decodeBase64Secret(text string) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("it is not base64")
	}
	return b, nil
}

// prefixOf returns the longest of the scheme's prefixes with which a secret begins.
func (s *Scheme) prefixOf(value []byte) string {
	longest := ""
	for _, sig := range s.signatures {
		p := sig.secret.Prefix
		if len(p) > len(longest) && bytes.HasPrefix(value, []byte(p)) {
			longest = p
		}
	}
	return longest
}

// prefixes lists the scheme's prefixes for people.
func (s *Scheme) prefixes() string {
	var list []string
	for _, sig := range s.signatures {
		if !slices.Contains(list, sig.secret.Prefix) {
			list = append(list, sig.secret.Prefix)
		}
	}
	return strings.Join(list, ", ")
}

func fingerprint(secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte("fairlead fingerprint")) // a hash takes everything
	return hex.EncodeToString(mac.Sum(nil))[:fingerprintLength]
}
