package queuetest

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// bury appends an event for a sink and has it die there.
func (b *bench) bury(sink, id string) *event.Event {
	b.t.Helper()
	e := b.append(id, sink)
	b.consumer(sink).DeadLetter(b.leaseID(sink, id), "refused "+id, []byte("answer to "+id))
	return e
}

// letters lists dead letters.
func (b *bench) letters(after queue.DeadLetterID) (all []*queue.DeadLetter) {
	b.t.Helper()
	err := b.q.DeadLetters(after, func(l *queue.DeadLetter) bool {
		all = append(all, l)
		return true
	})
	if err != nil {
		b.t.Fatalf("DeadLetters: %v", err)
	}
	return all
}

func (b *bench) letterIDs() (ids []queue.DeadLetterID) {
	b.t.Helper()
	for _, l := range b.letters(queue.DeadLetterID{}) {
		ids = append(ids, l.DeadLetterID)
	}
	return ids
}

// wantLetters wants dead letters of certain events, in the order of their listing.
func (b *bench) wantLetters(want ...string) {
	b.t.Helper()
	var got []string
	for _, l := range b.letters(queue.DeadLetterID{}) {
		got = append(got, l.Sink+"/"+l.Event.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Fatalf("dead letters (-want +got):\n%s", diff)
	}
}

func checkLetters(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	before := time.Now().Add(-time.Second)
	events := map[string]*event.Event{}
	for _, id := range numbered("e", 150) { // more than anybody reads at once
		events[id] = b.bury(app, id)
	}
	events["first"] = b.append("first", audit)
	b.consumer(audit).Nack(b.lease(audit), time.Time{}, "")
	b.consumer(audit).DeadLetter(b.lease(audit), "refused first", []byte("answer to first"))
	for range 2 {
		all := b.letters(queue.DeadLetterID{})
		if len(all) != 151 {
			t.Fatalf("%d dead letters, want 151", len(all))
		}
		for i, l := range all {
			id := append(numbered("e", 150), "first")[i]
			want := queue.DeadLetter{
				DeadLetterID: queue.DeadLetterID{Sink: app, Sequence: l.Sequence}, Event: events[id],
				Reason: "refused " + id, Answer: []byte("answer to " + id), DeadAt: l.DeadAt, Size: l.Size,
			}
			if i == 150 {
				want.Sink, want.Attempts = audit, 1
			}
			if diff := cmp.Diff(&want, l); diff != "" {
				t.Fatalf("dead letter %d (-want +got):\n%s", i, diff)
			}
			if l.DeadAt.Before(before) || l.DeadAt.After(time.Now().Add(time.Second)) || l.Size <= int64(len(l.Event.Body)) || l.Sequence == 0 {
				t.Fatalf("dead letter %d: DeadAt %v, Size %d, Sequence %d", i, l.DeadAt, l.Size, l.Sequence)
			}
		}
		if got := b.letters(all[99].DeadLetterID); len(got) != 51 || got[0].DeadLetterID != all[100].DeadLetterID {
			t.Errorf("%d dead letters behind the hundredth", len(got))
		}
		if got := b.letters(queue.DeadLetterID{Sink: "apq"}); len(got) != 1 {
			t.Errorf("%d dead letters of later sinks", len(got))
		}
		one, err := b.q.DeadLetter(all[150].DeadLetterID)
		if diff := cmp.Diff(all[150], one); err != nil || diff != "" {
			t.Errorf("DeadLetter: %v (-listed +got):\n%s", err, diff)
		}
		b.restart()
	}
	for _, id := range []queue.DeadLetterID{{}, {Sink: app, Sequence: 1 << 40}, {Sink: "nobody", Sequence: 1}} {
		if _, err := b.q.DeadLetter(id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("DeadLetter(%v): %v", id, err)
		}
	}
}

func checkDropLetters(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	for _, id := range numbered("e", 100) {
		b.bury(app, id)
	}
	b.bury(audit, "other")
	b.setSinks(app) // dead letters outlive their sinks
	b.restart()
	seen := 0
	err := b.q.DeadLetters(queue.DeadLetterID{}, func(l *queue.DeadLetter) bool {
		seen++
		n, err := b.q.DropDeadLetters(t.Context(), []queue.DeadLetterID{l.DeadLetterID, {Sink: app, Sequence: 1 << 40}, {Sink: "nobody", Sequence: l.Sequence}, l.DeadLetterID})
		if n != 1 || err != nil {
			t.Errorf("DropDeadLetters = %d, %v", n, err)
		}
		return seen < 90
	})
	if seen != 90 || err != nil {
		t.Errorf("%d dead letters seen, %v", seen, err)
	}
	for range 2 {
		b.wantLetters(append(prefixed(app+"/", numbered("e", 100)[90:]), audit+"/other")...)
		b.wantLedger(app, ledger{accepted: 100, dead: 100})
		if s := b.q.Stats().Sinks[app]; s.DeadLetters != 10 || s.DeadLettersDropped != 90 {
			t.Errorf("stats = %+v", s)
		}
		b.restart()
	}
	ids := b.letterIDs()
	if n, err := b.q.DropDeadLetters(t.Context(), ids); n != 11 || err != nil {
		t.Errorf("DropDeadLetters = %d, %v", n, err)
	}
	if n, err := b.q.DropDeadLetters(t.Context(), ids); n != 0 || err != nil {
		t.Errorf("DropDeadLetters again = %d, %v", n, err)
	}
	b.wantLetters()
	if st := b.q.Stats(); st.DeadLetterBytes != 0 || st.Sinks[audit].DeadLetterBytes != 0 {
		t.Errorf("stats = %+v", st)
	}
}

func prefixed(prefix string, list []string) []string {
	list = slices.Clone(list)
	for i := range list {
		list[i] = prefix + list[i]
	}
	return list
}

func checkReplayLetters(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	var events []*event.Event
	for _, id := range numbered("e", 3) {
		e := newEvent(id)
		b.appendEvent(e, byID, queue.Stored, app, audit)
		events = append(events, e)
		b.consumer(app).Nack(b.lease(app), time.Time{}, "")
		b.consumer(app).DeadLetter(b.lease(app), "no", nil)
	}
	ids := b.letterIDs()
	last := ids[2].Sequence
	n, err := b.q.ReplayDeadLetters(t.Context(), []queue.DeadLetterID{ids[2], {Sink: app, Sequence: 1 << 40}, ids[0], {Sink: "nobody", Sequence: 1}, ids[2]}, "replay-1")
	if n != 2 || err != nil {
		t.Fatalf("ReplayDeadLetters = %d, %v", n, err)
	}
	for range 2 {
		b.wantLedger(app, ledger{accepted: 5, dead: 3, queued: 2})
		if s := b.q.Stats().Sinks[app]; s.Replayed != 2 || s.DeadLetters != 1 || s.DeadLettersReplayed != 2 || s.Retrying != 0 {
			t.Errorf("stats = %+v", s)
		}
		b.wantLetters(app + "/" + events[1].ID)
		b.restart()
	}
	for _, i := range []int{2, 0} {
		d := b.lease(app)
		want := *events[i]
		want.Replay, want.ReplayedAt = "replay-1", d.Event.ReplayedAt
		if age := time.Since(want.ReplayedAt); age < 0 || age > time.Hour {
			t.Errorf("replayed at %s", want.ReplayedAt)
		}
		if diff := cmp.Diff(&want, d.Event); diff != "" || d.Attempts != 0 || d.Sequence <= last {
			t.Errorf("replayed as number %d behind %d with %d attempts (-want +got):\n%s", d.Sequence, last, d.Attempts, diff)
		}
		last = d.Sequence
		b.consumer(app).Ack(d)
	}
	if n, err := b.q.ReplayDeadLetters(t.Context(), []queue.DeadLetterID{ids[0], ids[2]}, "replay-2"); n != 0 || err != nil {
		t.Errorf("ReplayDeadLetters again = %d, %v", n, err)
	}
	b.appendEvent(events[0], byID, queue.Duplicate, app)
	b.wantRest(audit, numbered("e", 3)...) // a replay is for one sink
	b.wantLedger(app, ledger{accepted: 5, dead: 3, delivered: 2})
}

func checkReplayLettersRefused(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	b.bury(app, "a")
	b.appendEvent(sized("large", 40<<10), byID, queue.Stored, app)
	b.consumer(app).DeadLetter(b.lease(app), "no", nil)
	b.bury(audit, "c")
	unchanged := func(what string, n int, err, want error) {
		t.Helper()
		if n != 0 || !errors.Is(err, want) {
			t.Errorf("%s: ReplayDeadLetters = %d, %v; want %v", what, n, err, want)
		}
		b.wantLetters(app+"/a", app+"/large", audit+"/c")
		b.wantLedger(app, ledger{accepted: 2, dead: 2})
		b.wantLedger(audit, ledger{accepted: 1, dead: 1})
		b.idle(app)
	}
	for _, name := range []string{"", strings.Repeat("x", event.MaxReplay+1)} {
		if n, err := b.q.ReplayDeadLetters(t.Context(), b.letterIDs(), name); n != 0 || err == nil {
			t.Errorf("ReplayDeadLetters named %q = %d, %v", name, n, err)
		}
	}
	b.setSinks(app)
	n, err := b.q.ReplayDeadLetters(t.Context(), b.letterIDs(), "r")
	unchanged("with an unknown sink", n, err, queue.ErrUnknownSink)
	l := roomy
	l.Capacity = 32 << 10
	b.q.SetLimits(l)
	n, err = b.q.ReplayDeadLetters(t.Context(), b.letterIDs()[:2], "r")
	unchanged("without room", n, err, queue.ErrFull)
	b.restart()
	b.setSinks(app, audit)
	b.q.SetLimits(roomy)
	if n, err := b.q.ReplayDeadLetters(t.Context(), b.letterIDs(), "r"); n != 3 || err != nil {
		t.Errorf("ReplayDeadLetters = %d, %v", n, err)
	}
	b.wantRest(app, "a", "large")
	b.wantRest(audit, "c")
}

// checkReplayFullOfDead replays where dead letters are so many that nothing else
// is accepted: that makes room.
func checkReplayFullOfDead(t *testing.T, b *bench) {
	l := roomy
	l.DeadLetterCapacity = 8 << 10
	b.q.SetLimits(l)
	for _, id := range []string{"a", "b"} {
		b.appendEvent(sized(id, 5000), byID, queue.Stored, app)
		b.consumer(app).DeadLetter(b.lease(app), "no", nil)
	}
	if n, err := b.q.ReplayDeadLetters(t.Context(), b.letterIDs()[:1], "r"); n != 1 || err != nil {
		t.Errorf("ReplayDeadLetters = %d, %v", n, err)
	}
	b.appendEvent(newEvent("c"), byID, queue.Stored, app)
	b.wantRest(app, "a", "c")
}

func checkReplayOnce(t *testing.T, b *bench) {
	ids := numbered("e", 40)
	for _, id := range ids {
		b.bury(app, id)
	}
	letters := b.letterIDs()
	var replayed, dropped atomic.Int64
	together(8, func(i int) {
		var n int
		var err error
		if i == 0 {
			n, err = b.q.DropDeadLetters(t.Context(), letters[:4])
			dropped.Add(int64(n))
		} else {
			n, err = b.q.ReplayDeadLetters(t.Context(), letters, "r")
			replayed.Add(int64(n))
		}
		if err != nil {
			t.Error(err)
		}
	})
	s := b.q.Stats().Sinks[app]
	if replayed.Load()+dropped.Load() != 40 || s.Replayed != replayed.Load() || s.DeadLettersReplayed != replayed.Load() || s.DeadLettersDropped != dropped.Load() {
		t.Errorf("%d replayed, %d dropped, stats %+v", replayed.Load(), dropped.Load(), s)
	}
	if dropped.Load() == 4 {
		ids = ids[4:]
	}
	b.wantRest(app, ids...)
	b.wantLetters()
}
