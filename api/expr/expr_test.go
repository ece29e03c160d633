package expr_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/api/expr"
)

const body = `{"channel_type":"messaging","n":3,"message":{"text":"hi"},"members":["a","b"]}`

func variables(body string) *expr.Variables {
	return &expr.Variables{ID: "1", Type: "message.new", Subject: "messaging:fun", Hook: "push", RawQuery: "type=ticket&type=other&%zz=1", Body: []byte(body)}
}

func compile(t testing.TB, text string) *expr.Program {
	t.Helper()
	p, err := expr.Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestMatch(t *testing.T) {
	v := variables(body)
	for text, want := range map[string]bool{
		`data.channel_type == "messaging"`:                     true,
		`data.n > 2`:                                           true,
		`type.startsWith("message.")`:                          true,
		`type == "x"`:                                          false,
		`query["type"] == "ticket" && hook == "push"`:          true,
		`has(data.nothing) && data.nothing == 1`:               false,
		`subject.split(":")[0] == "messaging" && id == "1"`:    true,
		`data.message.text in ["hi", "ho"]`:                    true,
		`"type" in query && !("nothing" in query)`:             true,
		`query.type == "ticket" && size(query) == 1`:           true,
		`has(data.message) && data.message.text.matches("h.")`: true,
		`data.members.exists(m, m == "b")`:                     true,
		`data != null`:                                         true,
		`"b" in data.members && !("c" in data.members)`:        true,
		`"n" in data && data.members.size() == 2`:              true,
		`data.message.text + "!" == "hi!" && type < "n"`:       true,
		`matches(type, "^message")`:                            true,
	} {
		if got, err := compile(t, text).Match(v); err != nil || got != want {
			t.Errorf("%s = %t, %v; want %t", text, got, err, want)
		}
	}
}

// A number that no float64 can hold hides nothing else of an event.
func TestNumberBeyondAll(t *testing.T) {
	v := variables(`{"n":1e999,"list":[-1e999,2],"text":"hi","m":{"a":1e400,"b":1}}`)
	for _, text := range []string{`data.text == "hi"`, `data.n == null`, `data.list[1] == 2.0`, `data.m.b == 1.0`} {
		if got, err := compile(t, text).Match(v); err != nil || !got {
			t.Errorf("%s = %t, %v", text, got, err)
		}
	}
}

func TestBodyThatIsNoJSON(t *testing.T) {
	for _, b := range []string{"", "{", "\xff", `{} {}`} {
		if got, err := compile(t, `data == null`).Match(variables(b)); err != nil || !got {
			t.Errorf("body %q: data == null is %t, %v", b, got, err)
		}
		if _, err := compile(t, `data.x == 1`).Match(variables(b)); err == nil {
			t.Errorf("body %q: data.x has a value", b)
		}
	}
}

// Expressions without a value for an event end with an error, and soon.
func TestMatchEnds(t *testing.T) {
	large := `{"text":"` + strings.Repeat("a", 1<<20) + `","list":[` + strings.Repeat("1,", 1<<18) + `1]}`
	for _, text := range []string{
		`data.nothing == 1`,
		`data.list`,
		`data.list.all(a, data.list.all(b, data.list.all(c, a + b + c > 0)))`,
		`data.list.all(a, data.text.matches("(a*)*b") || true)`,
		`data.list.map(a, data.text.split("")).size() > 0`,
		`data.list.all(a, data.text.reverse() != "")`,
		`data.list.exists(a, "x" in data.list)`,
		`data.list.exists(a, data.text + data.text == "")`,
		`data.list.exists(a, data.text.size() == 1)`,
		`data.list.exists(a, size(data.text) == 1)`,
		`data.list.exists(a, data.text < data.text)`,
	} {
		if _, err := compile(t, text).Match(variables(large)); err == nil {
			t.Errorf("%s has a value", text)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, text := range []string{
		"", "data.", `type + "x"`, "nothing == 1", "1", "type == 1", "size(data)",
		`type.matches("(")`, `data.text.matches(data.pattern)`, `matches(data.text, type)`, `data.text.matches("a" + type)`,
		`data.text.replace("", data.text) == ""`, `data.list.join("") == ""`, `"%s".format([data]) == ""`,
		`[[[[1]]]].all(a, a.all(b, b.all(c, c.all(d, d > 0))))`,
		strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100),
		`type == "` + strings.Repeat("x", 5000) + `"`,
	} {
		if _, err := expr.Compile(text); err == nil {
			t.Errorf("%.80q compiles", text)
		}
	}
	if _, err := expr.Compile("type.matches(id)"); !errors.Is(err, expr.ErrPattern) {
		t.Errorf("Compile of a pattern from an event: %v, want %v", err, expr.ErrPattern)
	}
	if _, err := expr.Compile("1"); !errors.Is(err, expr.ErrNotBool) {
		t.Errorf("Compile(1): %v, want %v", err, expr.ErrNotBool)
	}
}

func FuzzMatch(f *testing.F) {
	for _, text := range []string{
		`data.channel_type == "messaging"`, `query.type == "ticket"`, `data.members.exists(m, m.startsWith("a"))`,
		`has(data.message) ? data.message.text.size() > 1 : false`, `type.split(".")[1].matches("^n")`, `[1, 2].map(x, x * 2) == [2, 4]`,
		`data["a"].b.c || !(id in {"1": true})`, `subject.substring(0, 3) == "mes" && int(data.n) % 2 == 1`, `timestamp(data.t) > timestamp("2020-01-01T00:00:00Z")`,
	} {
		f.Add(text, body, "type=ticket")
	}
	f.Fuzz(func(t *testing.T, text, body, query string) {
		if len(body) > 1<<12 {
			t.Skip("a body of this length is timed elsewhere")
		}
		p, err := expr.Compile(text)
		if err != nil {
			return
		}
		v := expr.Variables{ID: "1", Type: "message.new", Hook: "push", RawQuery: query, Body: []byte(body)}
		first, err := p.Match(&v)
		again, errAgain := p.Match(&v)
		if first != again || (err == nil) != (errAgain == nil) {
			t.Errorf("%q is %t, %v and then %t, %v", text, first, err, again, errAgain)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		compile(b, `data.channel_type == "messaging" && type.startsWith("message.")`)
	}
}

func BenchmarkMatch(b *testing.B) {
	long := `{"channel_type":"messaging","text":"` + strings.Repeat("text ", 220) + `"}`
	for name, text := range map[string]string{
		"type": `type.startsWith("message.")`, "data": `data.channel_type == "messaging"`, "query": `query.type == "ticket"`,
	} {
		b.Run(name, func(b *testing.B) {
			p := compile(b, text)
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := p.Match(variables(long)); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkMatchLimit is what the dearest evaluation takes that is not ended for
// its cost, for some ways to be dear.
func BenchmarkMatchLimit(b *testing.B) {
	large := fmt.Sprintf(`{"text":%q,"list":[%s1]}`, strings.Repeat("a", 1<<18), strings.Repeat("1,", 1<<18))
	for name, text := range map[string]string{
		"loops": `data.list.all(a, data.list.all(b, a + b > 0))`, "regexp": `data.list.all(a, data.text.matches("(a*)*(b|c)$") || true)`,
		"strings": `data.list.all(a, data.text.reverse() != "")`, "split": `data.list.map(a, data.text.split("")).size() > 0`,
	} {
		b.Run(name, func(b *testing.B) {
			p, v := compile(b, text), variables(large)
			_, _ = p.Match(v) // reads the body
			for b.Loop() {
				if _, err := p.Match(v); err == nil {
					b.Fatal("it was not ended")
				}
			}
		})
	}
}
