package intake

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/filter"
)

// unknownType is the type of events that do not say theirs.
const unknownType = "unknown"

// place is where a value stands in a JSON body: below which of the document's
// own names, and, if the path goes on, where below that.
type place struct {
	slot int
	rest string // in the library's syntax; empty for the value itself
}

// outline is the names at the top of JSON bodies that anybody asks for. All of
// them are found in one pass over a body.
type outline struct{ names []string }

// place returns the place that a path $.a.b stands for. The grammar of JSONPath
// leaves nothing in it that the library would read as a wildcard or a modifier.
func (o *outline) place(path string) place {
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "$."), ".")
	slot := slices.Index(o.names, name)
	if slot < 0 {
		slot = len(o.names)
		o.names = append(o.names, name)
	}
	return place{slot, rest}
}

// maxSinks is how many sinks an endpoint has at most. More would only cost memory.
const maxSinks = 16

// document is what a body holds of an outline, and what filters see of its event.
// It shares the body's memory.
type document struct {
	values []gjson.Result
	facts  filter.Facts
	sinks  [maxSinks]string // that get the event
}

// documents lends documents for the time of one request.
type documents struct{ pool sync.Pool }

func (p *documents) get() *document {
	if d, ok := p.pool.Get().(*document); ok {
		return d
	}
	return new(document)
}

func (p *documents) put(d *document) {
	clear(d.values)
	d.facts.Clear()
	p.pool.Put(d)
}

// read finds the outline's names in a body; of a name that stands twice, the
// first counts. A body that is no JSON object holds nothing.
func (d *document) read(o *outline, body []byte) {
	d.values = d.values[:0]
	for range o.names {
		d.values = append(d.values, gjson.Result{})
	}
	if !isObject(body) {
		return
	}
	missing := len(o.names)
	// The library works on strings. This one is not written to while it is in use,
	// and to copy each body would cost as much as to read it.
	text := unsafe.String(unsafe.SliceData(body), len(body)) //nolint:gosec // audited: see above
	gjson.Parse(text).ForEach(func(key, value gjson.Result) bool {
		if i := slices.Index(o.names, key.Str); i >= 0 && !d.values[i].Exists() {
			d.values[i] = value
			missing--
		}
		return missing > 0
	})
}

func isObject(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '{'
	}
	return false
}

func (d *document) at(p place) gjson.Result {
	v := d.values[p.slot]
	switch {
	case p.rest == "":
		return v
	case v.IsObject():
		return v.Get(p.rest)
	}
	return gjson.Result{}
}

// field is where a value is found; the first source that holds one is taken.
type field []fieldSource

type fieldSource struct {
	header string // canonical
	inBody bool
	place  place
	value  string
}

func newField(sources []v1alpha1.FieldSource, o *outline) field {
	var f field
	for _, s := range sources {
		fs := fieldSource{header: http.CanonicalHeaderKey(string(s.Header)), value: s.Value}
		if s.JSONPath != "" {
			fs.inBody, fs.place = true, o.place(string(s.JSONPath))
		}
		f = append(f, fs)
	}
	return f
}

func (f field) find(h http.Header, d *document) string {
	for i := range f {
		switch s := &f[i]; {
		case s.header != "":
			if v := h[s.header]; len(v) > 0 && v[0] != "" {
				return v[0]
			}
		case s.inBody:
			if v := d.at(s.place); v.Exists() && v.Type != gjson.Null && !v.IsObject() && !v.IsArray() {
				return v.String()
			}
		default:
			return s.value
		}
	}
	return ""
}

// shape tells bodies of one hook by what they hold.
type shape struct {
	hook            string
	present, absent []place
}

func newShape(hook string, m *api.BodyShape, o *outline) shape {
	s := shape{hook: hook}
	for _, p := range m.Present {
		s.present = append(s.present, o.place(string(p)))
	}
	for _, p := range m.Absent {
		s.absent = append(s.absent, o.place(string(p)))
	}
	return s
}

func (s *shape) matches(d *document) bool {
	for _, p := range s.absent {
		if d.at(p).Exists() {
			return false
		}
	}
	for _, p := range s.present {
		if !d.at(p).Exists() {
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

func newClassifier(f v1alpha1.EventFields, o *outline) *classifier {
	c := &classifier{id: newField(f.ID, o), typ: newField(f.Type, o), subject: newField(f.Subject, o), time: newField(f.Time, o), attempt: newField(f.Attempt, o)}
	for _, h := range f.Headers {
		c.headers = append(c.headers, http.CanonicalHeaderKey(string(h)))
	}
	return c
}

// event makes the event of a verified request; named is whether the request
// itself gave the id. The event shares body's memory.
func (c *classifier) event(rt *route, h http.Header, body []byte, d *document, now time.Time) (e *event.Event, named bool, err error) {
	e = &event.Event{
		ID: c.id.find(h, d), Hook: rt.hook, Type: c.typ.find(h, d), Subject: c.subject.find(h, d),
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
	if t := c.time.find(h, d); t != "" && len(t) <= 64 {
		if _, err := time.Parse(time.RFC3339, t); err == nil {
			e.Time = t
		}
	}
	if text := c.attempt.find(h, d); text != "" { // an error would cost an allocation
		if a, err := strconv.ParseInt(text, 10, 32); err == nil && a > 0 {
			e.Attempt = int(a)
		}
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
