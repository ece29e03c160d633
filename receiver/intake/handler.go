package intake

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/filter"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/respond"
	"github.com/fairlead-dev/fairlead/receiver/source"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// Append stores an event for sinks and returns when it is synced, as
// queue.Queue's Append does.
type Append func(ctx context.Context, e *event.Event, d queue.Dedup, sinks []string) (queue.Outcome, error)

// Route appends to dst the sinks that get an event.
type Route func(dst []string, f *filter.Facts) []string

// Observer is told what becomes of requests. Its methods are called on the
// accept path, from many goroutines, and must be quick. No argument is chosen by
// a stranger: hooks, rules and entries come from the configuration.
type Observer interface {
	// Request is called once for each request. hook is empty where no hook is
	// served at the path.
	Request(hook string, o Outcome, took time.Duration)
	// Appended says how long an event took to be stored.
	Appended(took time.Duration)
	// Entry says which Secret entry verified a request.
	Entry(name string, at time.Time)
	// Ignored says which ignore rule dropped a request.
	Ignored(rule string)
	// Unlisted is called in Observe for each request from an unlisted address that
	// was verified or not, and in Enforce for the sample that is verified. refused is
	// the address that was not let in; it is not valid in Observe, and where the address
	// is not known.
	Unlisted(refused netip.Addr, valid bool, at time.Time)
	// Unverified says why a request from an address that may send was not verified.
	Unverified(why Unverified)
	// AddressUnknown says that the client address of a request is not known.
	AddressUnknown(reason source.Reason, at time.Time)
	// Verified says from where a verified request came, if that is known, and whether
	// the address is listed. In Enforce those of the sample are told too.
	Verified(client netip.Addr, listed bool, at time.Time)
	// Misrouted says that a verified request at hook's path is one of other's.
	Misrouted(hook, other string, at time.Time)
	// Copied says whether the copy of a synchronous hook's event is stored, where a
	// sink wants one.
	Copied(hook string, stored bool)
	// Conflict says that an id was used by two events.
	Conflict()
	// Shed says that a request was not read, or no further.
	Shed(reason Shed)
	// Challenged says that a challenge was answered.
	Challenged(challenge string)
}

// Options are what a Handler works with. All are needed, unless nil or 0 says
// something.
type Options struct {
	Append   Append
	Route    Route
	Observer Observer
	Logger   *slog.Logger
	Now      func() time.Time
	// Isolate keeps a request whose signature was wrong, if the configuration has a
	// quarantine; nil keeps none. It must not wait for a disk.
	Isolate func(*queue.Quarantined)
}

// Handler serves one endpoint's hooks. It answers 503 until Update was called.
type Handler struct {
	o         Options
	ep        atomic.Pointer[endpoint]
	inFlight  atomic.Int64 // in ServeHTTP
	copying   atomic.Int64 // copies that are being stored
	copyBytes atomic.Int64 // and their bytes
	admission *admission   // past the checks that need no body
	draining  atomic.Bool
	bodies    buffers
	inflater  inflater
	documents documents
	samples   *rate.Limiter
	isolated  *rate.Limiter
	failures  *rate.Limiter
}

// Unlisted requests that are verified in Enforce, a second: enough to notice
// that a provider sends from new addresses, too few to cost anything.
const samplesPerSecond = 5

// New returns a Handler without a configuration.
func New(o Options) *Handler {
	return &Handler{
		o: o, admission: newAdmission(), samples: rate.NewLimiter(samplesPerSecond, samplesPerSecond),
		isolated: rate.NewLimiter(isolatedPerSecond, isolatedPerSecond), failures: rate.NewLimiter(1, 5),
	}
}

// Update replaces the configuration, the signing secrets and the responders.
// Requests under way end with what they began with. On an error nothing has
// changed.
func (h *Handler) Update(c *v1alpha1.Config, scheme *verify.Scheme, keys *verify.Keys, responders *respond.Set) error {
	ep, err := newEndpoint(c, scheme, keys, responders)
	if err != nil {
		return fmt.Errorf("preparing intake: %w", err)
	}
	if old := h.ep.Load(); old != nil {
		ep.keepLimits(old)
	}
	h.ep.Store(ep)
	return nil
}

