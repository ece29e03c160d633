package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

func encode(e *event.Event, ordinals ...uint32) []byte {
	r := record{e: e, id: e.ID, ordinals: ordinals}
	b := r.appendTo(nil)
	if len(b) != r.size() {
		panic("size is wrong")
	}
	return b
}

var sample = event.Event{
	ID: "e1", Hook: "push", Type: "message.new", Subject: "messaging:fun", Time: "2020-03-30T07:54:46Z", Attempt: 2, ContentType: "application/json",
	Headers:    []event.Header{{Name: "X-Webhook-Id", Value: "e1"}, {Name: "X-Empty"}},
	ReceivedAt: time.Unix(1700000000, 42).UTC(), Body: []byte("{\"a\": 1}\n"),
}

func TestRecord(t *testing.T) {
	for name, e := range map[string]event.Event{
		"full":             sample,
		"empty":            {Body: []byte{}},
		"replayed":         {ID: "e1", ReceivedAt: time.Unix(1700000000, 42).UTC(), Replay: "again", ReplayedAt: time.Unix(1800000000, 1).UTC(), Body: []byte("x")},
		"attempts":         {Attempt: math.MaxInt32, Body: []byte("x")},
		"large":            {ID: "i", Body: bytes.Repeat([]byte{0, 0xff}, 1<<20)},
		"long header":      {Headers: []event.Header{{Name: "A", Value: string(bytes.Repeat([]byte("v"), 5000))}}, Body: []byte("b")},
		"before the epoch": {ReceivedAt: time.Unix(-5, 0).UTC(), Body: []byte("b")},
	} {
		t.Run(name, func(t *testing.T) {
			raw := encode(&e, 1, 300, math.MaxUint32)
			got, err := decodeRecord(raw)
			if err != nil {
				t.Fatal(err)
			}
			whole := cmp.Comparer(bytes.Equal) // looking at each byte by itself takes seconds
			if diff := cmp.Diff(&e, got, whole); diff != "" || (e.Body == nil) != (got.Body == nil) {
				t.Errorf("event (-want +got):\n%.2000s", diff)
			}
			h, err := parseHeader(raw)
			if err != nil || !h.targets.has(1) || !h.targets.has(300) || !h.targets.has(math.MaxUint32) || h.targets.has(2) || h.received != nanos(e.ReceivedAt) {
				t.Errorf("header = %+v, %v", h, err)
			}
		})
	}
}

