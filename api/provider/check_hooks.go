package provider

import (
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const (
	maxHooks     = 16
	maxPaths     = 8
	maxHookPath  = 128
	maxReplyBody = 4096
	maxDeadline  = time.Hour
	maxRegions   = 32
	maxRanges    = 64
)

func (c *checker) replies(at string, r *v1alpha1.Replies) {
	for _, o := range replies(r) {
		p := at + "." + o.name
		if o.reply.Status == 0 {
			c.addf(p, "has no status; every outcome needs a reply")
			continue
		}
		c.reply(p, o.reply)
		c.replyStatus(p, o.name, o.reply)
	}
}

// replyStatus checks that the answer means to the provider what happened.
func (c *checker) replyStatus(at, name string, r *v1alpha1.Reply) {
	switch name {
	case "accepted", "duplicate", "ignored":
		if r.Status >= 300 {
			c.addf(at+".status", "must be a 2xx status")
		}
	case "suspended", "overloaded", "failed":
		if r.Status != http.StatusServiceUnavailable || r.RetryAfterSeconds == 0 {
			c.addf(at, "must be 503 with retryAfterSeconds: the event is not stored, so the provider must send it again")
		}
	default:
		if r.Status < 400 {
			c.addf(at+".status", "a request that is refused must not be answered with success; use a 4xx status")
		}
	}
}

func (c *checker) reply(at string, r *v1alpha1.Reply) {
	if r.Status < 200 || r.Status > 599 {
		c.addf(at+".status", "must be from 200 to 599")
	}
	if r.Status == http.StatusNoContent && r.Body != "" {
		c.addf(at+".body", "an answer of status 204 has no body; leave it out or use 200")
	}
	if len(r.Body) > maxReplyBody {
		c.addf(at+".body", "must have at most %d bytes", maxReplyBody)
	}
	if len(r.ContentType) > maxText/2 || !printable.MatchString(r.ContentType) {
		c.addf(at+".contentType", "must be a media type such as application/json")
	}
	if s := r.RetryAfterSeconds; s < 0 || s > 86400 {
		c.addf(at+".retryAfterSeconds", "must be from 1 to 86400")
	}
}

func (c *checker) hooks(at string, hooks []v1alpha1.Hook) {
	c.size(at, len(hooks), 1, maxHooks)
	isAsync := func(h v1alpha1.Hook) bool { return h.Mode == v1alpha1.HookAsync }
	if !slices.ContainsFunc(hooks, isAsync) {
		c.addf(at, "at least one hook must have mode Async; an endpoint has nothing to queue otherwise")
	}
	names, paths := map[string]bool{}, map[string]bool{}
	for i := range hooks {
		c.hook(fmt.Sprintf("%s[%d]", at, i), &hooks[i], names, paths)
	}
}

func (c *checker) hook(at string, h *v1alpha1.Hook, names, paths map[string]bool) {
	c.name(at+".name", h.Name)
	c.once(at+".name", h.Name, names)
	oneOf(c, at+".mode", h.Mode, v1alpha1.HookAsync, v1alpha1.HookSync)
	c.size(at+".paths", len(h.Paths), 1, maxPaths)
	for i, p := range h.Paths {
		c.hookPath(fmt.Sprintf("%s.paths[%d]", at, i), p, paths)
	}
	if h.Deadline != "" {
		c.duration(at+".deadline", h.Deadline, time.Millisecond, maxDeadline)
	}
	if h.Mode == v1alpha1.HookSync && (h.Deadline == "" || h.Allow == nil || h.Deny == nil) {
		c.addf(at, "a hook of mode Sync needs deadline, allow and deny")
	}
	if h.Allow != nil {
		c.reply(at+".allow", h.Allow)
	}
	if h.Deny != nil {
		c.reply(at+".deny", h.Deny)
	}
	c.shape(at+".match", h.Match)
}

func (c *checker) hookPath(at string, p v1alpha1.HookPath, seen map[string]bool) {
	if len(p.Path) > maxHookPath || !hookPathShape.MatchString(p.Path) || path.Clean(p.Path) != p.Path {
		c.addf(at+".path", "must be / or a path such as /custom-commands, without a slash at its end and without dot segments")
	}
	c.once(at+".path", p.Path, seen)
	if len(p.EventType) > maxText {
		c.addf(at+".eventType", "must have at most %d characters", maxText)
	}
}

func (c *checker) shape(at string, s *v1alpha1.BodyShape) {
	if s == nil {
		return
	}
	c.size(at+".present", len(s.Present), 1, maxShape)
	c.size(at+".absent", len(s.Absent), 0, maxShape)
	for i, p := range s.Present {
		c.jsonPath(fmt.Sprintf("%s.present[%d]", at, i), p)
		if slices.Contains(s.Absent, p) {
			c.addf(at, "lists %s as present and as absent; no body has that shape", p)
		}
	}
	for i, p := range s.Absent {
		c.jsonPath(fmt.Sprintf("%s.absent[%d]", at, i), p)
	}
}

func (c *checker) regions(at string, regions []v1alpha1.Region) {
	c.size(at, len(regions), 0, maxRegions)
	seen := map[string]bool{}
	for i, r := range regions {
		p := fmt.Sprintf("%s[%d]", at, i)
		c.name(p+".name", r.Name)
		c.once(p+".name", r.Name, seen)
		c.size(p+".ranges", len(r.Ranges), 1, maxRanges)
		ranges := map[string]bool{}
		for j, rg := range r.Ranges {
			c.addressRange(fmt.Sprintf("%s.ranges[%d]", p, j), rg, ranges)
		}
	}
}

func (c *checker) addressRange(at string, r v1alpha1.Range, seen map[string]bool) {
	c.once(at+".cidr", string(r.CIDR), seen)
	prefix, err := netip.ParsePrefix(string(r.CIDR))
	switch {
	case err != nil:
		c.addf(at+".cidr", "must be a CIDR such as 203.0.113.7/32 or 2001:db8::/32")
	case prefix.Bits() == 0:
		c.addf(at+".cidr", "a range of /0 lists every address; leave the region out instead")
	case prefix.Addr().Is4In6():
		c.addf(at+".cidr", "write the IPv4 range itself, not as a part of IPv6")
	case prefix.Masked() != prefix:
		c.addf(at+".cidr", "has bits behind its prefix; did you mean %v?", prefix.Masked())
	}
	if r.ValidFrom != nil && r.ValidUntil != nil && !r.ValidFrom.Before(r.ValidUntil) {
		c.addf(at, "validFrom must be before validUntil")
	}
}