// Drain makes every further answer carry Connection: close, so that clients and
// proxies turn to another receiver while this one still serves.
func (h *Handler) Drain() { h.draining.Store(true) }

// InFlight is the number of requests that are being handled.
func (h *Handler) InFlight() int64 { return h.inFlight.Load() }

// request is one request on its way through the steps.
type request struct {
	h     *Handler
	ep    *endpoint
	w     http.ResponseWriter
	r     *http.Request
	start time.Time
	route *route
	// client is the client's address, if it is known.
	client netip.Addr
	// unlisted is whether the client's address is not listed.
	unlisted bool
	// duplicate is whether the event was stored already.
	duplicate bool
	// slot is the request's place among those in flight, if it was admitted.
	slot     slot
	admitted bool
	// event and responder are set where a responder is to be asked.
	event     *event.Event
	responder *respond.Responder
	// answer is what takes the place of the outcome's reply: to a challenge, or to a
	// synchronous hook.
	answer *reply
}

// ServeHTTP answers one request; see the package's comment for the order.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := request{h: h, ep: h.ep.Load(), w: w, r: r, start: h.o.Now()}
	if q.ep == nil {
		http.Error(w, `{"error":"the receiver is starting"}`, http.StatusServiceUnavailable)
		return
	}
	q.route = q.ep.route(r.URL.Path)
	h.inFlight.Add(1)
	defer h.inFlight.Add(-1)
	err := q.handle()
	o := outcomeOf(err)
	if q.duplicate {
		o = Duplicate
	}
	if o == Failed {
		h.logFailure(err)
	}
	q.reply(o)
	h.o.Observer.Request(q.hook(), o, h.o.Now().Sub(q.start))
	if o == Unlisted {
		q.sample()
	}
}

// logFailure tells of trouble of our own, a few times a second at most: a
// request that anybody can send must not fill the log.
func (h *Handler) logFailure(err error) {
	if h.failures.Allow() {
		h.o.Logger.Error("A request was answered with failure; the provider must send it again", "err", err)
	}
}

func (q *request) hook() string {
	if q.route == nil {
		return ""
	}
	return q.route.hook
}

// reply answers with the outcome's reply. Whoever has no business here is
// answered before any of the body is read, and the connection ends with that: to
// use it again the body would have to be read first. For all others the server
// reads what is left of a small body, so that the connection can be kept.
func (q *request) reply(o Outcome) {
	closing := q.h.draining.Load() || q.chunkedByProxy()
	switch o {
	case Unlisted, NotFound, MethodNotAllowed, TooLarge:
		closing = closing || q.r.ContentLength != 0
	}
	if o == MethodNotAllowed {
		q.w.Header().Set("Allow", http.MethodPost)
	}
	answer := q.ep.replies[o]
	if q.answer != nil {
		answer = q.answer
	}
	answer.write(q.w, closing)
}

// handle takes a request through all steps. nil means that the event is on
// disk: until then it is the provider's. A synchronous hook ends with errResponded
// or errFallback.
func (q *request) handle() error {
	addr, err := q.ep.resolver.Client(q.r)
	q.client = addr
	q.unlisted = !q.ep.lists(addr, err)
	if err != nil {
		q.h.o.Observer.AddressUnknown(source.ReasonOf(err), q.start)
	}
	switch {
	case q.unlisted && q.ep.enforce:
		return errUnlisted
	case q.route == nil:
		return errNotFound
	case q.r.Method != http.MethodPost:
		return q.probe(err == nil)
	case len(q.ep.challenges.posts) == 0 && q.closed() != nil:
		return q.closed()
	case err == nil && !q.ep.allows(addr, q.start):
		return errRateLimited
	}
	if rule := q.ep.ignored(q.r.Header); rule != "" {
		q.h.o.Observer.Ignored(rule)
		return errIgnored
	}
	if err := q.accept(); err != nil || q.responder == nil {
		return err
	}
	return q.ask()
}

