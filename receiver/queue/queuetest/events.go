package queuetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// events lists events.
func (b *bench) events(after uint64, since, until time.Time) (all []*queue.StoredEvent) {
	b.t.Helper()
	err := b.q.Events(after, since, until, func(e *queue.StoredEvent) bool {
		all = append(all, e)
		return true
	})
	if err != nil {
		b.t.Fatalf("Events: %v", err)
	}
	return all
}

func eventIDs(list []*queue.StoredEvent) (ids []string) {
	for _, e := range list {
		ids = append(ids, e.Event.ID)
	}
	return ids
}

func checkEvents(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	start := time.Now().Add(-time.Hour).UTC().Round(0)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	ids := numbered("e", 200)
	var want []*event.Event
	for i, id := range ids {
		e := newEvent(id)
		e.ReceivedAt = at(i)
		want = append(want, e)
		b.appendEvent(e, byID, queue.Stored, []string{app, audit}[:i%3]...)
	}
	for range 50 { // what has finished is stored as well
		b.consumer(app).Ack(b.lease(app))
	}
	for range 2 {
		all := b.events(0, time.Time{}, time.Time{})
		if len(all) != len(ids) {
			t.Fatalf("%d events, want %d", len(all), len(ids))
		}
		for i, e := range all {
			if diff := cmp.Diff(want[i], e.Event); diff != "" || i > 0 && e.Sequence <= all[i-1].Sequence || !slices.Equal(e.Sinks, []string{app, audit}[:i%3]) {
				t.Fatalf("event %d, of number %d for %q (-want +got):\n%s", i, e.Sequence, e.Sinks, diff)
			}
		}
		for _, tt := range []struct {
			name         string
			after        uint64
			since, until time.Time
			want         []string
		}{
			{"since", 0, at(150), time.Time{}, ids[150:]},
			{"until", 0, time.Time{}, at(20), ids[:20]},
			{"between", 0, at(10), at(110), ids[10:110]},
			{"behind", all[99].Sequence, time.Time{}, time.Time{}, ids[100:]},
			{"behind and between", all[99].Sequence, at(50), at(120), ids[100:120]},
			{"in the future", 0, time.Now().Add(time.Hour), time.Time{}, nil},
			{"before all", 0, time.Time{}, at(0), nil},
			{"behind all", all[199].Sequence, time.Time{}, time.Time{}, nil},
		} {
			if diff := cmp.Diff(tt.want, eventIDs(b.events(tt.after, tt.since, tt.until))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
		b.restart()
	}
	seen := 0
	err := b.q.Events(0, time.Time{}, time.Time{}, func(*queue.StoredEvent) bool { // it may call the queue
		seen++
		b.append("more", app)
		return seen < 100
	})
	if seen != 100 || err != nil {
		t.Errorf("%d events seen, %v", seen, err)
	}
}

func checkReplay(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	b.append("a", app)
	b.append("b", app, audit)
	b.wantRest(app, "a", "b")
	all := b.events(0, time.Time{}, time.Time{})
	n, err := b.q.Replay(t.Context(), []queue.EventReplay{
		{Sequence: all[1].Sequence, Sinks: []string{app, app}},
		{Sequence: 1 << 40, Sinks: []string{app}},
		{Sequence: all[0].Sequence, Sinks: []string{audit, app}},
	}, "again")
	if n != 2 || err != nil {
		t.Fatalf("Replay = %d, %v", n, err)
	}
	b.restart()
	b.wantLedger(app, ledger{accepted: 4, delivered: 2, queued: 2})
	b.wantLedger(audit, ledger{accepted: 2, queued: 2})
	if s := b.q.Stats().Sinks; s[app].Replayed != 2 || s[audit].Replayed != 1 {
		t.Errorf("stats = %+v", s)
	}
	d := b.leaseID(app, "b")
	if d.Event.Replay != "again" || !d.Event.ReceivedAt.Equal(all[1].Event.ReceivedAt) || d.Attempts != 0 || time.Since(d.Event.ReplayedAt) > time.Hour {
		t.Errorf("replayed: %+v", d)
	}
	b.consumer(app).Ack(d)
	b.wantRest(app, "a")
	b.wantRest(audit, "a", "b")
	var replays []string
	for _, e := range b.events(0, time.Time{}, time.Time{}) { // a replay is stored like any event
		replays = append(replays, e.Event.ID+e.Event.Replay)
	}
	if diff := cmp.Diff([]string{"a", "b", "bagain", "aagain"}, replays); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func checkReplayRefused(t *testing.T, b *bench) {
	b.appendEvent(sized("a", 20<<10), byID, queue.Stored, app)
	b.consumer(app).Ack(b.lease(app))
	seq := b.events(0, time.Time{}, time.Time{})[0].Sequence
	one := []queue.EventReplay{{Sequence: seq, Sinks: []string{app}}}
	for _, tt := range []struct {
		name     string
		replays  []queue.EventReplay
		capacity int64
		want     error
	}{
		{"unknown sink", append([]queue.EventReplay{{Sequence: seq, Sinks: []string{"nobody"}}}, one...), 1 << 30, queue.ErrUnknownSink},
		{"full", append(slices.Clone(one), one...), 30 << 10, queue.ErrFull},
	} {
		l := roomy
		l.Capacity = tt.capacity
		b.q.SetLimits(l)
		if n, err := b.q.Replay(t.Context(), tt.replays, "r"); n != 0 || !errors.Is(err, tt.want) {
			t.Errorf("%s: Replay = %d, %v", tt.name, n, err)
		}
		b.wantLedger(app, ledger{accepted: 1, delivered: 1})
	}
	if n, err := b.q.Replay(t.Context(), one, ""); n != 0 || err == nil {
		t.Errorf("Replay without a name = %d, %v", n, err)
	}
	b.idle(app)
}
