// Package filter says which sinks get an event.
package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/api/expr"
	"github.com/fairlead-dev/fairlead/receiver/event"
)

// Rule says which events one sink gets: those of one of Hooks whose type
// matches one of Types and for which Filter is true. No hooks means all
// asynchronous hooks; no types means all types; no filter means that it is true.
// Types are globs: an asterisk stands for any run of characters, also for none;
// every other character stands for itself. Filter is an expression of api/expr.
type Rule struct {
	Sink   string
	Hooks  []string
	Types  []string
	Filter string
}

// Facts are what filters see of one event. The query and the body are read for
// the first filter that asks for them, and once for all; so one goroutine at a
// time may use it. Its zero value is for no event.
type Facts struct{ variables expr.Variables }

// Set makes the facts those of an event and of its request's query. They share
// the event's memory.
func (f *Facts) Set(e *event.Event, query string) {
	f.variables = expr.Variables{ID: e.ID, Type: e.Type, Subject: e.Subject, Hook: e.Hook, RawQuery: query, Body: e.Body}
}

// Clear lets go of the event.
func (f *Facts) Clear() { f.variables = expr.Variables{} }

// Filter is a compiled expression; nil matches every event. Any number of
// goroutines may use it.
type Filter struct{ program *expr.Program }

// Compile compiles an expression; an empty one matches every event.
func Compile(text string) (*Filter, error) {
	if text == "" {
		return nil, nil
	}
	p, err := expr.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("compiling filter: %w", err)
	}
	return &Filter{p}, nil
}

// Match reports whether an event matches. One for which the expression has no
// value does not, and failed says so.
func (f *Filter) Match(facts *Facts) (matches, failed bool) {
	if f == nil {
		return true, false
	}
	ok, err := f.program.Match(&facts.variables)
	return ok && err == nil, err != nil
}

// Router finds an event's sinks. It does not change once it is made, so any
// number of goroutines may use it.
type Router struct {
	byHook map[string][]route
	failed func(sink string)
}

// route is a rule as seen from one hook; no globs means all types.
type route struct {
	sink   string
	types  []glob
	filter *Filter
}

// NewRouter compiles the rules. asyncHooks are the hooks that a rule without
// hooks stands for. failed is told of each filter that has no value for an event.
func NewRouter(rules []Rule, asyncHooks []string, failed func(sink string)) (*Router, error) {
	r := &Router{byHook: map[string][]route{}, failed: failed}
	for _, rule := range rules {
		f, err := Compile(rule.Filter)
		if err != nil {
			return nil, fmt.Errorf("sink %q: %w", rule.Sink, err)
		}
		to := route{sink: rule.Sink, types: compileAll(rule.Types), filter: f}
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
	return r, nil
}

// Sinks appends to dst the names of the sinks that get an event, in the order of
// the rules. Where no rule has a filter it allocates only to make room in dst.
func (r *Router) Sinks(dst []string, f *Facts) []string {
	routes := r.byHook[f.variables.Hook]
	for i := range routes {
		to := &routes[i]
		if !to.takes(f.variables.Type) {
			continue
		}
		matches, failed := to.filter.Match(f)
		if failed {
			r.failed(to.sink)
		}
		if matches {
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
