package embedded_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

var byID = queue.Dedup{Key: queue.ByID, Window: time.Hour}

func newEvent(id string) *event.Event {
	return &event.Event{ID: id, Hook: "push", Type: "message.new", ReceivedAt: time.Unix(1700000000, 0).UTC(), Body: []byte("body of " + id)}
}

// record is a set of ids that many goroutines add to.
type record struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (r *record) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[string]bool)
	}
	r.ids[id] = true
}

func (r *record) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}

func (r *record) snapshot() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.ids)
}

// TestCrash takes away the power while events come and go. What Append had said
// was stored is there afterwards, and is known; what was acked comes at most
// again; nothing else comes.
func TestCrash(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range 12 {
		t.Run(fmt.Sprint(i), func(t *testing.T) { crashOnce(t, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
}

func crashOnce(t *testing.T, rng *rand.Rand) {
	fs := vfs.NewCrashableMem()
	q := open(t, embedded.Options{Dir: "q", FS: fs, Limits: queue.Limits{Capacity: 256 << 10, Retention: time.Hour}})
	if err := q.SetSinks([]string{"app", "audit"}); err != nil {
		t.Fatal(err)
	}
	var sent, stored, ended record
	var stop atomic.Bool
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				id := fmt.Sprintf("p%d-%d", p, n)
				sent.add(id)
				switch out, err := q.Append(t.Context(), newEvent(id), byID, []string{"app", "audit"}); {
				case err == nil && out == queue.Stored:
					stored.add(id)
				case !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrClosed):
					t.Errorf("Append(%q) = %v, %v", id, out, err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() { consume(t, q, "app", &ended) })
		wg.Go(func() { consume(t, q, "audit", &record{}) })
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for want := 200 + rng.IntN(2000); stored.len() < want; {
		<-tick.C
	}
	// The order matters: what was stored before the crash must be there, what ended
	// before it may have been written.
	wasStored := stored.snapshot()
	crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
	wasEnded := ended.snapshot()
	stop.Store(true)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	checkCrashed(t, crashed, wasStored, wasEnded, sent.snapshot())
}

// consume acks, nacks and buries until the queue is closed. It notes an end before
// it makes it.
func consume(t *testing.T, q *embedded.Queue, sink string, ended *record) {
	c, err := q.Consumer(sink)
	if err != nil {
		t.Error(err)
		return
	}
	for n := 0; ; n++ {
		d, err := c.Lease(t.Context())
		if err != nil {
			return
		}
		switch {
		case n%5 == 0 && d.Attempts == 0:
			c.Nack(d, time.Time{}, "again")
		case n%17 == 0:
			ended.add(d.Event.ID)
			c.DeadLetter(d, "enough", nil)
		default:
			ended.add(d.Event.ID)
			c.Ack(d)
		}
	}
}

func checkCrashed(t *testing.T, fs vfs.FS, stored, ended, sent map[string]bool) {
	t.Helper()
	q := open(t, embedded.Options{Dir: "q", FS: fs})
	defer q.Close()
	for sink, s := range q.Stats().Sinks {
		if s.Accepted != s.Delivered+s.Dead+s.Dropped+s.Queued || s.Accepted < int64(len(stored)) {
			t.Errorf("ledger of %q after the crash, with %d stored: %+v", sink, len(stored), s)
		}
	}
	left := leaseAll(t, q, "app")
	for id := range stored {
		if !left[id] && !ended[id] {
			t.Errorf("%q was stored and is lost", id)
		}
	}
	for id := range left {
		if !sent[id] {
			t.Errorf("%q was never sent", id)
		}
	}
	for i, id := range slices.Sorted(maps.Keys(stored)) {
		if i%50 != 0 {
			continue
		}
		if out, err := q.Append(t.Context(), newEvent(id), byID, []string{"app"}); err != nil || out != queue.Duplicate {
			t.Errorf("Append(%q) again = %v, %v", id, out, err)
		}
	}
}

// leaseAll takes what is queued; each delivery must come once.
func leaseAll(t *testing.T, q *embedded.Queue, sink string) map[string]bool {
	t.Helper()
	c, err := q.Consumer(sink)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for n := q.Stats().Sinks[sink].Queued; n > 0; n-- {
		d := lease(t, c)
		if ids[d.Event.ID] {
			t.Errorf("%q was leased twice", d.Event.ID)
		}
		if diff := cmp.Diff(newEvent(d.Event.ID), d.Event); diff != "" {
			t.Errorf("leased event (-want +got):\n%s", diff)
		}
		ids[d.Event.ID] = true
	}
	return ids
}

// TestFailedSync has the disk refuse to sync: Fatal is called, nobody is told
// that an event is stored, and what was stored before is still there.
func TestFailedSync(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var broken atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if broken.Load() && strings.HasSuffix(op.Path, ".log") {
				return errors.New("disk is broken")
			}
		}
		return nil
	}))
	fatal := make(chan error, 1)
	q, c := ready(t, embedded.Options{Dir: "q", FS: fs, Fatal: func(err error) { fatal <- err }})
	if _, err := q.Append(t.Context(), newEvent("good"), byID, []string{"app"}); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	var wg sync.WaitGroup
	for i := range 8 {
		for range 2 { // the second waits for the first, and must not take it for stored
			wg.Go(func() {
				if out, err := q.Append(t.Context(), newEvent(fmt.Sprint("lost-", i)), byID, []string{"app"}); err == nil {
					t.Errorf("Append on a broken disk = %v", out)
				}
			})
		}
	}
	wg.Wait()
	if err := <-fatal; err == nil {
		t.Error("Fatal was called without an error")
	}
	broken.Store(false)
	if out, err := q.Append(t.Context(), newEvent("later"), byID, []string{"app"}); err == nil {
		t.Errorf("Append after a failure = %v", out)
	}
	if err := q.SetSinks([]string{"other"}); err == nil {
		t.Error("SetSinks after a failure works")
	}
	if d := lease(t, c); d.Event.ID != "good" {
		t.Errorf("%q was leased", d.Event.ID)
	}
	if err := q.Close(); err == nil {
		t.Error("Close after a failure says nothing")
	}
	again := open(t, embedded.Options{Dir: "q", FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	defer again.Close()
	if got := leaseAll(t, again, "app"); !got["good"] {
		t.Errorf("after a restart: %v", got)
	}
}
