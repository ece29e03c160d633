package intake

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/respond"
	"github.com/fairlead-dev/fairlead/receiver/source"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// route is what is served at one path.
type route struct {
	hook      string
	index     int // of the hook, for observers
	sync      bool
	copied    bool // of a synchronous hook: a sink lists it
	eventType string
	// others are the shapes of the other hooks' requests.
	others []shape
	// allow and deny are the answers where a responder gives none.
	allow, deny *reply
}

// endpoint is everything that a configuration gives intake. It is made anew at
// each change and never changes itself.
type endpoint struct {
	keys       *verify.Keys
	responders *respond.Set
	inflated   bool
	routes     map[string]*route
	replies    replies
	outline    outline // of all that is asked of bodies
	class      *classifier
	dedup      queue.Dedup
	byID       bool
	ignore     []ignoreRule
	resolver   *source.Resolver
	listed     *source.Set
	enforce    bool
	suspended  bool
	maxBody    int64
	whole      *rate.Limiter // nil: no bound
	perSource  *sourceLimits // nil: no bound
	// maxInFlight bounds the requests that are read and stored at once.
	maxInFlight int64
	// quarantine is whether requests that fail verification are kept.
	quarantine bool
	headers    headerRules
	challenges challenges
}

type ignoreRule struct {
	name            string
	present, absent []string // canonical
}

func newEndpoint(c *v1alpha1.Config, scheme *verify.Scheme, keys *verify.Keys, responders *respond.Set) (*endpoint, error) {
	window, err := c.Event.Dedup.Window.Parse()
	if err != nil {
		return nil, fmt.Errorf("reading event.dedup.window: %w", err)
	}
	ep := &endpoint{
		keys: keys, responders: responders, inflated: scheme.SignsInflated(), replies: newReplies(c.Replies),
		dedup:    queue.Dedup{Key: dedupKeys[c.Event.Dedup.Key], Window: window},
		byID:     c.Event.Dedup.Key == api.DedupID,
		resolver: source.NewResolver(c.Sources.TrustedProxies, c.Sources.ProxyProtocol), listed: source.NewSet(c.Sources.Ranges),
		enforce:   c.Sources.Mode != api.SourceObserve,
		suspended: c.Suspend == api.SuspendIntake,
		maxBody:   c.Limits.MaxBodyBytes,

		quarantine: c.Queue.Quarantine != nil, headers: newHeaderRules(c.Signatures), challenges: newChallenges(c.Challenges),
	}
	ep.maxInFlight = int64(cmp.Or(c.Limits.MaxRequestsInFlight, defaultInFlight))
	if n := c.Limits.RequestsPerSecond; n > 0 {
		ep.whole = rate.NewLimiter(rate.Limit(n), 2*n)
	}
	if n := c.Limits.RequestsPerSecondPerSource; n > 0 {
		ep.perSource = newSourceLimits(n)
	}
	for _, r := range c.Ignore {
		ep.ignore = append(ep.ignore, ignoreRule{r.Name, canonical(r.Present), canonical(r.Absent)})
	}
	ep.class = newClassifier(c.Event, &ep.outline)
	ep.routes, err = newRoutes(c, &ep.outline)
	return ep, err
}

var dedupKeys = map[api.DedupKey]queue.DedupKey{
	api.DedupID: queue.ByID, api.DedupBodySHA256: queue.ByBody, api.DedupNone: queue.NoDedup,
}

// newRoutes lays the profile's hooks out below the endpoint's path.
func newRoutes(c *v1alpha1.Config, outline *outline) (map[string]*route, error) {
	routes := map[string]*route{}
	for i, h := range c.Hooks {
		var others []shape
		for _, o := range c.Hooks {
			if o.Name != h.Name && o.Match != nil {
				others = append(others, newShape(o.Name, o.Match, outline))
			}
		}
		allow, deny, err := failureReplies(&h)
		if err != nil {
			return nil, err
		}
		for _, p := range h.Paths {
			at := path.Join(c.Path, p.Path)
			if routes[at] != nil {
				return nil, fmt.Errorf("hooks %q and %q have the same path", routes[at].hook, h.Name)
			}
			routes[at] = &route{hook: h.Name, index: i, sync: h.Mode == api.HookSync, copied: copied(c, h.Name),
				eventType: eventType(p.EventType), others: others, allow: allow, deny: deny}
		}
	}
	return routes, nil
}

// failureReplies are a synchronous hook's answers where its responder gives none.
func failureReplies(h *v1alpha1.Hook) (allow, deny *reply, err error) {
	switch {
	case h.Mode != api.HookSync:
		return nil, nil, nil
	case h.Allow == nil || h.Deny == nil:
		return nil, nil, fmt.Errorf("hook %q waits for an answer, and has no allow or no deny", h.Name)
	}
	return newReply(*h.Allow), newReply(*h.Deny), nil
}

// copied reports whether a sink lists a hook.
func copied(c *v1alpha1.Config, hook string) bool {
	return slices.ContainsFunc(c.Sinks, func(s v1alpha1.Sink) bool { return slices.Contains(s.Hooks, hook) })
}

func eventType(t string) string {
	if t == "" {
		return unknownType
	}
	return t
}

// route finds what is served at a request's path. A slash at the end is let
// pass: people paste it.
func (ep *endpoint) route(p string) *route {
	if rt := ep.routes[p]; rt != nil {
		return rt
	}
	return ep.routes[strings.TrimSuffix(p, "/")]
}

// source says whether a client address may send.
func (ep *endpoint) lists(addr netip.Addr, err error) bool {
	return err == nil && ep.listed.Contains(addr)
}

// keepLimits keeps the buckets of the sources, if the limit is the same.
func (ep *endpoint) keepLimits(old *endpoint) {
	if ep.perSource != nil && old.perSource != nil && ep.perSource.perSecond == old.perSource.perSecond {
		ep.perSource = old.perSource
	}
}

// allows spends one request of the client address's allowance.
func (ep *endpoint) allows(addr netip.Addr, now time.Time) bool {
	return ep.perSource == nil || ep.perSource.allow(addr, now)
}

// ignored returns the name of the rule that says to drop the request, or "".
func (ep *endpoint) ignored(h http.Header) string {
	for i := range ep.ignore {
		r := &ep.ignore[i]
		if hasAll(h, r.present) && hasNone(h, r.absent) {
			return r.name
		}
	}
	return ""
}

func hasAll(h http.Header, names []string) bool {
	for _, n := range names {
		if len(h[n]) == 0 {
			return false
		}
	}
	return true
}

func hasNone(h http.Header, names []string) bool {
	for _, n := range names {
		if len(h[n]) > 0 {
			return false
		}
	}
	return true
}
