package embedded_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// delivery is what the model knows of one that is queued.
type delivery struct {
	attempts, surely int // surely is how many are on disk for sure
	due              time.Time
}

// sinkModel is what a sink's part of the queue must hold. Keys are ids, with the
// name of the replay that made them.
type sinkModel struct {
	listed                        bool
	queued                        map[string]*delivery
	held                          map[string]*queue.Delivery // leased
	acked, dead                   idSet                      // as sets of keys; those that were replayed or dropped stay dead
	letters                       map[string]uint64          // dead letters that are kept
	lately                        map[string]*delivery       // ended since the last sync, by an ack or as dead
	accepted, dropped, handedOver int64
	replayed, received            int64
}

func newSinkModel() *sinkModel {
	return &sinkModel{
		queued: map[string]*delivery{}, held: map[string]*queue.Delivery{}, acked: idSet{}, dead: idSet{},
		letters: map[string]uint64{}, lately: map[string]*delivery{},
	}
}

// model runs random operations on a queue and on sets in memory.
type model struct {
	t      *testing.T
	rng    *rand.Rand
	fs     *vfs.MemFS
	q      *embedded.Queue
	clock  *clock
	limits queue.Limits
	sinks  map[string]*sinkModel
	stored map[string]time.Time // when each event was appended
	next   int
	log    []string // what was done
}

const modelWindow = time.Hour

// TestModel compares the queue with a model of sets, over thousands of short runs
// of random operations: appends with repetitions, leases and all ways to end them,
// sinks that come and go, limits that change, clocks that go on, dead letters that
// are replayed or dropped, hand-over both ways, restarts, and crashes that lose what
// was not synced. FAIRLEAD_MODEL_RUNS sets how many;
// FAIRLEAD_SEED and FAIRLEAD_MODEL_FROM repeat a run.
func TestModel(t *testing.T) {
	seed := seeded(t).Uint64()
	runs := 4000 / sparse(2)
	if n, err := strconv.Atoi(os.Getenv("FAIRLEAD_MODEL_RUNS")); err == nil {
		runs = n
	}
	if testing.Short() {
		runs /= 10
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for run := range next {
				done := make(chan struct{})
				go func() { // which a fatal failure ends
					defer close(done)
					modelRun(t, seed, run)
				}()
				<-done
			}
		})
	}
	first, _ := strconv.Atoi(os.Getenv("FAIRLEAD_MODEL_FROM"))
	for run := first; run < first+runs && !t.Failed(); run++ {
		next <- run
	}
	close(next)
	wg.Wait()
}

func modelRun(t *testing.T, seed uint64, run int) {
	m := &model{
		t: t, rng: rand.New(rand.NewPCG(seed, uint64(run))), fs: vfs.NewCrashableMem(), clock: &clock{t: time.Unix(1700000000, 0)},
		sinks: map[string]*sinkModel{"a": newSinkModel(), "b": newSinkModel(), "c": newSinkModel()}, stored: map[string]time.Time{},
	}
	m.limits = m.someLimits()
	m.open()
	defer func() { _ = m.q.Close() }()
	m.setSinks()
	ops := []func(){
		m.append, m.append, m.append, m.append, m.repeat, m.lease, m.lease, m.lease, m.ack, m.ack, m.nack, m.release, m.kill,
		m.replayLetters, m.dropLetters, m.replayEvents, m.receive, m.forget, m.moveClock, m.observe,
	}
	rare := []func(){m.setSinks, m.setLimits, m.restart, m.crash, m.crash}
	for range 10 + m.rng.IntN(40) {
		if m.rng.IntN(12) == 0 {
			rare[m.rng.IntN(len(rare))]()
		} else {
			ops[m.rng.IntN(len(ops))]()
		}
	}
	m.observe()
	if t.Failed() {
		t.Logf("run %d did %q", run, m.log)
	}
}

func (m *model) did(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) errorf(format string, args ...any) {
	m.t.Helper()
	m.t.Errorf("after %q: "+format, append([]any{m.log[max(len(m.log)-8, 0):]}, args...)...)
}

