package embedded_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// eachCrash runs a check of what a crash leaves some times, each with other luck.
func eachCrash(t *testing.T, check func(*testing.T, *rand.Rand)) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) { check(t, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
}

// intents are what was asked for, and what of it was said to be done.
type intents struct{ asked, done record }

func (in *intents) ask(ids []string) {
	for _, id := range ids {
		in.asked.add(id)
	}
}

func (in *intents) confirm(ids []string) {
	for _, id := range ids {
		in.done.add(id)
	}
}

// pool gives each of its items away once, a few at a time.
type pool[T any] struct {
	mu    sync.Mutex
	items []T
}

func (p *pool[T]) take(n int) (some []T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(n, len(p.items))
	some, p.items = p.items[:n], p.items[n:]
	return some
}

// crashDuring runs workers until they have done some work, takes the power away,
// and returns what is on disk then. done is the number of things that the workers
// have done so far. settle is called at the moment before: what was done until then
// must be on disk.
func crashDuring(t *testing.T, rng *rand.Rand, fs *vfs.MemFS, q *embedded.Queue, done *atomic.Int64, most int, settle func(), workers ...func()) *vfs.MemFS {
	t.Helper()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(w)
	}
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	end := time.Now().Add(20 * time.Second)
	for want := int64(rng.IntN(most)); done.Load() < want; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d of %d things are done", done.Load(), want)
		}
	}
	settle()
	crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return crashed
}

// buried returns a queue with dead letters that are on disk, and their ids.
func buried(t *testing.T, fs vfs.FS, n int) (*embedded.Queue, []queue.DeadLetterID, map[queue.DeadLetterID]string) {
	t.Helper()
	q, c := ready(t, embedded.Options{Dir: "q", FS: fs})
	for i := range n {
		store(t, q, newEvent(fmt.Sprint("e", i)), queue.Dedup{}, queue.Stored)
		c.DeadLetter(lease(t, c), "no", nil)
	}
	if err := q.SetSinks([]string{"app"}); err != nil { // syncs
		t.Fatal(err)
	}
	var ids []queue.DeadLetterID
	names := map[queue.DeadLetterID]string{}
	for _, l := range deadLetters(t, q) {
		ids = append(ids, l.DeadLetterID)
		names[l.DeadLetterID] = l.Event.ID
	}
	return q, ids, names
}

// TestCrashDeadLetters takes away the power while dead letters are replayed, each
// by two people at once, dropped and handed over. Each is afterwards either there
// or has become one delivery, or was dropped or handed over; and what was said to
// be done is.
func TestCrashDeadLetters(t *testing.T) { eachCrash(t, crashLetters) }

