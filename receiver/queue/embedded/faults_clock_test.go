package embedded_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// TestFaultClockJumps sets the clock back and forth by up to two days between
// random operations, while real time goes on slowly. Nothing is lost, what comes
// again at once is recognised, and retries wait neither for ever nor for nothing.
func TestFaultClockJumps(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	for run := range 40 / sparse(2) {
		clockRun(t, rng, run)
	}
}

func clockRun(t *testing.T, rng *rand.Rand, run int) {
	t.Helper()
	fs, b := vfs.NewMem(), newBook()
	wall := &clock{t: time.Unix(1700000000, 0)}
	var elapsed atomic.Int64
	o := embedded.Options{
		Dir: "q", FS: fs, Now: wall.now, Limits: queue.Limits{Retention: time.Hour, Capacity: 1 << 20},
		Elapsed: func() time.Duration { return time.Duration(elapsed.Load()) },
	}
	q, c := ready(t, o)
	for i := range 60 {
		wall.add(time.Duration(rng.Int64N(int64(96*time.Hour))) - 48*time.Hour)
		elapsed.Add(rng.Int64N(int64(time.Second)))
		id := fmt.Sprintf("c%d-%02d", run, i)
		if err := b.append(t, q, newEvent(id), "app"); err != nil {
			t.Fatal(err)
		}
		if out, err := q.Append(t.Context(), newEvent(id), byID, []string{"app"}); err != nil || out != queue.Duplicate {
			t.Errorf("Append(%q) again at once = %v, %v", id, out, err)
		}
		d := lease(t, c)
		switch n := rng.IntN(10); {
		case n < 3:
			c.Nack(d, wall.now().Add(time.Minute), "again")
		case n < 4:
			b.noteFor(b.died, "app", d.Event.ID)
			c.DeadLetter(d, "enough", nil)
		default:
			b.noteFor(b.acked, "app", d.Event.ID)
			c.Ack(d)
		}
		if rng.IntN(20) == 0 {
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			q, c = ready(t, o)
		}
	}
	elapsed.Add(int64(2 * time.Minute)) // all retries are due, whatever the clock says
	finish(t, q, "app")
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q, _ = ready(t, o)
	defer q.Close()
	b.acked["app"] = b.stored.minus(b.died["app"]) // finish did
	b.acked["app"]["fresh"], b.stored["fresh"], b.sent["fresh"] = true, true, true
	audit(t, q, "app", b, b).whole(t, "app", b, b)
}

// TestFaultDuplicatesAroundFailedSync has a sync of the log fail while many bring
// the same few events at once. None is told that an event is stored, or known, that
// is not there after the power was cut; all that were told so are there.
func TestFaultDuplicatesAroundFailedSync(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	for range 15 {
		duplicateRun(t, rng)
	}
}

func duplicateRun(t *testing.T, rng *rand.Rand) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var syncsLeft atomic.Int64
	syncsLeft.Store(1 << 30)
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(op.Path, ".log") && syncsLeft.Add(-1) < 0 {
			return errors.New("injected")
		}
		return nil
	}))
	var fatal atomic.Bool
	q, _ := ready(t, embedded.Options{Dir: "q", FS: fs, Fatal: func(error) { fatal.Store(true) }})
	syncsLeft.Store(1 + rng.Int64N(6))
	told := &record{}
	var wg sync.WaitGroup
	for worker := range 12 {
		wg.Go(func() {
			for i := range 40 {
				id := fmt.Sprintf("d-%02d", (i+worker/4)%40) // three bring the same at about the same time
				if _, err := q.Append(t.Context(), newEvent(id), byID, []string{"app"}); err == nil {
					told.add(id) // stored or known: a 2xx either way
				}
			}
		})
	}
	wg.Wait()
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	_ = q.Close()
	if !fatal.Load() {
		t.Error("Fatal was not called")
	}
	again, _ := ready(t, embedded.Options{Dir: "q", FS: crashed})
	defer again.Close()
	got := queuedIDs(t, again, "app")
	if lost := idSet(told.snapshot()).minus(got); len(lost) > 0 {
		t.Errorf("answered and lost: %v", lost)
	}
}