func (m *model) open() {
	q, err := embedded.Open(embedded.Options{
		Dir: "q", FS: m.fs, Now: m.clock.now, Limits: m.limits, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		m.t.Fatalf("after %q: Open: %v", m.log, err)
	}
	m.q = q
}

func (m *model) someLimits() queue.Limits {
	l := queue.Limits{Capacity: 1 << 20, Retention: time.Duration(1+m.rng.IntN(60)) * time.Minute, DeadLetterCapacity: 1 << 20}
	if m.rng.IntN(3) == 0 {
		l.Capacity = 1000 + m.rng.Int64N(4000)
	}
	if m.rng.IntN(3) == 0 {
		l.DeadLetterCapacity, l.DropOldestDeadLetter = 200+m.rng.Int64N(500), true
	}
	if m.rng.IntN(2) == 0 {
		l.DropOldest = []string{"b"}
	}
	return l
}

func (m *model) setLimits() {
	m.limits = m.someLimits()
	m.did("limits %+v", m.limits)
	m.q.SetLimits(m.limits)
}

// listed are the names of the sinks that are.
func (m *model) listed() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(m.sinks)) {
		if m.sinks[name].listed {
			names = append(names, name)
		}
	}
	return names
}

// some returns a random part of a list.
func some[T any](rng *rand.Rand, list []T) (part []T) {
	for _, x := range list {
		if rng.IntN(3) > 0 {
			part = append(part, x)
		}
	}
	return part
}

// one returns a random key, or "".
func one[V any](rng *rand.Rand, of map[string]V) string {
	keys := slices.Sorted(maps.Keys(of))
	if len(keys) == 0 {
		return ""
	}
	return keys[rng.IntN(len(keys))]
}

func (m *model) sink() (string, *sinkModel) {
	name := []string{"a", "b", "c"}[m.rng.IntN(3)]
	return name, m.sinks[name]
}

func (m *model) setSinks() {
	names := some(m.rng, []string{"a", "b", "c"})
	m.did("sinks %v", names)
	if err := m.q.SetSinks(names); err != nil {
		m.errorf("SetSinks: %v", err)
	}
	if !slices.Equal(names, m.listed()) { // else nothing is written
		m.synced()
	}
	for name, s := range m.sinks {
		listed := slices.Contains(names, name)
		if s.listed && !listed {
			s.dropped += int64(len(s.queued))
			s.queued, s.held = map[string]*delivery{}, map[string]*queue.Delivery{}
		}
		s.listed = listed
	}
}

// synced is called when all that was done is on disk.
func (m *model) synced() {
	for _, s := range m.sinks {
		clear(s.lately)
		for _, d := range s.queued {
			d.surely = d.attempts
		}
	}
}

func keyOf(e *event.Event) string {
	if e.Replay == "" {
		return e.ID
	}
	return e.ID + "/" + e.Replay
}

var modelDedup = queue.Dedup{Key: queue.ByID, Window: modelWindow}

// wouldFit reports whether n more deliveries would surely fit, and whether they
// surely would not.
func (m *model) wouldFit(n int) (surely, never bool) {
	const least, most = 50, 150
	st := m.q.Stats()
	full := !m.limits.DropOldestDeadLetter && st.DeadLetterBytes >= m.limits.DeadLetterCapacity
	return st.QueuedBytes+int64(n)*most <= m.limits.Capacity && !full, st.QueuedBytes+int64(n)*least > m.limits.Capacity && !m.mayShed()
}

func (m *model) mayShed() bool { return len(m.limits.DropOldest) > 0 && m.sinks["b"].listed }

func (m *model) append() {
	m.next++
	id, targets := fmt.Sprintf("m-%04d", m.next), some(m.rng, m.listed())
	surely, never := m.wouldFit(len(targets))
	out, err := m.q.Append(m.t.Context(), newEvent(id), modelDedup, targets)
	m.did("append %s %v: %v", id, targets, err)
	switch {
	case errors.Is(err, queue.ErrFull):
		if surely || len(targets) == 0 {
			m.errorf("Append says that the queue is full: %+v", m.q.Stats())
		}
		return
	case err != nil || out != queue.Stored:
		m.errorf("Append(%q) = %v, %v", id, out, err)
		return
	case never && len(targets) > 0:
		m.errorf("Append stored over the capacity: %+v", m.q.Stats())
	}
	m.stored[id] = m.clock.now()
	m.accept(targets, id, 0)
	m.synced()
}

