package filter_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/filter"
)

func newRouter(t testing.TB, rules []filter.Rule, async ...string) *filter.Router {
	t.Helper()
	r, err := filter.NewRouter(rules, async, func(sink string) { t.Errorf("filter of sink %q failed", sink) })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func facts(hook, eventType string) *filter.Facts {
	f := &filter.Facts{}
	f.Set(&event.Event{Hook: hook, Type: eventType}, "")
	return f
}

func TestSinks(t *testing.T) {
	r := newRouter(t, []filter.Rule{
		{Sink: "all"},
		{Sink: "messages", Types: []string{"message.*"}},
		{Sink: "either", Types: []string{"user.banned", "*.deleted"}},
		{Sink: "moderation", Hooks: []string{"before-message-send"}},
		{Sink: "both", Hooks: []string{"push", "before-message-send", "push"}, Types: []string{"*.new"}},
	}, "push", "pending-message")

	for _, tt := range []struct {
		name, hook, eventType string
		want                  []string
	}{
		{"both hooks and types", "push", "message.new", []string{"all", "messages", "both"}},
		{"one of two globs", "push", "message.deleted", []string{"all", "messages", "either"}},
		{"exact", "push", "user.banned", []string{"all", "either"}},
		{"no prefix match of an exact type", "push", "user.banned.again", []string{"all"}},
		{"asterisk stands for nothing", "push", "message.", []string{"all", "messages"}},
		{"case matters", "push", "Message.new", []string{"all", "both"}},
		{"other async hook", "pending-message", "message.new", []string{"all", "messages"}},
		{"sync hook only where listed", "before-message-send", "message.new", []string{"moderation", "both"}},
		{"no type", "push", "", []string{"all"}},
		{"unknown hook", "nothing", "message.new", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, r.Sinks(nil, facts(tt.hook, tt.eventType))); diff != "" {
				t.Errorf("sinks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilters(t *testing.T) {
	var failed []string
	r, err := filter.NewRouter([]filter.Rule{
		{Sink: "all"},
		{Sink: "messaging", Filter: `data.channel_type == "messaging"`},
		{Sink: "ticket", Filter: `query.type == "ticket"`, Hooks: []string{"command"}},
		{Sink: "both", Filter: `data.n > 1`, Types: []string{"message.*"}},
		{Sink: "text", Filter: `hook == "push" && id == "1" && subject == "s"`},
	}, []string{"push"}, func(sink string) { failed = append(failed, sink) })
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, hook, eventType, query, body string
		want, failed                       []string
	}{
		{"matching", "push", "message.new", "", `{"channel_type":"messaging","n":2}`, []string{"all", "messaging", "both", "text"}, nil},
		{"not matching", "push", "message.new", "", `{"channel_type":"team","n":1}`, []string{"all", "text"}, nil},
		{"filter not asked for another type", "push", "user.banned", "", `{"channel_type":"team"}`, []string{"all", "text"}, nil},
		{"missing fields", "push", "message.new", "", `{}`, []string{"all", "text"}, []string{"messaging", "both"}},
		{"no JSON", "push", "user.banned", "", `no`, []string{"all", "text"}, []string{"messaging"}},
		{"query", "command", "x", "type=ticket", ``, []string{"ticket"}, nil},
		{"no query", "command", "x", "", ``, nil, []string{"ticket"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			failed = nil
			var f filter.Facts
			f.Set(&event.Event{ID: "1", Subject: "s", Hook: tt.hook, Type: tt.eventType, Body: []byte(tt.body)}, tt.query)
			if diff := cmp.Diff(tt.want, r.Sinks(nil, &f)); diff != "" {
				t.Errorf("sinks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.failed, failed); diff != "" {
				t.Errorf("filters that failed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilterDoesNotCompile(t *testing.T) {
	if _, err := filter.NewRouter([]filter.Rule{{Sink: "a", Filter: "data."}}, nil, nil); err == nil {
		t.Error("the router was made")
	}
}

func TestSinksAppends(t *testing.T) {
	r := newRouter(t, []filter.Rule{{Sink: "b"}}, "push")
	if diff := cmp.Diff([]string{"a", "b"}, r.Sinks([]string{"a"}, facts("push", "x"))); diff != "" {
		t.Errorf("sinks (-want +got):\n%s", diff)
	}
}

func TestSinksAllocatesNothing(t *testing.T) {
	r := newRouter(t, []filter.Rule{{Sink: "a", Types: []string{"*.b*c.*"}}, {Sink: "b"}}, "push")
	f := facts("push", "a.bxc.d")
	dst := make([]string, 0, 2)
	if n := testing.AllocsPerRun(100, func() { dst = r.Sinks(dst[:0], f) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if diff := cmp.Diff([]string{"a", "b"}, dst); diff != "" {
		t.Errorf("sinks (-want +got):\n%s", diff)
	}
}

// reference matches by the definition, with a table over all prefixes.
func reference(pattern, s string) bool {
	can := make([]bool, len(s)+1) // can[i]: the pattern so far matches s[:i]
	can[0] = true
	for p := range len(pattern) {
		next := make([]bool, len(s)+1)
		for i := range can {
			switch {
			case pattern[p] == '*':
				next[i] = can[i] || i > 0 && next[i-1]
			case i > 0:
				next[i] = can[i-1] && s[i-1] == pattern[p]
			}
		}
		can = next
	}
	return can[len(s)]
}

func matches(t *testing.T, pattern, s string) bool {
	r := newRouter(t, []filter.Rule{{Sink: "x", Types: []string{pattern}}}, "h")
	return len(r.Sinks(nil, facts("h", s))) == 1
}

func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"message.*", "message.new"}, {"*", ""}, {"", ""}, {"**", "a"}, {"a*a", "a"}, {"ab*ba", "aba"},
		{"*a*b*", "xxaxxbxx"}, {"a*b*c", "abbc"}, {"*ab", "aab"}, {"*aab*", "aaab"}, {"é*", "été"},
		{strings.Repeat("*a", 20), strings.Repeat("a", 40) + "b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern)*len(s) > 1<<16 {
			t.Skip("too large for the reference")
		}
		if got, want := matches(t, pattern, s), reference(pattern, s); got != want {
			t.Errorf("glob %q on %q: %v, want %v", pattern, s, got, want)
		}
	})
}

func BenchmarkSinks(b *testing.B) {
	r := newRouter(b, []filter.Rule{{Sink: "a"}, {Sink: "b", Types: []string{"message.*", "*.deleted"}}}, "push")
	f := facts("push", "message.new")
	dst := make([]string, 0, 2)
	b.ReportAllocs()
	for b.Loop() {
		dst = r.Sinks(dst[:0], f)
	}
}
