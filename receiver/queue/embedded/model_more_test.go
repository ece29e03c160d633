package embedded_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// full reports whether an operation had no room, which is no mistake.
func (m *model) full(what string, n int, err error) bool {
	m.did("%s %d: %v", what, n, err)
	if err != nil && !errors.Is(err, queue.ErrFull) {
		m.errorf("%s: %v", what, err)
	}
	return err != nil
}

// someLetters picks dead letters of a sink that are there.
func (m *model) someLetters() (name string, s *sinkModel, keys []string, ids []queue.DeadLetterID) {
	m.observe() // so that it is known which were dropped
	name, s = m.sink()
	keys = some(m.rng, slices.Sorted(maps.Keys(s.letters)))
	keys = slices.CompactFunc(keys, func(a, b string) bool { return eventOf(a) == eventOf(b) }) // one replay of each event
	for _, key := range keys {
		ids = append(ids, queue.DeadLetterID{Sink: name, Sequence: s.letters[key]})
	}
	return name, s, keys, ids
}

// eventOf is the id in a key.
func eventOf(key string) string { return key[:len("m-0000")] }

func (m *model) replayLetters() {
	name, s, keys, ids := m.someLetters()
	if !s.listed || len(ids) == 0 {
		return
	}
	m.next++
	mark := fmt.Sprint("r", m.next)
	n, err := m.q.ReplayDeadLetters(m.t.Context(), ids, mark)
	if m.full("replay letters", n, err) {
		return
	}
	if n != len(ids) {
		m.errorf("%d of %d dead letters were replayed", n, len(ids))
	}
	for _, key := range keys {
		delete(s.letters, key)
		m.accept([]string{name}, eventOf(key)+"/"+mark, 0)
		s.replayed++
	}
	m.synced()
}

func (m *model) dropLetters() {
	_, s, keys, ids := m.someLetters()
	if len(ids) == 0 {
		return
	}
	n, err := m.q.DropDeadLetters(m.t.Context(), ids)
	if m.full("drop letters", n, err); n != len(ids) {
		m.errorf("%d of %d dead letters were dropped", n, len(ids))
	}
	for _, key := range keys {
		delete(s.letters, key)
	}
	m.synced()
}

// replayEvents replays some of the events that are stored.
func (m *model) replayEvents() {
	var replays []queue.EventReplay
	var ids []string
	seen := idSet{}
	targets := some(m.rng, m.listed())
	err := m.q.Events(0, time.Time{}, time.Time{}, func(e *queue.StoredEvent) bool {
		if m.rng.IntN(4) == 0 && !seen[e.Event.ID] {
			seen[e.Event.ID] = true
			ids = append(ids, e.Event.ID)
			replays = append(replays, queue.EventReplay{Sequence: e.Sequence, Sinks: targets})
		}
		return len(replays) < 3
	})
	if err != nil {
		m.errorf("Events: %v", err)
	}
	if len(replays) == 0 || len(targets) == 0 {
		return
	}
	m.next++
	mark := fmt.Sprint("e", m.next)
	n, err := m.q.Replay(m.t.Context(), replays, mark)
	if m.full("replay events", n, err) {
		return
	}
	if n < len(replays) { // some may have been evicted meanwhile
		there := m.queuedOf(targets[0], m.sinks[targets[0]])
		ids = slices.DeleteFunc(ids, func(id string) bool { _, ok := there[id+"/"+mark]; return !ok })
	}
	if n != len(ids) {
		m.errorf("%d of %d events were replayed, and %v are there", n, len(replays), ids)
	}
	for _, id := range ids {
		m.accept(targets, id+"/"+mark, 0)
		for _, name := range targets {
			m.sinks[name].replayed++
		}
	}
	m.synced()
}

// receive takes over events of another queue, twice.
func (m *model) receive() {
	targets := some(m.rng, m.listed())
	if len(targets) == 0 {
		return
	}
	m.next++
	id, attempts := fmt.Sprintf("x-%04d", m.next), m.rng.IntN(3)
	transfer := queue.Transfer{Sequence: 7, Event: newEvent(id)}
	for _, name := range targets {
		transfer.Deliveries = append(transfer.Deliveries, queue.TransferDelivery{Sink: name, Attempts: attempts})
	}
	n, err := m.q.Receive(m.t.Context(), []queue.Transfer{transfer})
	if m.full("receive", n, err) {
		return
	}
	if n != 1 {
		m.errorf("Receive = %d", n)
	}
	m.accept(targets, id, attempts)
	for _, name := range targets {
		m.sinks[name].received++
	}
	m.synced()
	if n, err := m.q.Receive(m.t.Context(), []queue.Transfer{transfer}); n != 0 || err != nil {
		m.errorf("Receive again = %d, %v", n, err)
	}
}

// forget hands some deliveries over to another queue.
func (m *model) forget() {
	m.observe() // so that what was shed is known
	var gone []queue.Transfer
	err := m.q.Unfinished(func(tr *queue.Transfer) bool {
		dead := slices.ContainsFunc(tr.Deliveries, func(d queue.TransferDelivery) bool { return d.Dead != nil })
		if !dead && m.rng.IntN(3) == 0 {
			gone = append(gone, *tr)
		}
		return len(gone) < 3
	})
	if err == nil {
		err = m.q.Forget(m.t.Context(), gone)
	}
	if m.full("forget", len(gone), err); len(gone) == 0 {
		return
	}
	for _, tr := range gone {
		for _, d := range tr.Deliveries {
			s, key := m.sinks[d.Sink], keyOf(tr.Event)
			if s.queued[key] == nil || s.held[key] != nil || s.queued[key].attempts != d.Attempts {
				m.errorf("%q of %q was offered with %d attempts; the model has %+v", key, d.Sink, d.Attempts, s.queued[key])
			}
			delete(s.queued, key)
			s.handedOver++
		}
	}
	m.synced()
}
