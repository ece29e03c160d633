package sink

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

const (
	specVersion = "1.0"
	typeJSON    = "application/json"
	typeBytes   = "application/octet-stream"

	// extensionAttempt is the attempt's number. It is left out with the first.
	extensionAttempt = "fairleadattempt"
	// extensionReplay names the replay that made the delivery. It is left out where
	// there was none.
	extensionReplay = "fairleadreplay"

	// The same as headers, in canonical form.
	headerAttempt = "Ce-Fairleadattempt"
	headerReplay  = "Ce-Fairleadreplay"
)

// ceTime is the event's own time where that is RFC 3339, else when it was
// received.
func ceTime(e *event.Event) string {
	if _, err := time.Parse(time.RFC3339, e.Time); err == nil && !strings.Contains(e.Time, ",") {
		return e.Time
	}
	return e.ReceivedAt.UTC().Format(time.RFC3339Nano)
}

// ceContentType is the event's content type. Where the provider sent none it is
// JSON if the body is, else bytes. A type that announces a CloudEvent of the
// provider's own would make the sink take the body for the envelope, so that is
// sent as what it is inside: JSON or bytes.
func ceContentType(e *event.Event) string {
	const envelope = "application/cloudevents"
	ct := strings.TrimSpace(e.ContentType)
	switch {
	case ct == "" || !validValue(ct):
		if json.Valid(e.Body) {
			return typeJSON
		}
		return typeBytes
	case len(ct) >= len(envelope) && strings.EqualFold(ct[:len(envelope)], envelope):
		if isJSONType(ct) {
			return typeJSON
		}
		return typeBytes
	}
	return ct
}

// isJSONType reports whether a media type says JSON: subtype json, or the suffix
// +json.
func isJSONType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
}

// plainValue marks the bytes that stand in a header as they are.
var plainValue = func() (plain [256]bool) {
	for c := 0x21; c <= 0x7e; c++ {
		plain[c] = c != '"' && c != '%'
	}
	return plain
}()

// encodeValue writes a CloudEvents attribute as a header's value: space, double
// quote, percent and whatever is not printable ASCII are percent-encoded, as
// UTF-8. Bytes that are no UTF-8 become U+FFFD.
func encodeValue(s string) string {
	i := 0
	for i < len(s) && plainValue[s[i]] {
		i++
	}
	if i == len(s) {
		return s
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for _, c := range []byte(s) {
		if plainValue[c] {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}