// accept reads, verifies and stores, or finds the responder to be asked.
func (q *request) accept() error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.leave()
	var m memory
	defer m.free(&q.h.bodies)
	body, err := q.read(&m)
	if err = q.arrived(err); err != nil {
		return err
	}
	if err := q.verify(body); err != nil {
		if q.ep.quarantine {
			q.isolate(m.wire.b, err)
		}
		return fmt.Errorf("verifying: %w", err)
	}
	if err := cmp.Or(q.post(body), q.closed()); err != nil {
		return err
	}
	if q.route.sync {
		m.keep()
		return q.choose(body)
	}
	return q.store(body)
}

// memory is what one request's body is held in.
type memory struct{ wire, plain *buffer }

func (m *memory) free(p *buffers) {
	if m.wire != nil {
		p.put(m.wire)
	}
	if m.plain != nil {
		p.put(m.plain)
	}
}

// keep leaves the memory to the garbage collector: somebody may still read it when
// the request has ended.
func (m *memory) keep() { *m = memory{} }

// read returns the bytes that are signed. They are valid until m is freed.
func (q *request) read(m *memory) ([]byte, error) {
	m.wire = q.h.bodies.get()
	if err := readBody(q.w, q.r, q.ep.maxBody, m.wire); err != nil {
		return nil, fmt.Errorf("reading body: %w", err)
	}
	return q.plain(m)
}

// plain returns the bytes that are signed of a body that was read.
func (q *request) plain(m *memory) ([]byte, error) {
	if !q.ep.inflated || !isGzip(m.wire.b) {
		return m.wire.b, nil
	}
	m.plain = q.h.bodies.get()
	if err := q.h.inflater.inflate(m.wire.b, q.ep.maxBody, m.plain); err != nil {
		return nil, fmt.Errorf("inflating body: %w", err)
	}
	return m.plain.b, nil
}

func (q *request) verify(body []byte) error {
	entry, err := q.ep.verify(verify.Request{Method: q.r.Method, Header: q.r.Header, Body: body}, q.start)
	if q.unlisted {
		q.h.o.Observer.Unlisted(netip.Addr{}, err == nil, q.start)
	}
	if err != nil {
		q.h.o.Observer.Unverified(unverified(err))
		return err
	}
	q.prove()
	q.h.o.Observer.Entry(entry, q.start)
	q.located()
	if q.ep.whole != nil && !q.ep.whole.AllowN(q.start, 1) {
		return errRateLimited
	}
	return nil
}

// store classifies a verified body and appends its event.
func (q *request) store(body []byte) error {
	doc := q.h.documents.get()
	defer q.h.documents.put(doc)
	e, d, err := q.classify(doc, body)
	if err != nil {
		return err
	}
	doc.facts.Set(e, q.r.URL.RawQuery)
	sinks := q.h.o.Route(doc.sinks[:0], &doc.facts)
	outcome, err := q.h.append(e, d, sinks)
	if err != nil {
		return err
	}
	q.duplicate = outcome == queue.Duplicate
	return nil
}

// classify makes the event of a verified body, unless it is another hook's, and
// says by what it is known when it comes again.
func (q *request) classify(doc *document, body []byte) (*event.Event, queue.Dedup, error) {
	doc.read(&q.ep.outline, body)
	for i := range q.route.others {
		if s := &q.route.others[i]; s.matches(doc) {
			q.h.o.Observer.Misrouted(q.route.hook, s.hook, q.start)
			return nil, queue.Dedup{}, errMisrouted
		}
	}
	e, named, err := q.ep.class.event(q.route, q.r.Header, body, doc, q.start)
	if err != nil {
		return nil, queue.Dedup{}, fmt.Errorf("classifying: %w", err)
	}
	d := q.ep.dedup
	if q.ep.byID && !named {
		d.Key = queue.NoDedup
	}
	return e, d, nil
}

func canonical(names []api.HeaderName) []string {
	var out []string
	for _, n := range names {
		out = append(out, http.CanonicalHeaderKey(string(n)))
	}
	return out
}
