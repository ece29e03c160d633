package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

func checkExact(t *testing.T, b *bench) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	events := []*event.Event{
		newEvent("plain"),
		{ID: "bare", ReceivedAt: time.Unix(1, 5).UTC(), Body: []byte("x")},
		{ID: "every byte", ReceivedAt: time.Unix(1700000000, 999999999).UTC(), Body: all},
		{ID: "large", ReceivedAt: time.Unix(1700000000, 0).UTC(), Body: bytes.Repeat(all, 8<<10)},
		{ID: strings.Repeat("i", event.MaxID), Type: strings.Repeat("t", event.MaxType), Subject: strings.Repeat("s", event.MaxSubject),
			Attempt: 7, Headers: []event.Header{{Name: "A", Value: ""}, {Name: "B", Value: "ü"}}, ReceivedAt: time.Unix(5, 0).UTC(), Body: []byte("{}\n")},
	}
	for _, e := range events {
		b.appendEvent(e, byID, queue.Stored, app)
	}
	b.restart()
	whole := cmp.Comparer(bytes.Equal) // looking at each byte by itself takes seconds
	for _, want := range events {
		d := b.lease(app)
		if diff := cmp.Diff(want, d.Event, whole); diff != "" {
			t.Errorf("event %q (-appended +leased):\n%.2000s", want.ID, diff)
		}
		b.consumer(app).Ack(d)
	}
	b.wantLedger(app, ledger{accepted: 5, delivered: 5})
}

func checkNoReference(t *testing.T, b *bench) {
	e := newEvent("a")
	want := bytes.Clone(e.Body)
	b.appendEvent(e, byID, queue.Stored, app)
	clear(e.Body)
	e.Headers[0].Value = "changed"
	d := b.lease(app)
	if !bytes.Equal(d.Event.Body, want) || d.Event.Headers[0].Value != "a" {
		t.Errorf("leased event changed with the caller's memory: %q, %v", d.Event.Body, d.Event.Headers)
	}
	first := d.Event
	b.consumer(app).Ack(d)
	for i := range 100 { // what was leased must not be overwritten either
		b.append(fmt.Sprint(i), app)
		b.consumer(app).Ack(b.lease(app))
	}
	if !bytes.Equal(first.Body, want) {
		t.Errorf("a leased body was overwritten: %q", first.Body)
	}
}

func checkNoSinks(t *testing.T, b *bench) {
	b.append("a")
	b.append("b", app)
	b.wantRest(app, "b")
	b.wantLedger(app, ledger{accepted: 1, delivered: 1})
}

func checkUnknownSink(t *testing.T, b *bench) {
	if _, err := b.q.Append(t.Context(), newEvent("a"), byID, []string{app, "nobody"}); !errors.Is(err, queue.ErrUnknownSink) {
		t.Errorf("Append for an unknown sink: %v", err)
	}
	if _, err := b.q.Consumer("nobody"); !errors.Is(err, queue.ErrUnknownSink) {
		t.Errorf("Consumer of an unknown sink: %v", err)
	}
	b.wantLedger(app, ledger{})
	b.appendEvent(newEvent("a"), byID, queue.Stored, app) // nothing was stored, so it is new
}

func checkEndedContext(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		e := newEvent("a")
		out, err := b.q.Append(ctx, e, byID, []string{app})
		if err == nil && out != queue.Stored && out != queue.Duplicate {
			t.Fatalf("Append with an ended context = %v", out)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("Append with an ended context: %v", err)
		}
	}
	out, err := b.q.Append(t.Context(), newEvent("a"), byID, []string{app})
	if err != nil || out == queue.StoredSuffixed {
		t.Fatalf("Append afterwards = %v, %v", out, err)
	}
	b.wantRest(app, "a") // once, whatever became of the first ones
}

func withBody(id, body string) *event.Event {
	e := newEvent(id)
	e.Body = []byte(body)
	return e
}

