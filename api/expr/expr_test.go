package expr_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/fairlead-dev/fairlead/api/expr"
)

func TestMatch(t *testing.T) {
	v := expr.Variables{ID: "1", Type: "message.new", Subject: "messaging:fun", Hook: "push", Query: map[string]string{"type": "ticket"}}
	if err := json.Unmarshal([]byte(`{"channel_type":"messaging","n":3,"message":{"text":"hi"}}`), &v.Data); err != nil {
		t.Fatal(err)
	}
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
		`has(data.message) && data.message.text.matches("h.")`: true,
	} {
		p, err := expr.Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := p.Match(&v); err != nil || got != want {
			t.Errorf("%s = %t, %v; want %t", text, got, err, want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, text := range []string{"", "data.", `type + "x"`, "nothing == 1", "1", "type == 1", "size(data)"} {
		if _, err := expr.Compile(text); err == nil {
			t.Errorf("%q compiles", text)
		}
	}
	if _, err := expr.Compile("1"); !errors.Is(err, expr.ErrNotBool) {
		t.Errorf("Compile(1): %v, want %v", err, expr.ErrNotBool)
	}
}
