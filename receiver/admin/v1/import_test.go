package v1_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const importing = "/v1/deadletters/import"

func (r *rig) imports(lines string) v1.Imported {
	r.t.Helper()
	return read[v1.Imported](r.t, r.do(http.MethodPost, importing, "application/x-ndjson", lines, nil), 200)
}

// export writes dead letters as fairlead does: a line each.
func (r *rig) export() string {
	r.t.Helper()
	var out strings.Builder
	for _, d := range get[v1.DeadLetterPage](r, "/v1/deadletters?full=true").Items {
		out.WriteString(encode(r.t, d) + "\n")
	}
	return out.String()
}

// What was exported comes back as it was: the same bytes, also where JSON would be
// written otherwise. A second time nothing is stored.
func TestExportImport(t *testing.T) {
	from, to := newRig(t, nil), newRig(t, nil)
	bodies := map[string]string{"spaced": "{ \"b\" : 1.0,\r\n\"a\":\"\\u003cé/\\/\"}", "text": "plain\n", "binary": "\xff\x00\n", "empty": "", "string": `"x"`}
	for id, b := range bodies {
		from.die(id, "t", b, "app", "reason of "+id)
	}
	post[v1.Replayed](from, "/v1/deadletters/replay", v1.ReplayDeadLetters{IDs: []string{"app/1"}, Replay: "once"})
	from.kill("app", "again", "")
	lines := from.export()
	if !strings.Contains(lines, `"replay":"once","replayedAt":"2027-01-31T12:00:00Z"`) {
		t.Errorf("no dead letter knows its replay:\n%s", lines)
	}
	if got := to.imports(lines); got.Stored != 5 || got.Known != 0 || got.Refused != 0 || got.Lines != 5 {
		t.Fatalf("imported = %+v", got)
	}
	if got := to.imports(lines + lines); got.Stored != 0 || got.Known != 10 {
		t.Errorf("imported again = %+v", got)
	}
	if diff := cmp.Diff(bySubstance(t, lines), bySubstance(t, to.export())); diff != "" {
		t.Errorf("exported again (-want +got):\n%s", diff)
	}
	post[v1.Replayed](to, "/v1/deadletters/replay", v1.ReplayDeadLetters{IDs: []string{"app/1", "app/2", "app/3", "app/4", "app/5"}})
	for range bodies {
		c, d := to.lease("app")
		if string(d.Event.Body) != bodies[d.Event.ID] || len(d.Event.Headers) != 1 || d.Event.Attempt != 2 {
			t.Errorf("delivery = %+v", d.Event)
		}
		c.Ack(d)
	}
}

// bySubstance reads an export without the sequences, which an import changes.
func bySubstance(t *testing.T, lines string) map[string]v1.DeadLetter {
	t.Helper()
	out := map[string]v1.DeadLetter{}
	for line := range strings.Lines(lines) {
		var d v1.DeadLetter
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		d.DeadLetter, d.Size = "", 0
		out[d.ID] = d
	}
	return out
}

// letter is a line with everything that is needed.
func letter(edit func(map[string]any)) string {
	m := map[string]any{"sink": "app", "id": "a", "type": "t", "hook": "push", "deadAt": "2027-01-31T11:00:00Z", "data": map[string]any{"n": 1}}
	if edit != nil {
		edit(m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b) + "\n"
}

func TestImportLines(t *testing.T) {
	set := func(k string, v any) string { return letter(func(m map[string]any) { m[k] = v }) }
	without := func(k string) string { return letter(func(m map[string]any) { delete(m, k) }) }
	for name, tt := range map[string]struct{ line, want string }{
		"plain":             {letter(nil), ""},
		"no line end":       {strings.TrimSpace(letter(nil)), ""},
		"carriage return":   {strings.TrimSpace(letter(nil)) + "\r\n", ""},
		"sink not listed":   {set("sink", "gone"), ""},
		"no sink":           {without("sink"), "sink"},
		"bad sink":          {set("sink", "a/b"), "sink"},
		"no id":             {without("id"), "id"},
		"long id":           {set("id", strings.Repeat("x", 257)), "id"},
		"control in id":     {set("id", "a\nb"), "id"},
		"long type":         {set("type", strings.Repeat("x", 257)), "type"},
		"no time of death":  {without("deadAt"), "deadAt"},
		"no data":           {without("data"), "data"},
		"bad base64":        {set("data_base64", "%"), "form"},
		"large body":        {set("data_base64", strings.Repeat("AAAA", 2000)), "maxBodyBytes"},
		"long line":         {set("reason", strings.Repeat("x", 200<<10)), "longer"},
		"long reason":       {set("reason", strings.Repeat("x", 513)), "reason"},
		"long answer":       {set("answer", strings.Repeat("x", 2049)), "answer"},
		"bad replay":        {set("replay", "a b"), "replay"},
		"bad time":          {set("time", "noon"), "time"},
		"negative attempts": {set("attempts", -1), "attempts"},
		"unknown field":     {set("sinks", "app"), `"sinks"`},
		"wrong type":        {set("attempts", "many"), "attempts"},
		"unreadable":        {set("unreadable", true), "could not be read"},
		"header of nothing": {set("headers", []any{map[string]any{"name": "", "value": "x"}}), "header"},
		"header with lines": {set("headers", []any{map[string]any{"name": "X", "value": "a\r\nb"}}), "header"},
		"no JSON":           {"hello\n", "JSON"},
		"two objects":       {strings.TrimSpace(letter(nil)) + letter(nil), "behind"},
		"cut off":           {letter(nil)[:30] + "\n", "ends too early"},
		"array":             {"[]\n", "type"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			got := r.imports("\n" + tt.line)
			switch {
			case tt.want == "" && (got.Stored != 1 || got.Refused != 0 || got.Lines != 2):
				t.Errorf("imported = %+v", got)
			case tt.want != "" && (got.Stored != 0 || got.Refused != 1 || len(got.Errors) != 1 || got.Errors[0].Line != 2 || !strings.Contains(got.Errors[0].Error, tt.want)):
				t.Errorf("imported = %+v, want an error about %q", got, tt.want)
			}
		})
	}
}

