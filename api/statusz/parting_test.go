package statusz_test

import (
	"encoding/json"
	"testing"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

func TestParseParting(t *testing.T) {
	whole := statusz.Parting{Left: 3, HandedOver: 40, DeadLettersLeft: 1, Reason: "no sister is ready"}
	written, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		message string
		want    statusz.Parting
		ok      bool
	}{
		"whole":            {string(written), whole, true},
		"nothing left":     {`{"left":0,"handedOver":7,"deadLettersLeft":0}`, statusz.Parting{HandedOver: 7}, true},
		"of a later one":   {`{"left":1,"bytes":9}`, statusz.Parting{Left: 1}, true},
		"empty":            {"", statusz.Parting{}, false},
		"line of a log":    {`{"time":"2026-11-22T10:00:00Z","level":"ERROR","msg":"ended"}`, statusz.Parting{}, false},
		"lines of a log":   {"{\"left\":1}\n{\"left\":2}", statusz.Parting{}, false},
		"words":            {"panic: runtime error", statusz.Parting{}, false},
		"less than none":   {`{"left":-1}`, statusz.Parting{}, false},
		"more than counts": {`{"left":1e99}`, statusz.Parting{}, false},
		"other type":       {`{"left":1,"reason":5}`, statusz.Parting{}, false},
	} {
		if got, ok := statusz.ParseParting(tt.message); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %+v, %v, want %+v, %v", name, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseParting(f *testing.F) {
	f.Add(`{"left":3,"handedOver":40,"deadLettersLeft":1,"reason":"no sister is ready"}`)
	f.Add(`{"left":-1}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, message string) {
		p, ok := statusz.ParseParting(message)
		if !ok && p != (statusz.Parting{}) || p.Left < 0 || p.HandedOver < 0 || p.DeadLettersLeft < 0 {
			t.Errorf("got %+v, %v", p, ok)
		}
	})
}
