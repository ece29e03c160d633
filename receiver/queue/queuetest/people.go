package queuetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// chooseLetters returns some of the dead letters, after it has compared all with
// the model. listed is whether their sinks are.
func (m *model) chooseLetters() (ids []queue.DeadLetterID, listed bool) {
	m.t.Helper()
	var want []queue.DeadLetterID
	for _, name := range slices.Sorted(maps.Keys(m.sinks)) {
		for _, seq := range slices.Sorted(maps.Keys(m.sinks[name].letters)) {
			want = append(want, queue.DeadLetterID{Sink: name, Sequence: seq})
		}
	}
	if diff := cmp.Diff(want, m.letterIDs()); diff != "" {
		m.t.Fatalf("dead letters (-want +got):\n%s", diff)
	}
	listed = true
	for _, id := range want {
		if m.rng.IntN(3) == 0 {
			ids = append(ids, id)
			listed = listed && m.sinks[id.Sink].listed
		}
	}
	return ids, listed
}

func (m *model) replayLetters() {
	m.t.Helper()
	ids, listed := m.chooseLetters()
	m.replays++
	replay := fmt.Sprint("r", m.replays)
	n, err := m.q.ReplayDeadLetters(m.t.Context(), ids, replay)
	switch {
	case !listed && errors.Is(err, queue.ErrUnknownSink), m.tight && errors.Is(err, queue.ErrFull):
		return
	case err != nil || n != len(ids) || !listed && n > 0:
		m.t.Fatalf("ReplayDeadLetters(%v) = %d, %v", ids, n, err)
	}
	for _, id := range ids {
		s := m.sinks[id.Sink]
		e := *s.letters[id.Sequence].Event
		e.Replay = replay
		s.accepted++
		s.waiting[nameOf(&e)] = 0
		delete(s.letters, id.Sequence)
	}
}

func (m *model) dropLetters() {
	m.t.Helper()
	ids, _ := m.chooseLetters()
	if n, err := m.q.DropDeadLetters(m.t.Context(), ids); n != len(ids) || err != nil {
		m.t.Fatalf("DropDeadLetters(%v) = %d, %v", ids, n, err)
	}
	for _, id := range ids {
		delete(m.sinks[id.Sink].letters, id.Sequence)
	}
}

// handOver compares what is left with the model, and forgets some of it.
func (m *model) handOver() {
	m.t.Helper()
	want := map[string]int{}
	for sink, s := range m.sinks {
		for name, attempts := range s.waiting {
			want[sink+"/"+name] = attempts
		}
		for _, d := range s.letters {
			want[sink+"/"+nameOf(d.Event)+"/dead"] = d.Attempts
		}
	}
	got := map[string]int{}
	var some []queue.Transfer
	for _, t := range m.unfinished() {
		for _, d := range t.Deliveries {
			name := d.Sink + "/" + nameOf(t.Event)
			if d.Dead != nil {
				name += "/dead"
			}
			got[name] = d.Attempts
		}
		if m.rng.IntN(4) == 0 {
			some = append(some, t)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		m.t.Fatalf("unfinished (-want +got):\n%s", diff)
	}
	m.forget(some)
	for _, t := range some {
		for _, d := range t.Deliveries {
			s := m.sinks[d.Sink]
			if d.Dead != nil {
				delete(s.letters, t.Sequence)
				continue
			}
			delete(s.waiting, nameOf(t.Event))
			s.handedOver++
		}
	}
}

// receive brings a transfer of another queue, twice.
func (m *model) receive() {
	m.t.Helper()
	name, s := m.pick()
	m.replays++
	t := transfer(fmt.Sprint("t", m.replays), m.rng.IntN(3), name)
	n, err := m.q.Receive(m.t.Context(), []queue.Transfer{t})
	if m.tight && errors.Is(err, queue.ErrFull) {
		return
	}
	if n != 1 || err != nil {
		m.t.Fatalf("Receive = %d, %v", n, err)
	}
	m.bench.receive([]queue.Transfer{t}, 0)
	s.accepted++
	s.waiting[nameOf(t.Event)] = t.Deliveries[0].Attempts
}
