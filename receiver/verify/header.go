package verify

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const (
	// maxElements bounds how many elements of a list are read.
	maxElements = 16
	// maxSignature is the length of the longest signature, one of ECDSA P-256 in
	// DER, in bytes.
	maxSignature = 72
)

type formatKind int

const (
	formatPlain formatKind = iota
	formatPrefix
	formatKeyValues
	formatVersions
)

// format is the shape of a signature header's value.
type format struct {
	kind      formatKind
	prefix    string // formatPrefix
	separator string // between two elements of a list
	inner     string // between the name and the value of an element
	name      string // of the elements that are signatures
}

func compileFormat(f *v1alpha1.SignatureFormat) (format, error) {
	switch {
	case f == nil:
		return format{}, nil
	case f.Prefix != "" && f.KeyValues == nil && f.Versions == nil:
		return format{kind: formatPrefix, prefix: f.Prefix}, nil
	case f.KeyValues != nil && f.Prefix == "" && f.Versions == nil:
		kv := f.KeyValues
		return listFormat(formatKeyValues, kv.Separator, "=", kv.Key)
	case f.Versions != nil && f.Prefix == "" && f.KeyValues == nil:
		v := f.Versions
		return listFormat(formatVersions, v.Separator, v.VersionSeparator, v.Version)
	}
	return format{}, errors.New("format must have exactly one of prefix, keyValues and versions")
}

func listFormat(kind formatKind, separator, inner, name string) (format, error) {
	if separator == "" || inner == "" || name == "" {
		return format{}, errors.New("format has a separator or a name that is empty")
	}
	return format{kind: kind, separator: separator, inner: inner, name: name}, nil
}

// candidates are the signatures that a header offers, decoded.
type candidates struct {
	count int
	sizes [maxElements]int
	bytes [maxElements][maxSignature]byte
}

func (c *candidates) at(i int) []byte { return c.bytes[i][:c.sizes[i]] }

// clone copies a signature. Algorithms that keep hold of what they are given would
// else move all candidates from the stack to the heap, for every algorithm.
func (c *candidates) clone(i int) []byte { return bytes.Clone(c.at(i)) }

// add decodes a signature and keeps it. One that is not written exactly as the
// scheme says is passed over: others of the list may match.
func (c *candidates) add(s *signature, text string) {
	if c.count == maxElements {
		return
	}
	n, ok := decode(c.bytes[c.count][:], text, s.encoding)
	if !ok || n == 0 || (s.size != 0 && n != s.size) {
		return
	}
	c.sizes[c.count] = n
	c.count++
}

// read takes the signatures, and the timestamp if the header carries it, from the
// header's value. It reports false if the value has another shape, or if white
// space stands at an end of it, which net/http leaves to nobody.
func (f *format) read(s *signature, value string, c *claim) bool {
	if strings.Trim(value, " \t") != value {
		return false
	}
	switch f.kind {
	case formatPlain:
		c.signatures.add(s, value)
	case formatPrefix:
		rest, found := strings.CutPrefix(value, f.prefix)
		if !found {
			return false
		}
		c.signatures.add(s, rest)
	default:
		return f.readList(s, value, c)
	}
	return c.signatures.count > 0
}

// readList reads a list of named elements. An element without a name, an empty
// one included, spoils the whole; an empty or a second timestamp does so too.
func (f *format) readList(s *signature, value string, c *claim) bool {
	timeKey := ""
	if s.time != nil {
		timeKey = s.time.key
	}
	for range maxElements {
		element, rest, more := strings.Cut(value, f.separator)
		name, text, found := strings.Cut(element, f.inner)
		switch {
		case !found:
			return false
		case name == f.name:
			c.signatures.add(s, text)
		case timeKey != "" && name == timeKey:
			if text == "" || c.timestamp != "" {
				return false
			}
			c.timestamp = text
		}
		if !more {
			break
		}
		value = rest
	}
	return c.signatures.count > 0
}

// decode writes the bytes that text stands for into dst, and returns how many
// they are. It takes one spelling only: lower-case hex, or base64 with padding and
// without stray bits, line ends or spaces.
func decode(dst []byte, text string, e v1alpha1.Encoding) (int, bool) {
	if e == v1alpha1.EncodingHex {
		return decodeHex(dst, text)
	}
	return decodeBase64(dst, text)
}

func decodeHex(dst []byte, text string) (int, bool) {
	if len(text)%2 != 0 || len(text)/2 > len(dst) {
		return 0, false
	}
	for i := range len(text) / 2 {
		high, ok1 := hexDigit(text[2*i])
		low, ok2 := hexDigit(text[2*i+1])
		if !ok1 || !ok2 {
			return 0, false
		}
		dst[i] = high<<4 | low
	}
	return len(text) / 2, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// strictBase64 refuses padding bits that are not zero.
var strictBase64 = base64.StdEncoding.Strict()

func decodeBase64(dst []byte, text string) (int, bool) {
	var src [maxSignature/3*4 + 4]byte
	if len(text) > len(src) || base64.StdEncoding.DecodedLen(len(text)) > len(dst)+2 {
		return 0, false
	}
	n := copy(src[:], text)
	for _, c := range src[:n] {
		if c == '\r' || c == '\n' { // which the decoder would pass over
			return 0, false
		}
	}
	var out [maxSignature + 3]byte
	n, err := strictBase64.Decode(out[:], src[:n])
	if err != nil || n > len(dst) {
		return 0, false
	}
	return copy(dst, out[:n]), true
}
