package sink

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

const userAgent = "fairlead-receiver"

// ownHeaders are headers that neither an event nor a configuration may set: they
// belong to the connection, or say whom a request came from, or are the sink's
// own. Names are in canonical form.
var ownHeaders = set(
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings", "Host", "Content-Length", "Content-Type",
	"Forwarded", "Via", "X-Real-Ip",
)

// providerHeaders are those that a configuration may set and an event may not.
var providerHeaders = set(
	"Authorization", "Cookie", "Set-Cookie", "User-Agent", "Accept-Encoding",
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// reserved reports whether a header, by its canonical name, is the sink's own.
func reserved(name string) bool {
	return ownHeaders[name] || strings.HasPrefix(name, "Ce-") || strings.HasPrefix(name, "X-Forwarded-")
}

// fromProvider reports whether a header of an event goes on to the sink. One
// that could not be written as a header stays behind: no attempt could deliver
// it, and intake gets none from its HTTP server.
func fromProvider(name, value string) bool {
	return !reserved(name) && !providerHeaders[name] && validName(name) && validValue(value)
}

// configured returns the headers that the configuration adds to every request.
func configured(headers []config.SinkHeader, readFile func(string) ([]byte, error)) (http.Header, error) {
	out := http.Header{}
	for _, h := range headers {
		name := http.CanonicalHeaderKey(h.Name)
		if !validName(name) || reserved(name) {
			return nil, fmt.Errorf("header %q cannot be set", h.Name)
		}
		value, err := headerValue(h, readFile)
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", h.Name, err)
		}
		out[name] = []string{value}
	}
	return out, nil
}

// headerValue returns a header's value, less one newline at the end of a file.
func headerValue(h config.SinkHeader, readFile func(string) ([]byte, error)) (string, error) {
	value := h.Value
	if h.File != "" {
		data, err := readFile(h.File)
		if err != nil {
			return "", fmt.Errorf("reading file %q: %w", h.File, err)
		}
		data = bytes.TrimSuffix(data, []byte("\n"))
		value = string(bytes.TrimSuffix(data, []byte("\r")))
	}
	switch {
	case value == "":
		return "", errors.New("its value is empty")
	case !validValue(value):
		return "", errors.New("its value holds a line break or another character that no header may hold")
	}
	return value, nil
}

// validName reports whether a name is a token, as RFC 9110 calls it.
func validName(name string) bool {
	for _, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}

// validValue reports whether a header may hold the value: no control characters
// but the tab.
func validValue(value string) bool {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
