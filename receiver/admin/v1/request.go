package v1

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func badRequest(format string, args ...any) error {
	return problem(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

func busy(format string, args ...any) error {
	return &apiProblem{status: http.StatusServiceUnavailable, retryAfter: 1, message: fmt.Sprintf(format, args...)}
}

// pick returns the endpoint that a call is about. A process that serves only one
// needs no name.
func (a *api) pick(key string) (*Endpoint, error) {
	var all []string
	for i := range a.o.Endpoints {
		ep := &a.o.Endpoints[i]
		if ep.key() == key || key == "" && len(a.o.Endpoints) == 1 {
			return ep, nil
		}
		all = append(all, ep.key())
	}
	p := &apiProblem{status: http.StatusBadRequest, endpoints: all,
		message: "this process serves several endpoints; say which by ?endpoint=NAMESPACE/NAME: " + strings.Join(all, ", ")}
	if key != "" {
		p.status, p.message = http.StatusNotFound, fmt.Sprintf("endpoint %q is not served here; choose from %s", key, strings.Join(all, ", "))
	}
	return nil, p
}

// query is the parameters of a call. The first that cannot be read is err.
type query struct {
	values url.Values
	err    error
}

const maxParam = 1024

// readQuery reads parameters, each at most once and of the allowed ones.
func readQuery(raw string, allowed []string) (*query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("the query cannot be read; escape it as in a URL")
	}
	allowed = append([]string{"endpoint"}, allowed...)
	for name, v := range values {
		switch {
		case !slices.Contains(allowed, name):
			return nil, badRequest("parameter %q is not known here; there are %s", name, strings.Join(allowed, ", "))
		case len(v) > 1:
			return nil, badRequest("parameter %q stands twice; give it once", name)
		case len(v[0]) > maxParam || !utf8.ValidString(v[0]):
			return nil, badRequest("parameter %q is not text of at most %d bytes", name, maxParam)
		}
	}
	return &query{values: values}, nil
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = badRequest(format, args...)
	}
}

// age reads a duration; 0 means that there is none.
func (q *query) age(name string) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		q.fail("parameter %q is %q; write a duration like 90s, 5m or 72h", name, text)
	}
	return d
}

func (q *query) time(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.fail("parameter %q is %q; write a time like 2027-01-31T12:00:00Z", name, text)
	}
	return t
}

func (q *query) number(name string) uint64 {
	text := q.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		q.fail("parameter %q is %q; write a number", name, text)
	}
	return n
}

func (q *query) flag(name string) bool {
	switch text := q.text(name); text {
	case "", "false":
		return false
	case "true":
		return true
	default:
		q.fail("parameter %q is %q; write true or false", name, text)
		return false
	}
}

func (q *query) limit() int {
	text := q.text("limit")
	if text == "" {
		return DefaultLimit
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxLimit {
		q.fail("parameter limit is %q; it must be from 1 to %d", text, MaxLimit)
	}
	return n
}

// cursor reads a cursor of a kind of listing; empty means the beginning.
func (q *query) cursor(kind string) string {
	place, err := readCursor(kind, q.text("cursor"))
	if err != nil && q.err == nil {
		q.err = err
	}
	return place
}

// Cursors are opaque to clients: the kind of the listing and a place in it.
func newCursor(kind, place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + ":" + place))
}

func readCursor(kind, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	place, ok := strings.CutPrefix(string(b), kind+":")
	if err != nil || !ok {
		return "", badRequest("the cursor is not one of this listing; give back next as it was answered, or begin without")
	}
	return place, nil
}

// sequenceCursor reads a cursor whose place is a sequence.
func sequenceCursor(kind, text string) (uint64, error) {
	place, err := readCursor(kind, text)
	if err != nil || place == "" {
		return 0, err
	}
	n, err := strconv.ParseUint(place, 10, 64)
	if err != nil {
		return 0, badRequest("the cursor is not one of this listing; give back next as it was answered, or begin without")
	}
	return n, nil
}

// decode reads the body of a POST.
func (c *call) decode(v any) error {
	if c.q.err != nil {
		return c.q.err
	}
	d := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, MaxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something stands behind the object")
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is over %d bytes; name less at once", MaxBody))
	case err != nil:
		return badRequest("the body cannot be read: %s", jsonTrouble(err))
	}
	return nil
}

// jsonTrouble says what is wrong with JSON without repeating values of it.
func jsonTrouble(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON from byte %d on", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("field %q must be of another type than %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "field " + field + " is not known"
	}
	if strings.Contains(err.Error(), "behind the object") {
		return err.Error()
	}
	return "a value of it is not of the right form"
}