// Of many wrong lines some are told of, and all are counted; the right ones among
// them are stored.
func TestImportManyWrong(t *testing.T) {
	r := newRig(t, nil)
	var lines strings.Builder
	for n := range 350 {
		lines.WriteString("nonsense\n" + letter(func(m map[string]any) { m["id"] = fmt.Sprint(n) }))
	}
	got := r.imports(lines.String())
	if got.Stored != 350 || got.Refused != 350 || len(got.Errors) != 100 || got.Errors[99].Line != 199 || got.Lines != 700 {
		t.Errorf("stored %d, refused %d, %d errors, the last %+v, %d lines", got.Stored, got.Refused, len(got.Errors), got.Errors[len(got.Errors)-1], got.Lines)
	}
}

// An import ends where there is no room, says how far it came, and can go on.
func TestImportFull(t *testing.T) {
	r := newRig(t, func(l *queue.Limits) { l.DeadLetterCapacity = 300 << 10 })
	var lines []string
	for n := range 300 {
		lines = append(lines, letter(func(m map[string]any) {
			m["id"], m["text"] = fmt.Sprint(n), strings.Repeat("x", 2000)
			delete(m, "data")
		}))
	}
	w := r.do(http.MethodPost, importing, "application/jsonl", strings.Join(lines, ""), nil)
	got := read[v1.Imported](t, w, 503)
	if got.Lines != 100 || got.Stored != 100 || got.Error == "" || w.Header().Get("Retry-After") == "" {
		t.Fatalf("imported = %+v", got)
	}
	r.queue.SetLimits(queue.Limits{Capacity: 1 << 20, DeadLetterCapacity: 10 << 20})
	if rest := r.imports(strings.Join(lines[got.Lines:], "")); rest.Stored != 200 || rest.Known != 0 {
		t.Errorf("the rest = %+v", rest)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(letter(nil)))
	f.Add([]byte(letter(func(m map[string]any) {
		m["data_base64"] = "AAAA"
		m["headers"] = []any{map[string]any{"name": "X", "value": "y"}}
	})))
	f.Add([]byte("\n\n{}\nnonsense"))
	f.Add([]byte(`{"sink":"app","id":"a","deadAt":"2027-01-31T11:00:00Z","text":"x","answer_base64":"/w=="}`))
	r := newRig(f, func(l *queue.Limits) { l.DropOldestDeadLetter = true })
	f.Fuzz(func(t *testing.T, lines []byte) {
		w := serve(r.handler, http.MethodPost, importing, "application/jsonl", strings.NewReader(string(lines)), nil)
		got := read[v1.Imported](t, w, 200)
		if got.Stored+got.Known+got.Refused > got.Lines || got.Refused > 0 && len(got.Errors) == 0 {
			t.Errorf("imported = %+v", got)
		}
	})
}

// No query makes a call fail in the receiver, and what is listed is asked for.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"", "sink=app", "type=message.*&reason=x", "olderThan=1h&limit=2&full=true", "cursor=ZDphcHAvMQ", "since=2027-01-31T12:00:00Z&until=2027-01-31T13:00:00Z", "after=1&hook=push", "%zz=1"} {
		f.Add(q)
	}
	r := newRig(f, nil)
	r.die("a1", "message.new", body(1), "app", "x")
	r.die("a2", "message.read", body(2), "audit", "y")
	f.Fuzz(func(t *testing.T, q string) {
		for _, path := range []string{"/v1/deadletters", "/v1/events", "/v1/quarantine", "/v1/queue"} {
			w := serve(r.handler, http.MethodGet, path, "", nil, func(r *http.Request) { r.URL.RawQuery = q })
			if w.Code != 200 && w.Code != 400 && w.Code != 404 {
				t.Errorf("%s?%s: status = %d: %s", path, q, w.Code, w.Body)
			}
		}
	})
}
