package intake

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// Requests that are put into quarantine, a second. Anybody who may connect can
// send them, so what they cost must be bounded.
const isolatedPerSecond = 50

// headerRules says which headers of a request are kept in quarantine, and which
// are shown to a person.
type headerRules struct {
	// read are those that signatures are read from, credentials those of them whose
	// value is a secret, and entries those that name a Secret's entry.
	read, credentials, entries map[string]bool
}

func newHeaderRules(sigs []v1alpha1.Signature) headerRules {
	h := headerRules{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for i := range sigs {
		s := &sigs[i]
		for _, name := range []api.HeaderName{s.Header, s.IDHeader, s.EntryHeader} {
			h.read[http.CanonicalHeaderKey(string(name))] = true
		}
		h.entries[http.CanonicalHeaderKey(string(s.EntryHeader))] = true
		if s.Algorithm == api.BasicAuth || s.Algorithm == api.StaticToken {
			h.credentials[http.CanonicalHeaderKey(string(s.Header))] = true
		}
	}
	return h
}

// keeps reports whether a header is kept: not one with a secret that no signature
// is read from.
func (h *headerRules) keeps(name string) bool { return h.read[name] || !soundsSecret(name) }

// shows reports whether a header may be shown.
func (h *headerRules) shows(name string) bool {
	return !h.credentials[name] && (h.entries[name] || !soundsSecret(name))
}

// soundsSecret reports whether a header's value is likely to be a secret.
func soundsSecret(name string) bool {
	switch name = strings.ToLower(name); name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie":
		return true
	}
	for _, word := range []string{"token", "secret", "password", "passwd", "api-key", "apikey"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Shows reports whether the value of a quarantined request's header may be shown:
// not if it is a credential, or sounds as if it were.
func (h *Handler) Shows(header string) bool {
	ep := h.ep.Load()
	return ep != nil && ep.headers.shows(http.CanonicalHeaderKey(header))
}

// kept lists a request's headers in a fixed order, less those that are not kept.
func (h *headerRules) kept(from http.Header) []event.Header {
	var out []event.Header
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if !h.keeps(name) {
			continue
		}
		for _, v := range from[name] {
			out = append(out, event.Header{Name: name, Value: v})
		}
	}
	return out
}

// isolate keeps a request that failed verification; wire is its body as it came.
func (q *request) isolate(wire []byte, cause error) {
	if q.route.sync { // it could not be taken in later: by then nobody waits for its answer
		return
	}
	if q.h.o.Isolate == nil || outcomeOf(cause) != Unauthenticated || !q.h.isolated.AllowN(q.start, 1) {
		return
	}
	from := q.r.RemoteAddr
	if q.client.IsValid() {
		from = q.client.String()
	}
	q.h.o.Isolate(&queue.Quarantined{
		ReceivedAt: q.start, Source: from, Hook: q.route.hook, Method: q.r.Method, Path: q.r.URL.Path, Query: q.r.URL.RawQuery,
		Reason: cause.Error(), Headers: q.ep.headers.kept(q.r.Header), Body: bytes.Clone(wire),
	})
}

// Reverify verifies a request that is in quarantine with the secrets and the
// configuration of now, and stores its event if it is right. The time of signing
// is compared with the time at which the request came.
//
// The outcome is Accepted or Duplicate: the event is on disk. With any other the
// error says why it is not; only after Overloaded and Failed is another try worth
// while without a change of something.
func (h *Handler) Reverify(kept *queue.Quarantined) (Outcome, error) {
	q := request{h: h, ep: h.ep.Load(), r: asRequest(kept), start: h.o.Now()}
	if q.ep == nil {
		return Failed, errors.New("the receiver is starting")
	}
	if q.route = q.ep.route(kept.Path); q.route == nil || q.route.sync {
		return NotFound, errNotFound
	}
	err := q.reverify(kept)
	if err == nil && q.duplicate {
		return Duplicate, nil
	}
	return outcomeOf(err), err
}

func asRequest(kept *queue.Quarantined) *http.Request {
	r := &http.Request{Method: kept.Method, URL: &url.URL{Path: kept.Path, RawQuery: kept.Query}, Header: http.Header{}, Body: http.NoBody}
	for _, h := range kept.Headers {
		r.Header[h.Name] = append(r.Header[h.Name], h.Value)
	}
	return r
}

func (q *request) reverify(kept *queue.Quarantined) error {
	if int64(len(kept.Body)) > q.ep.maxBody {
		return errTooLarge
	}
	m := memory{wire: &buffer{b: kept.Body}}
	defer func() {
		m.wire = nil // it is the queue's
		m.free(&q.h.bodies)
	}()
	body, err := q.plain(&m)
	if err != nil {
		return err
	}
	if _, err := q.ep.verify(verify.Request{Method: kept.Method, Header: q.r.Header, Body: body}, kept.ReceivedAt); err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if q.ep.challenges.posted(body) != nil {
		return errIgnored // nobody waits for its answer any more
	}
	return q.store(body)
}