// TestRecordCut takes something from a record: it is never taken for whole.
func TestRecordCut(t *testing.T) {
	raw := encode(&sample, 1, 2)
	for n := range raw {
		if _, err := decodeRecord(raw[:n]); !errors.Is(err, errRecord) {
			t.Fatalf("%d of %d bytes: %v", n, len(raw), err)
		}
	}
	if _, err := decodeRecord(append(raw, 0)); !errors.Is(err, errRecord) {
		t.Errorf("a byte too much: %v", err)
	}
	raw[0] = recordVersion + 1
	if _, err := decodeRecord(raw); !errors.Is(err, errRecord) {
		t.Errorf("another version: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encode(&sample, 1, 2, 300))
	f.Add(encode(&event.Event{}))
	f.Add([]byte{recordVersion, 0})
	f.Add([]byte{firstRecordVersion, 1, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 1, 'b'})
	f.Add([]byte{recordVersion, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decodeRecord(bytes.Clone(raw))
		if err != nil {
			return
		}
		h, err := parseHeader(raw)
		if err != nil {
			t.Fatalf("a record whose header cannot be read was decoded: %v", err)
		}
		r := record{e: e, id: e.ID}
		for p := (parser{b: h.targets.list}); len(p.b) > 0; {
			ordinal, attempts := p.target(h.targets.plain)
			r.ordinals, r.attempts = append(r.ordinals, uint32(ordinal)), append(r.attempts, attempts)
		}
		again, err := decodeRecord(r.appendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("decoded again (-first +second):\n%s", diff)
		}
	})
}

// FuzzState gives anything to the parsers of the other values: what one takes, it
// writes again in a form that it takes for the same.
func FuzzState(f *testing.F) {
	st := sinkState{active: true, next: 99, holes: []uint64{3, 7, 98}, ledger: ledger{accepted: tally{5, 500}}}
	ch := chunk{first: 1, last: 50, size: tally{2, 20}, from: 1, to: 2, trimmed: true, left: map[uint64]int64{4: 10, 9: 10}}
	f.Add(st.appendTo(nil))
	f.Add((&retry{attempts: 3, due: 1, received: 2, size: 4, reason: "no", lane: 7, wait: 5}).appendTo(nil))
	f.Add([]byte{firstStateVersion, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 8, 2, 'n', 'o'})
	f.Add(ch.appendTo(nil))
	f.Add((&totals{last: 9}).appendTo(nil))
	f.Add((&memory{window: time.Minute, buckets: []bucket{{number: 2, started: 5}, {number: 3, started: 9}}}).appendTo(nil))
	f.Add(appendIsolated(nil, &queue.Quarantined{ReceivedAt: time.Unix(5, 0), Source: "192.0.2.1", Path: "/", Headers: sample.Headers, Body: []byte("x")}, 7))
	f.Add(appendDeadLetter(nil, 3, 4, "reason", []byte("answer"), encode(&sample, 1)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if v, err := parseSinkState(raw); err == nil {
			again, err := parseSinkState(v.appendTo(nil))
			check(t, v, again, err)
		}
		if v, err := parseRetry(raw); err == nil {
			again, err := parseRetry(v.appendTo(nil))
			check(t, v, again, err)
		}
		if v, err := parseChunk(1, raw); err == nil {
			again, err := parseChunk(1, v.appendTo(nil))
			check(t, v, again, err)
		}
		if v, err := parseTotals(raw); err == nil {
			again, err := parseTotals(v.appendTo(nil))
			check(t, v, again, err)
		}
		var m, again memory
		if err := m.parse(raw); err == nil {
			err := again.parse(m.appendTo(nil))
			check(t, &m, &again, err)
		}
		if v, err := parseIsolated(1, raw); err == nil {
			again, err := parseIsolated(1, appendIsolated(nil, v, isolatedAt(raw)))
			check(t, v, again, err)
		}
		if v, err := parseDeadLetter(raw); err == nil && len(v.Reason) > len(raw) {
			t.Errorf("a reason out of nothing")
		}
	})
}

func check[T any](t *testing.T, want, got T, err error) {
	t.Helper()
	opts := cmp.Options{cmp.AllowUnexported(sinkState{}, ledger{}, tally{}, letters{}, retry{}, chunk{}, totals{}, memory{}, bucket{}, filter{}), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(want, got, opts); err != nil || diff != "" {
		t.Errorf("read again: %v (-first +second):\n%s", err, diff)
	}
}

func TestFilter(t *testing.T) {
	var f filter
	budget := filterBudget
	const keys = 300000
	for i := range keys {
		f.add(hashID(fmt.Sprint(i, "in")), &budget)
	}
	wrong := 0
	for i := range keys {
		if !f.has(hashID(fmt.Sprint(i, "in"))) {
			t.Fatalf("key %d was forgotten", i)
		}
		if f.has(hashID(fmt.Sprint(i, "out"))) {
			wrong++
		}
	}
	if wrong > keys/50 {
		t.Errorf("%d of %d new keys are taken for known", wrong, keys)
	}
}

func TestSpanPolicy(t *testing.T) {
	for _, tt := range []struct{ start, end []byte }{
		{nil, []byte{'e'}},
		{[]byte("d..."), []byte{'e'}},
		{appendEventKey(nil, 0), appendEventKey(nil, eventWindow)},
		{appendEventKey(nil, eventWindow-1), appendEventKey(nil, eventWindow)},
		{appendEventKey(nil, eventWindow), appendEventKey(nil, 2*eventWindow)},
		{[]byte("k"), nil},
	} {
		if _, end, err := spanPolicy(tt.start); err != nil || !bytes.Equal(end, tt.end) {
			t.Errorf("spanPolicy(%x) ends at %x, %v; want %x", tt.start, end, err, tt.end)
		}
	}
}