func checkByID(t *testing.T, b *bench) {
	b.appendEvent(withBody("a", "one"), byID, queue.Stored, app)
	b.appendEvent(withBody("a", "one"), byID, queue.Duplicate, app)
	b.appendEvent(withBody("b", "one"), byID, queue.Stored, app)
	b.appendEvent(withBody("a", "two"), byID, queue.StoredSuffixed, app)
	b.appendEvent(withBody("a", "two"), byID, queue.Duplicate, app)
	b.appendEvent(withBody("a", "three"), byID, queue.StoredSuffixed, app)
	b.appendEvent(withBody("a", "one"), byID, queue.Duplicate, app)
	ids := set{}
	for range 4 {
		d := b.lease(app)
		ids[d.Event.ID] = true
		if !strings.HasPrefix(d.Event.ID, "a~") && d.Event.ID != "a" && d.Event.ID != "b" {
			t.Errorf("unexpected id %q", d.Event.ID)
		}
	}
	if len(ids) != 4 {
		t.Errorf("ids = %q, want four different ones", ids.sorted())
	}
	b.idle(app)
}

func checkByBody(_ *testing.T, b *bench) {
	byBody := queue.Dedup{Key: queue.ByBody, Window: time.Hour}
	b.appendEvent(withBody("a", "one"), byBody, queue.Stored, app)
	b.appendEvent(withBody("b", "one"), byBody, queue.Duplicate, app)
	b.appendEvent(withBody("a", "two"), byBody, queue.Stored, app)
	b.wantRest(app, "a", "a")
}

func checkNoDedup(_ *testing.T, b *bench) {
	for range 3 {
		b.appendEvent(newEvent("a"), queue.Dedup{}, queue.Stored, app)
	}
	b.wantRest(app, "a", "a", "a")
}

func checkConcurrentDuplicates(t *testing.T, b *bench) {
	for _, id := range numbered("e", 50) {
		var stored, duplicate atomic.Int64
		together(8, func(int) {
			switch out, err := b.q.Append(t.Context(), newEvent(id), byID, []string{app}); {
			case err != nil:
				t.Errorf("Append(%q): %v", id, err)
			case out == queue.Stored:
				stored.Add(1)
			case out == queue.Duplicate:
				duplicate.Add(1)
			}
		})
		if stored.Load() != 1 || duplicate.Load() != 7 {
			t.Fatalf("%q was stored %d times, duplicate %d times", id, stored.Load(), duplicate.Load())
		}
	}
	b.wantRest(app, numbered("e", 50)...)
}

func checkConcurrentConflicts(t *testing.T, b *bench) {
	const bodies = 4
	for _, id := range numbered("e", 20) {
		var outcomes [4]atomic.Int64
		together(3*bodies, func(i int) {
			out, err := b.q.Append(t.Context(), withBody(id, fmt.Sprint(i%bodies)), byID, []string{app})
			if err != nil {
				t.Errorf("Append(%q): %v", id, err)
				return
			}
			outcomes[out].Add(1)
		})
		if outcomes[queue.Stored].Load() != 1 || outcomes[queue.StoredSuffixed].Load() != bodies-1 {
			t.Fatalf("%q: %d stored, %d suffixed", id, outcomes[queue.Stored].Load(), outcomes[queue.StoredSuffixed].Load())
		}
	}
	if got := len(b.rest(app)); got != 20*bodies {
		t.Errorf("%d events, want %d", got, 20*bodies)
	}
}

// together runs f n times at once.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func checkDedupRestart(_ *testing.T, b *bench) {
	b.appendEvent(withBody("a", "one"), byID, queue.Stored, app)
	b.appendEvent(withBody("a", "two"), byID, queue.StoredSuffixed, app)
	b.consumer(app).Ack(b.lease(app))
	b.restart()
	b.appendEvent(withBody("a", "one"), byID, queue.Duplicate, app)
	b.appendEvent(withBody("a", "two"), byID, queue.Duplicate, app)
	b.appendEvent(withBody("c", "one"), byID, queue.Stored, app)
}

func checkWindow(t *testing.T, b *bench) {
	d := queue.Dedup{Key: queue.ByID, Window: 50 * time.Millisecond}
	start := time.Now()
	b.appendEvent(newEvent("a"), d, queue.Stored, app)
	var again time.Duration
	b.eventually("the event is new again", func() bool {
		again = time.Since(start)
		out, err := b.q.Append(t.Context(), withBody("a", string(newEvent("a").Body)), d, []string{app})
		if err != nil {
			t.Fatalf("Append: %v", err)
		}
		again = max(again, time.Since(start))
		return out == queue.Stored
	})
	if again < d.Window {
		t.Errorf("the event was forgotten after %v, within the window", again)
	}
}
