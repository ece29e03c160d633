package intake

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/respond"
)

// maxCopies and maxCopyBytes bound the copies that are being stored at once: a disk
// that hangs must not fill memory with what nobody waits for.
const (
	maxCopies    = 1024
	maxCopyBytes = 64 << 20
)

var errTooManyCopies = errors.New("too many copies wait to be stored")

// choose classifies a verified body of a synchronous hook, has a copy stored for
// the sinks that list the hook, and finds the responder that is to be asked. The
// body is the event's from now on: memory that is used again must not hold it.
func (q *request) choose(body []byte) error {
	doc := q.h.documents.get()
	e, d, err := q.classify(doc, body)
	if err != nil {
		q.h.documents.put(doc)
		return err
	}
	doc.facts.Set(e, q.r.URL.RawQuery)
	q.event, q.responder = e, q.ep.responders.Pick(q.route.hook, &doc.facts)
	switch {
	case q.responder == nil:
		err = errNoResponder
	case q.route.copied:
		q.h.copy(e, d, doc)
		return nil
	}
	q.h.documents.put(doc)
	return err
}

// ask has the responder answer, or else makes the answer that onFailure says. A
// repeated request is asked again: an answer is not kept, and may be another one
// by then. Nothing is waited for but the responder; the request no longer counts
// among those that are being read, so that one that hangs holds up no other.
//
// The responder is called off when the client goes away.
func (q *request) ask() error {
	q.extend(q.responder.Timeout())
	a, err := q.responder.Ask(q.r.Context(), q.event, q.r.URL.RawQuery)
	switch {
	case err == nil:
		q.answer = answerReply(a)
		return errResponded
	case q.responder.Denies():
		q.answer = q.route.deny
	default:
		q.answer = q.route.allow
	}
	return fmt.Errorf("%w: %w", errFallback, err)
}

// writeTimeout bounds how long the answer to a synchronous hook takes to be sent.
const writeTimeout = 30 * time.Second

// extend has the connection wait for a responder: the server's own bound on writing
// counts from the request's beginning, and a responder may take longer.
func (q *request) extend(wait time.Duration) {
	// A connection that takes no deadline has its own, by which it ends.
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Now().Add(wait + writeTimeout))
}

// answerReply is a responder's answer as it goes back: unchanged. Where it has no
// content type it gets none.
func answerReply(a *respond.Answer) *reply {
	out := newRawReply(a.Status, a.Body)
	out.contentType = []string{}
	if a.ContentType != "" {
		out.contentType = []string{a.ContentType}
	}
	return out
}

// copy stores a copy of a synchronous hook's event for the sinks that want it,
// while its responder is being asked. Nobody is told if that fails: it is counted.
// doc is used until then.
func (h *Handler) copy(e *event.Event, d queue.Dedup, doc *document) {
	waiting, size := h.copying.Add(1), h.copyBytes.Add(int64(len(e.Body)))
	if waiting > maxCopies || waiting > 1 && size > maxCopyBytes {
		h.copied(doc, e, errTooManyCopies)
		return
	}
	go func() {
		sinks := h.o.Route(doc.sinks[:0], &doc.facts)
		if len(sinks) == 0 {
			h.documents.put(doc)
			h.uncopy(e)
			return
		}
		_, err := h.append(e, d, sinks)
		h.copied(doc, e, err)
	}()
}

func (h *Handler) copied(doc *document, e *event.Event, err error) {
	h.documents.put(doc)
	h.o.Observer.Copied(e.Hook, err == nil)
	if err != nil && h.failures.Allow() {
		h.o.Logger.Error("A copy of a synchronous hook's event was not stored; its sinks do not get it", "hook", e.Hook, "err", err)
	}
	h.uncopy(e)
}

func (h *Handler) uncopy(e *event.Event) {
	h.copyBytes.Add(-int64(len(e.Body)))
	h.copying.Add(-1)
}

// append stores an event. It does not end with the request's context: that ends
// with a client that has only closed its sending half, and the event is stored all
// the same.
func (h *Handler) append(e *event.Event, d queue.Dedup, sinks []string) (queue.Outcome, error) {
	before := h.o.Now()
	outcome, err := h.o.Append(context.Background(), e, d, sinks)
	if err != nil {
		return 0, fmt.Errorf("storing event %q: %w", e.ID, err)
	}
	h.o.Observer.Appended(h.o.Now().Sub(before))
	if outcome == queue.StoredSuffixed {
		h.o.Observer.Conflict()
	}
	return outcome, nil
}

// Copying is the number of copies of synchronous hooks' events that are being
// stored. It does not grow any more when no request is under way.
func (h *Handler) Copying() int64 { return h.copying.Load() }
