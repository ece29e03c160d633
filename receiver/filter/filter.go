// Package filter says which sinks get an event.
package filter

import (
	"slices"
	"strings"
)

// Rule says which events one sink gets: those of one of Hooks whose type
// matches one of Types. No hooks means all asynchronous hooks; no types means
// all types. Types are globs: an asterisk stands for any run of characters,
// also for none; every other character stands for itself.
type Rule struct {
	Sink  string
	Hooks []string
	Types []string
}

// Router finds an event's sinks. It does not change once it is made, so any
// number of goroutines may use it.
type Router struct {
	byHook map[string][]route
}

// route is a rule as seen from one hook; no globs means all types.
type route struct {
	sink  string
	types []glob
}

// NewRouter compiles the rules. asyncHooks are the hooks that a rule without
// hooks stands for.
func NewRouter(rules []Rule, asyncHooks []string) *Router {
	r := &Router{byHook: map[string][]route{}}
	for _, rule := range rules {
		to := route{sink: rule.Sink, types: compileAll(rule.Types)}
		hooks := rule.Hooks
		if len(hooks) == 0 {
			hooks = asyncHooks
		}
		for i, hook := range hooks {
			if !slices.Contains(hooks[:i], hook) { // a sink gets an event once
				r.byHook[hook] = append(r.byHook[hook], to)
			}
		}
	}
	return r
}

// Sinks appends to dst the names of the sinks that get an event of this hook
// and type, in the order of the rules. It allocates only to make room in dst.
func (r *Router) Sinks(dst []string, hook, eventType string) []string {
	for _, to := range r.byHook[hook] {
		if to.takes(eventType) {
			dst = append(dst, to.sink)
		}
	}
	return dst
}

func (to *route) takes(eventType string) bool {
	for i := range to.types {
		if to.types[i].match(eventType) {
			return true
		}
	}
	return len(to.types) == 0
}

// glob is a pattern cut at its asterisks: first and last stand at the ends,
// the others anywhere between them, in this order.
type glob struct {
	exact       bool // there is no asterisk: first is all of it
	first, last string
	between     []string
}

// Match reports whether a glob, as rules have them, matches all of s.
func Match(pattern, s string) bool {
	g := compile(pattern)
	return g.match(s)
}

func compileAll(patterns []string) []glob {
	var gs []glob
	for _, p := range patterns {
		gs = append(gs, compile(p))
	}
	return gs
}

func compile(pattern string) glob {
	parts := strings.Split(pattern, "*")
	n := len(parts) - 1
	if n == 0 {
		return glob{exact: true, first: pattern}
	}
	g := glob{first: parts[0], last: parts[n]}
	for _, p := range parts[1:n] {
		if p != "" {
			g.between = append(g.between, p)
		}
	}
	return g
}

// match never looks back: the leftmost place of each part leaves the most room
// for those behind it, so no other place needs to be tried.
func (g *glob) match(s string) bool {
	if g.exact {
		return s == g.first
	}
	if len(s) < len(g.first)+len(g.last) || !strings.HasPrefix(s, g.first) || !strings.HasSuffix(s, g.last) {
		return false
	}
	s = s[len(g.first) : len(s)-len(g.last)]
	for _, part := range g.between {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
