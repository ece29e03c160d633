package queuetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

func suspect(id string, size int) *queue.Quarantined {
	return &queue.Quarantined{
		ReceivedAt: time.Unix(1700000000, 3).UTC(), Source: "192.0.2.1", Hook: "push", Method: "POST", Path: "/hooks/" + id, Query: "a=b",
		Reason: "signature is wrong", Headers: []event.Header{{Name: "X-Signature", Value: "x"}, {Name: "X-Empty"}}, Body: make([]byte, size),
	}
}

// quarantined lists what is in quarantine.
func (b *bench) quarantined(after uint64) (all []*queue.Quarantined) {
	b.t.Helper()
	err := b.q.Quarantined(after, func(r *queue.Quarantined) bool {
		all = append(all, r)
		return true
	})
	if err != nil {
		b.t.Fatalf("Quarantined: %v", err)
	}
	return all
}

// isolate puts requests into quarantine, and waits for each.
func (b *bench) isolate(size int, ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		b.q.Isolate(suspect(id, size))
		b.eventually("the request is in quarantine", func() bool {
			all := b.quarantined(0)
			return len(all) > 0 && all[len(all)-1].Path == "/hooks/"+id
		})
	}
}

func (b *bench) wantQuarantined(want ...string) {
	b.t.Helper()
	var got []string
	for _, r := range b.quarantined(0) {
		got = append(got, r.Path[len("/hooks/"):])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Fatalf("quarantined (-want +got):\n%s", diff)
	}
	if n := b.q.Stats().Quarantined; n != int64(len(want)) {
		b.t.Fatalf("Stats.Quarantined = %d, want %d", n, len(want))
	}
}

func quarantineLimits(l queue.QuarantineLimits) queue.Limits {
	all := roomy
	all.Quarantine = l
	return all
}

func checkQuarantine(t *testing.T, b *bench) {
	l := quarantineLimits(queue.QuarantineLimits{Requests: 1000, Bytes: 1 << 20, Age: time.Hour})
	b.q.SetLimits(l)
	ids := numbered("q", 100)
	b.isolate(100, ids...)
	for range 2 {
		b.wantQuarantined(ids...)
		all := b.quarantined(0)
		for i, r := range all {
			want := suspect(ids[i], 100)
			want.Sequence = r.Sequence
			if diff := cmp.Diff(want, r); diff != "" || i > 0 && r.Sequence <= all[i-1].Sequence {
				t.Fatalf("request %d (-isolated +got):\n%s", i, diff)
			}
		}
		if got := b.quarantined(all[89].Sequence); len(got) != 10 {
			t.Errorf("%d requests behind the 90th", len(got))
		}
		if st := b.q.Stats(); st.QuarantinedBytes < 100*100 || st.Bytes != 0 || st.QueuedBytes != 0 {
			t.Errorf("stats = %+v", st)
		}
		b.restart()
		b.q.SetLimits(l)
	}
	all := b.quarantined(0)
	for range 2 {
		if err := b.q.DropQuarantined(t.Context(), []uint64{all[0].Sequence, all[50].Sequence, all[99].Sequence, 1 << 40}); err != nil {
			t.Fatal(err)
		}
	}
	b.restart()
	b.q.SetLimits(l)
	b.isolate(100, "new")
	b.wantQuarantined(append(append(append([]string{}, ids[1:50]...), ids[51:99]...), "new")...)
	if got := b.quarantined(all[99].Sequence); len(got) != 1 { // a sequence names one request for ever
		t.Errorf("%d requests behind one that was dropped", len(got))
	}
}

