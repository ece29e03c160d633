package filter_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/filter"
)

func TestSinks(t *testing.T) {
	r := filter.NewRouter([]filter.Rule{
		{Sink: "all"},
		{Sink: "messages", Types: []string{"message.*"}},
		{Sink: "either", Types: []string{"user.banned", "*.deleted"}},
		{Sink: "moderation", Hooks: []string{"before-message-send"}},
		{Sink: "both", Hooks: []string{"push", "before-message-send", "push"}, Types: []string{"*.new"}},
	}, []string{"push", "pending-message"})

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
			if diff := cmp.Diff(tt.want, r.Sinks(nil, tt.hook, tt.eventType)); diff != "" {
				t.Errorf("sinks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSinksAppends(t *testing.T) {
	r := filter.NewRouter([]filter.Rule{{Sink: "b"}}, []string{"push"})
	if diff := cmp.Diff([]string{"a", "b"}, r.Sinks([]string{"a"}, "push", "x")); diff != "" {
		t.Errorf("sinks (-want +got):\n%s", diff)
	}
}

func TestSinksAllocatesNothing(t *testing.T) {
	r := filter.NewRouter([]filter.Rule{{Sink: "a", Types: []string{"*.b*c.*"}}, {Sink: "b"}}, []string{"push"})
	dst := make([]string, 0, 2)
	if n := testing.AllocsPerRun(100, func() { dst = r.Sinks(dst[:0], "push", "a.bxc.d") }); n != 0 {
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

func matches(pattern, s string) bool {
	r := filter.NewRouter([]filter.Rule{{Sink: "x", Types: []string{pattern}}}, []string{"h"})
	return len(r.Sinks(nil, "h", s)) == 1
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
		if got, want := matches(pattern, s), reference(pattern, s); got != want {
			t.Errorf("glob %q on %q: %v, want %v", pattern, s, got, want)
		}
	})
}

func BenchmarkSinks(b *testing.B) {
	r := filter.NewRouter([]filter.Rule{{Sink: "a"}, {Sink: "b", Types: []string{"message.*", "*.deleted"}}}, []string{"push"})
	dst := make([]string, 0, 2)
	b.ReportAllocs()
	for b.Loop() {
		dst = r.Sinks(dst[:0], "push", "message.new")
	}
}