func crashLetters(t *testing.T, rng *rand.Rand) {
	const n = 400
	fs := vfs.NewCrashableMem()
	q, ids, names := buried(t, fs, n)
	rng.Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	todo := pool[queue.DeadLetterID]{items: ids}
	var gone, ended intents // no longer dead letters; not even deliveries
	var done, calls atomic.Int64
	act := func(and *intents, f func(ids []queue.DeadLetterID, replay string) error) func() {
		return func() {
			for {
				some := todo.take(5)
				var list []string
				for _, id := range some {
					list = append(list, names[id])
				}
				if and != nil {
					and.ask(list)
				}
				if err := f(some, fmt.Sprint("r", calls.Add(1))); err != nil || len(some) == 0 {
					if err != nil && !errors.Is(err, queue.ErrClosed) {
						t.Error(err)
					}
					return
				}
				gone.confirm(list)
				done.Add(int64(len(some)))
			}
		}
	}
	replay := func(ids []queue.DeadLetterID, name string) error {
		var wg sync.WaitGroup
		var errs [2]error
		var made atomic.Int64
		for i := range errs {
			wg.Go(func() {
				n, err := q.ReplayDeadLetters(t.Context(), ids, fmt.Sprint(name, "-", i))
				made.Add(int64(n))
				errs[i] = err
			})
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		if int(made.Load()) != len(ids) {
			t.Errorf("%d replays of %d dead letters", made.Load(), len(ids))
		}
		return nil
	}
	drop := func(ids []queue.DeadLetterID, _ string) error {
		_, err := q.DropDeadLetters(t.Context(), ids)
		return err
	}
	forget := func(ids []queue.DeadLetterID, _ string) error {
		var all []queue.Transfer
		for _, id := range ids {
			all = append(all, queue.Transfer{Sequence: id.Sequence, Deliveries: []queue.TransferDelivery{{Sink: id.Sink, Dead: &queue.Death{}}}})
		}
		return q.Forget(t.Context(), all)
	}
	var wasGone map[string]bool
	crashed := crashDuring(t, rng, fs, q, &done, n, func() { wasGone = gone.done.snapshot() },
		act(nil, replay), act(nil, replay), act(&ended, drop), act(&ended, forget))
	checkLetters(t, crashed, n, wasGone, ended.asked.snapshot())
}

func checkLetters(t *testing.T, fs vfs.FS, n int, gone, mayHaveEnded map[string]bool) {
	t.Helper()
	q, c := ready(t, embedded.Options{Dir: "q", FS: fs})
	s := q.Stats().Sinks["app"]
	if s.Dead != int64(n) || s.Accepted != s.Dead+s.Queued || s.Queued != s.Replayed || s.Replayed != s.DeadLettersReplayed ||
		s.DeadLetters+s.DeadLettersReplayed+s.DeadLettersDropped+s.DeadLettersHandedOver != int64(n) {
		t.Errorf("stats = %+v", s)
	}
	count := map[string]int{}
	size := int64(0)
	for _, l := range deadLetters(t, q) {
		count[l.Event.ID]++
		size += l.Size
		if gone[l.Event.ID] {
			t.Errorf("dead letter %q is there again", l.Event.ID)
		}
	}
	if st := q.Stats(); st.DeadLetterBytes != size {
		t.Errorf("DeadLetterBytes = %d, want %d", st.DeadLetterBytes, size)
	}
	for range s.Queued {
		d := lease(t, c)
		count[d.Event.ID]++
		if d.Event.Replay == "" {
			t.Errorf("%q is queued again", d.Event.ID)
		}
	}
	for i := range n {
		id := fmt.Sprint("e", i)
		if got := count[id]; got > 1 || got == 0 && !mayHaveEnded[id] {
			t.Errorf("%q is there %d times", id, got)
		}
	}
}

// TestCrashForget takes away the power while deliveries are handed over: none is
// lost that was not to be forgotten, and none that was forgotten comes again.
func TestCrashForget(t *testing.T) { eachCrash(t, crashForget) }

func crashForget(t *testing.T, rng *rand.Rand) {
	const n = 400
	fs := vfs.NewCrashableMem()
	q, c := ready(t, embedded.Options{Dir: "q", FS: fs})
	for i := range n {
		store(t, q, newEvent(fmt.Sprint("e", i)), queue.Dedup{}, queue.Stored)
		if i%10 == 3 {
			c.Nack(lease(t, c), time.Now().Add(time.Hour), "later")
		}
	}
	var in intents
	var done atomic.Int64
	skip := rng.IntN(3)
	hand := func() {
		var some []queue.Transfer
		err := q.Unfinished(func(tr *queue.Transfer) bool {
			if int(tr.Sequence)%3 == skip {
				return true // another time
			}
			if some = append(some, *tr); len(some) < 5 {
				return true
			}
			var ids []string
			for _, tr := range some {
				ids = append(ids, tr.Event.ID)
			}
			in.ask(ids)
			if err := q.Forget(t.Context(), some); err != nil {
				return false
			}
			in.confirm(ids)
			done.Add(int64(len(ids)))
			some = nil
			return true
		})
		if err != nil && !errors.Is(err, queue.ErrClosed) {
			t.Error(err)
		}
	}
	var wasGone map[string]bool
	crashed := crashDuring(t, rng, fs, q, &done, n/2, func() { wasGone = in.done.snapshot() }, hand)
	q, _ = ready(t, embedded.Options{Dir: "q", FS: crashed})
	s := q.Stats().Sinks["app"]
	if s.Accepted != n || s.Queued+s.HandedOver != n {
		t.Errorf("stats = %+v", s)
	}
	asked, left := in.asked.snapshot(), map[string]bool{}
	err := q.Unfinished(func(tr *queue.Transfer) bool {
		if left[tr.Event.ID] || wasGone[tr.Event.ID] {
			t.Errorf("%q is there again", tr.Event.ID)
		}
		left[tr.Event.ID] = true
		return true
	})
	if err != nil || int64(len(left)) != s.Queued {
		t.Errorf("%d are left, %v; stats = %+v", len(left), err, s)
	}
	for i := range n {
		if id := fmt.Sprint("e", i); !left[id] && !asked[id] {
			t.Errorf("%q is lost", id)
		}
	}
}

// TestCrashReceive takes away the power while transfers come in, and has all come
// again afterwards: each is there once.
func TestCrashReceive(t *testing.T) { eachCrash(t, crashReceive) }

func crashReceive(t *testing.T, rng *rand.Rand) {
	const n = 400
	fs := vfs.NewCrashableMem()
	q, _ := ready(t, embedded.Options{Dir: "q", FS: fs})
	all := make([]queue.Transfer, n)
	for i := range all {
		all[i] = queue.Transfer{Sequence: uint64(i), Event: newEvent(fmt.Sprint("e", i)), Deliveries: []queue.TransferDelivery{{Sink: "app", Attempts: 1}}}
		if i%4 == 0 {
			all[i].Deliveries[0] = queue.TransferDelivery{Sink: "gone", Dead: &queue.Death{Reason: "no", At: time.Unix(5, 0)}}
		}
	}
	todo := pool[queue.Transfer]{items: all}
	var stored record
	var done atomic.Int64
	bring := func() {
		for {
			some := todo.take(7)
			if len(some) == 0 {
				return
			}
			var wg sync.WaitGroup
			var fresh atomic.Int64
			var failed atomic.Bool
			for range 2 {
				wg.Go(func() {
					n, err := q.Receive(t.Context(), some)
					fresh.Add(int64(n))
					if err != nil {
						failed.Store(true)
					}
					if err != nil && !errors.Is(err, queue.ErrClosed) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if failed.Load() {
				return
			}
			if int(fresh.Load()) != len(some) {
				t.Errorf("%d of %d stored", fresh.Load(), len(some))
			}
			for _, tr := range some {
				stored.add(tr.Event.ID)
			}
			done.Add(int64(len(some)))
		}
	}
	var wasStored map[string]bool
	crashed := crashDuring(t, rng, fs, q, &done, n, func() { wasStored = stored.snapshot() }, bring, bring, bring)
	q, c := ready(t, embedded.Options{Dir: "q", FS: crashed})
	there := q.Stats().Sinks["app"].Received + q.Stats().Sinks["gone"].Received
	if there < int64(len(wasStored)) {
		t.Errorf("%d of %d are there", there, len(wasStored))
	}
	rng.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, tr := range all {
		n, err := q.Receive(t.Context(), []queue.Transfer{tr})
		if err != nil || n == 1 && wasStored[tr.Event.ID] {
			t.Errorf("Receive(%q) again = %d, %v", tr.Event.ID, n, err)
		}
		there += int64(n)
	}
	count := map[string]int{}
	for _, l := range deadLetters(t, q) {
		count[l.Event.ID]++
	}
	for range q.Stats().Sinks["app"].Queued {
		d := lease(t, c)
		count[d.Event.ID]++
		if d.Attempts != 1 {
			t.Errorf("%q has %d attempts", d.Event.ID, d.Attempts)
		}
	}
	if len(count) != n || there != n {
		t.Errorf("%d transfers are there, of %d events; want %d", there, len(count), n)
	}
	for id, c := range count {
		if c != 1 {
			t.Errorf("%q is there %d times", id, c)
		}
	}
}
