package embedded_test

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

func (m *model) restart() {
	m.did("restart")
	if err := m.q.Close(); err != nil {
		m.errorf("Close: %v", err)
	}
	m.synced()
	m.reopen()
}

func (m *model) reopen() {
	for _, s := range m.sinks {
		clear(s.held)
	}
	m.open()
}

// crash loses what was not synced, or some of it, and goes on with what is left.
func (m *model) crash() {
	m.observe() // so that what was shed is known
	percent := []int{0, 50, 100}[m.rng.IntN(3)]
	m.did("crash %d", percent)
	crashed := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: m.rng})
	_ = m.q.Close()
	m.fs = crashed
	m.reopen()
	for name, s := range m.sinks {
		m.recover(name, s)
	}
	m.observe()
	m.synced()
}

// recover finds out what of the last things before a crash is on disk: each was
// done, or was not.
func (m *model) recover(name string, s *sinkModel) {
	letters, queued := m.lettersOf(name), m.queuedOf(name, s)
	for key, d := range s.lately {
		if !s.listed {
			break
		}
		_, isLetter := letters[key]
		switch attempts, isQueued := queued[key]; {
		case isQueued && !isLetter && attempts >= d.surely && attempts <= d.attempts:
			d.attempts, d.due = attempts, time.Time{}
			s.queued[key] = d
			delete(s.acked, key)
			delete(s.dead, key)
			delete(s.letters, key)
		case isQueued:
			m.errorf("%q: %q is queued with %d attempts after a crash; a letter: %v", name, key, attempts, isLetter)
		}
	}
	clear(s.lately)
	for key, d := range s.queued {
		if attempts, ok := queued[key]; ok && attempts >= d.surely && attempts <= d.attempts {
			d.attempts, d.due = attempts, time.Time{}
		}
	}
}

// lettersOf returns the dead letters of a sink.
func (m *model) lettersOf(name string) map[string]uint64 {
	letters := map[string]uint64{}
	err := m.q.DeadLetters(queue.DeadLetterID{Sink: name}, func(l *queue.DeadLetter) bool {
		if l.Sink == name {
			letters[keyOf(l.Event)] = l.Sequence
		}
		return l.Sink == name
	})
	if err != nil {
		m.errorf("DeadLetters: %v", err)
	}
	return letters
}

// queuedOf leases all that is queued and not leased, and gives it back.
func (m *model) queuedOf(name string, s *sinkModel) map[string]int {
	queued := map[string]int{}
	if !s.listed {
		return queued
	}
	m.clock.add(10 * time.Minute) // all retries are due
	c, err := m.q.Consumer(name)
	if err != nil {
		m.t.Fatalf("after %q: Consumer(%q): %v", m.log, name, err)
	}
	var all []*queue.Delivery
	for m.q.Stats().Sinks[name].Queued > int64(len(s.held)+len(all)) {
		d := leaseOrSettle(m.t, m.q, c, name, len(s.held)+len(all))
		if d == nil {
			break
		}
		if _, twice := queued[keyOf(d.Event)]; twice {
			m.errorf("%q: %q is queued twice", name, keyOf(d.Event))
		}
		queued[keyOf(d.Event)] = d.Attempts
		all = append(all, d)
	}
	for _, d := range all {
		c.Release(d)
	}
	for key, d := range s.held {
		queued[key] = d.Attempts
	}
	return queued
}

// observe compares all sets and ledgers.
func (m *model) observe() {
	m.did("observe")
	for _, name := range []string{"a", "b", "c"} {
		m.observeSink(name, m.sinks[name])
	}
}

func (m *model) observeSink(name string, s *sinkModel) {
	queued, letters := m.queuedOf(name, s), m.lettersOf(name)
	st := m.q.Stats().Sinks[name]
	for key, attempts := range queued {
		if known := s.queued[key]; known == nil || known.attempts != attempts {
			m.errorf("%q: %q is queued with %d attempts; the model has %+v", name, key, attempts, known)
		}
	}
	shed := int64(0) // DropOldest may have dropped what is queued and not leased
	for key := range s.queued {
		if _, ok := queued[key]; !ok {
			shed++
			delete(s.queued, key)
		}
	}
	if s.dropped += shed; shed > 0 && name != "b" {
		m.errorf("%q: %d deliveries are gone", name, shed)
	}
	for key, seq := range letters {
		if known, ok := s.letters[key]; !ok || known != seq && known != 0 {
			m.errorf("%q: dead letter %q that is none", name, key)
		}
	}
	if len(letters) < len(s.letters) && st.DeadLettersDropped == 0 {
		m.errorf("%q: dead letters are gone: %v of %v", name, letters, s.letters)
	}
	s.letters = letters
	want := queue.SinkStats{
		Accepted: s.accepted, Delivered: int64(len(s.acked)), Dead: int64(len(s.dead)), Dropped: s.dropped, HandedOver: s.handedOver,
		Queued: int64(len(s.queued)), Replayed: s.replayed, Received: s.received, DeadLetters: int64(len(letters)),
	}
	got := queue.SinkStats{
		Accepted: st.Accepted, Delivered: st.Delivered, Dead: st.Dead, Dropped: st.Dropped, HandedOver: st.HandedOver,
		Queued: st.Queued, Replayed: st.Replayed, Received: st.Received, DeadLetters: st.DeadLetters,
	}
	if got != want {
		m.errorf("%q: ledger\n%+v, the model has\n%+v", name, got, want)
	}
}