func (m *model) accept(sinks []string, key string, attempts int) {
	for _, name := range sinks {
		s := m.sinks[name]
		s.accepted++
		s.queued[key] = &delivery{attempts: attempts, surely: attempts}
	}
}

// repeat brings an event again.
func (m *model) repeat() {
	id := one(m.rng, m.stored)
	if id == "" || m.clock.now().Sub(m.stored[id]) >= modelWindow {
		return
	}
	out, err := m.q.Append(m.t.Context(), newEvent(id), modelDedup, m.listed())
	m.did("repeat %s", id)
	if err != nil || out != queue.Duplicate {
		m.errorf("Append(%q) again = %v, %v", id, out, err)
	}
}

// due reports whether a sink has a delivery that can be leased.
func (m *model) due(s *sinkModel) bool {
	if m.mayShed() {
		return false // some may have been dropped; observe finds out
	}
	for key, d := range s.queued {
		if s.held[key] == nil && !d.due.After(m.clock.now()) {
			return true
		}
	}
	return false
}

func (m *model) lease() {
	name, s := m.sink()
	if s.listed && m.due(s) {
		m.did("lease %s", name)
		m.leaseOne(name, s)
	}
}

// leaseOne leases and checks that it is what the model knows.
func (m *model) leaseOne(name string, s *sinkModel) *queue.Delivery {
	c, err := m.q.Consumer(name)
	if err != nil {
		m.t.Fatalf("after %q: Consumer(%q): %v", m.log, name, err)
	}
	d := leaseOrSettle(m.t, m.q, c, name, len(s.held))
	if d == nil {
		m.errorf("%q: nothing can be leased of %v", name, slices.Sorted(maps.Keys(s.queued)))
		return nil
	}
	key := keyOf(d.Event)
	known := s.queued[key]
	if known == nil || s.held[key] != nil || d.Attempts != known.attempts {
		m.errorf("%q: leased %q with %d attempts; the model has %+v, leased %v", name, key, d.Attempts, known, s.held[key] != nil)
		return nil
	}
	s.held[key] = d
	return d
}

// ending takes a delivery that is leased, for f to end it.
func (m *model) ending(what string, f func(c queue.Consumer, s *sinkModel, key string, d *queue.Delivery)) {
	name, s := m.sink()
	key := one(m.rng, s.held)
	if key == "" {
		return
	}
	c, err := m.q.Consumer(name)
	if err != nil {
		m.t.Fatal(err)
	}
	d := s.held[key]
	delete(s.held, key)
	m.did("%s %s %s", what, name, key)
	f(c, s, key, d)
}

func (m *model) ack() {
	m.ending("ack", func(c queue.Consumer, s *sinkModel, key string, d *queue.Delivery) {
		c.Ack(d)
		s.lately[key] = s.queued[key]
		delete(s.queued, key)
		s.acked[key] = true
	})
}

func (m *model) nack() {
	m.ending("nack", func(c queue.Consumer, s *sinkModel, key string, d *queue.Delivery) {
		due := m.clock.now().Add(time.Duration(m.rng.IntN(300)) * time.Second)
		c.Nack(d, due, "again")
		s.queued[key].attempts++
		s.queued[key].due = due
	})
}

func (m *model) release() {
	m.ending("release", func(c queue.Consumer, _ *sinkModel, _ string, d *queue.Delivery) { c.Release(d) })
}

func (m *model) kill() {
	m.ending("kill", func(c queue.Consumer, s *sinkModel, key string, d *queue.Delivery) {
		c.DeadLetter(d, "enough", nil)
		s.lately[key] = s.queued[key]
		delete(s.queued, key)
		s.dead[key] = true
		s.letters[key] = d.Sequence
	})
}

func (m *model) moveClock() {
	d := time.Duration(m.rng.IntN(40)) * time.Minute
	m.did("clock %v", d)
	m.clock.add(d)
}