func checkQuarantineBounds(t *testing.T, b *bench) {
	b.q.SetLimits(quarantineLimits(queue.QuarantineLimits{Requests: 3, Bytes: 1 << 20, Age: time.Hour}))
	b.isolate(10, "a", "b", "c", "d", "e")
	b.wantQuarantined("c", "d", "e")
	b.q.SetLimits(quarantineLimits(queue.QuarantineLimits{Requests: 100, Bytes: 10000, Age: time.Hour}))
	b.isolate(4000, "f", "g")
	b.wantQuarantined("c", "d", "e", "f", "g")
	b.isolate(4000, "h")
	b.wantQuarantined("g", "h")
	if st := b.q.Stats(); st.QuarantinedBytes > 10000 || st.QuarantinedBytes < 8000 {
		t.Errorf("QuarantinedBytes = %d", st.QuarantinedBytes)
	}
	b.q.Isolate(suspect("too large", 20000))
	b.isolate(10, "i")
	b.wantQuarantined("g", "h", "i")
	b.q.SetLimits(quarantineLimits(queue.QuarantineLimits{Requests: 100, Bytes: 10000, Age: time.Nanosecond}))
	b.eventually("what is too old is gone", func() bool { return len(b.quarantined(0)) == 0 && b.q.Stats().QuarantinedBytes == 0 })
	b.q.SetLimits(quarantineLimits(queue.QuarantineLimits{Requests: 1000, Bytes: 1 << 20, Age: time.Hour}))
	for i := range 500 { // whatever is dropped because too many wait, nobody waits for it
		b.q.Isolate(suspect(fmt.Sprint(i), 1000))
	}
	b.eventually("there is room again", func() bool {
		b.q.Isolate(suspect("last", 10))
		all := b.quarantined(0)
		return len(all) > 0 && all[len(all)-1].Path == "/hooks/last"
	})
}

func checkQuarantineOff(_ *testing.T, b *bench) {
	on := quarantineLimits(queue.QuarantineLimits{Requests: 10, Bytes: 1 << 20, Age: time.Hour})
	b.q.Isolate(suspect("a", 10))
	b.q.SetLimits(on)
	b.isolate(10, "b")
	b.wantQuarantined("b")
	b.q.SetLimits(roomy)
	b.eventually("the quarantine is empty", func() bool { return b.q.Stats().Quarantined == 0 })
	b.q.Isolate(suspect("c", 10))
	b.restart()
	b.q.SetLimits(on)
	b.wantQuarantined()
}

// checkClosedToPeople does everything with a queue that is closed.
func checkClosedToPeople(t *testing.T, b *bench) {
	b.bury(app, "a")
	b.q.SetLimits(quarantineLimits(queue.QuarantineLimits{Requests: 10, Bytes: 1 << 20, Age: time.Hour}))
	b.isolate(10, "a")
	ids, q := b.letterIDs(), b.q
	b.restart()
	ctx := t.Context()
	one := []queue.Transfer{transfer("b", 0, app)}
	letter := func(*queue.DeadLetter) bool { return true }
	for name, f := range map[string]func() error{
		"DeadLetters":       func() error { return q.DeadLetters(queue.DeadLetterID{}, letter) },
		"DeadLetter":        func() error { _, err := q.DeadLetter(ids[0]); return err },
		"ReplayDeadLetters": func() error { _, err := q.ReplayDeadLetters(ctx, ids, "r"); return err },
		"DropDeadLetters":   func() error { _, err := q.DropDeadLetters(ctx, ids); return err },
		"Events": func() error {
			return q.Events(0, time.Time{}, time.Time{}, func(*queue.StoredEvent) bool { return true })
		},
		"Replay": func() error {
			_, err := q.Replay(ctx, []queue.EventReplay{{Sequence: 1, Sinks: []string{app}}}, "r")
			return err
		},
		"Unfinished":      func() error { return q.Unfinished(func(*queue.Transfer) bool { return true }) },
		"Forget":          func() error { return q.Forget(ctx, one) },
		"Receive":         func() error { _, err := q.Receive(ctx, one); return err },
		"Quarantined":     func() error { return q.Quarantined(0, func(*queue.Quarantined) bool { return true }) },
		"DropQuarantined": func() error { return q.DropQuarantined(ctx, []uint64{1}) },
	} {
		if err := f(); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s of a closed queue: %v", name, err)
		}
	}
	q.Isolate(suspect("b", 10))
}
