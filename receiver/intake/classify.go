package intake

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
)

// unknownType is the type of events that do not say theirs.
const unknownType = "unknown"

// field is where a value is found; the first source that holds one is taken.
type field []fieldSource

type fieldSource struct {
	header string // canonical
	path   string // in gjson's syntax
	value  string
}

func newField(sources []v1alpha1.FieldSource) field {
	var f field
	for _, s := range sources {
		f = append(f, fieldSource{header: http.CanonicalHeaderKey(string(s.Header)), path: bodyPath(string(s.JSONPath)), value: s.Value})
	}
	return f
}

// bodyPath turns $.a.b into the library's a.b. The grammar of JSONPath leaves
// nothing in it that the library would read as a wildcard or a modifier.
func bodyPath(p string) string { return strings.TrimPrefix(p, "$.") }

func (f field) find(h http.Header, body []byte) string {
	for i := range f {
		switch s := &f[i]; {
		case s.header != "":
			if v := h[s.header]; len(v) > 0 && v[0] != "" {
				return v[0]
			}
		case s.path != "":
			if v := lookup(body, s.path); v.Exists() && v.Type != gjson.Null && !v.IsObject() && !v.IsArray() {
				return v.String()
			}
		default:
			return s.value
		}
	}
	return ""
}

// lookup finds a place in a JSON object. A body of another shape holds nothing.
func lookup(body []byte, path string) gjson.Result {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return gjson.GetBytes(body, path)
		}
		break
	}
	return gjson.Result{}
}

// shape tells bodies of one hook by what they hold.
type shape struct {
	hook            string
	present, absent []string
}

func (s *shape) matches(body []byte) bool {
	for _, p := range s.absent {
		if lookup(body, p).Exists() {
			return false
		}
	}
	for _, p := range s.present {
		if !lookup(body, p).Exists() {
			return false
		}
	}
	return true
}

// classifier finds out what a verified request says.
type classifier struct {
	id, typ, subject, time, attempt field
	headers                         []string // canonical
}

func newClassifier(f v1alpha1.EventFields) *classifier {
	c := &classifier{id: newField(f.ID), typ: newField(f.Type), subject: newField(f.Subject), time: newField(f.Time), attempt: newField(f.Attempt)}
	for _, h := range f.Headers {
		c.headers = append(c.headers, http.CanonicalHeaderKey(string(h)))
	}
	return c
}

// event makes the event of a verified request; named is whether the request
// itself gave the id. The event shares body's memory.
func (c *classifier) event(rt *route, h http.Header, body []byte, now time.Time) (e *event.Event, named bool, err error) {
	e = &event.Event{
		ID: c.id.find(h, body), Hook: rt.hook, Type: c.typ.find(h, body), Subject: c.subject.find(h, body),
		ContentType: h.Get("Content-Type"), ReceivedAt: now, Body: body,
	}
	if e.Type == "" {
		e.Type = rt.eventType
	}
	if named = e.ID != ""; !named {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, false, fmt.Errorf("making an id: %w", err)
		}
		e.ID = id.String()
	}
	if t := c.time.find(h, body); t != "" && len(t) <= 64 {
		if _, err := time.Parse(time.RFC3339, t); err == nil {
			e.Time = t
		}
	}
	if a, err := strconv.ParseInt(c.attempt.find(h, body), 10, 32); err == nil && a > 0 {
		e.Attempt = int(a)
	}
	for _, name := range c.headers {
		for _, v := range h[name] {
			e.Headers = append(e.Headers, event.Header{Name: name, Value: v})
		}
	}
	if !plain(e.ID, event.MaxID) || !plain(e.Type, event.MaxType) || !plain(e.Subject, event.MaxSubject) {
		return nil, false, errMalformed
	}
	if len(e.ContentType) > 256 {
		e.ContentType = ""
	}
	return e, named, nil
}

// plain reports whether s is UTF-8 of at most most bytes without control
// characters.
func plain(s string, most int) bool {
	if len(s) > most {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == 0x7f {
			return false
		} else if c >= utf8.RuneSelf {
			return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return true
}
