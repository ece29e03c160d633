package embedded_test

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// stepFS calls step after every operation that changes the file system.
type stepFS struct {
	vfs.FS
	step func()
}

func (f stepFS) file(inner vfs.File, err error) (vfs.File, error) {
	if err == nil {
		inner = stepFile{File: inner, step: f.step}
	}
	f.step()
	return inner, err
}

func (f stepFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(f.FS.Create(name, c))
}

func (f stepFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file(f.FS.OpenReadWrite(name, c, o...))
}

func (f stepFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(f.FS.ReuseForWrite(from, to, c))
}

func (f stepFS) OpenDir(name string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(name)
	if err == nil {
		dir = stepFile{File: dir, step: f.step}
	}
	return dir, err
}

func (f stepFS) stepped(err error) error {
	f.step()
	return err
}

func (f stepFS) Link(from, to string) error                { return f.stepped(f.FS.Link(from, to)) }
func (f stepFS) Remove(name string) error                  { return f.stepped(f.FS.Remove(name)) }
func (f stepFS) Rename(from, to string) error              { return f.stepped(f.FS.Rename(from, to)) }
func (f stepFS) MkdirAll(d string, m os.FileMode) error    { return f.stepped(f.FS.MkdirAll(d, m)) }
func (f stepFS) Lock(name string) (c io.Closer, err error) { return f.FS.Lock(name) }
func (f stepFS) Unwrap() vfs.FS                            { return f.FS }

type stepFile struct {
	vfs.File
	step func()
}

func (f stepFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.step()
	return n, err
}

func (f stepFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	f.step()
	return n, err
}

func (f stepFile) Sync() error {
	err := f.File.Sync()
	f.step()
	return err
}

func (f stepFile) SyncData() error {
	err := f.File.SyncData()
	f.step()
	return err
}

// crash is a file system as a crash left it, with the books of shortly before
// and after.
type crash struct {
	step          int
	fs            *vfs.MemFS
	before, after *book
}

// crashes takes clones of a file system at its steps.
type crashes struct {
	mem   *vfs.MemFS
	book  *book
	cfg   func(step int) vfs.CrashCloneCfg
	every int
	first int // of every, so that all steps come in turn, run by run
	out   chan crash

	mu   sync.Mutex
	done int
}

func (c *crashes) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	if c.done%c.every != c.first {
		return
	}
	before := c.book.copy()
	fs := c.mem.CrashClone(c.cfg(c.done))
	c.out <- crash{step: c.done, fs: fs, before: before, after: c.book.copy()}
}

var bothSinks = []string{"app", "audit"}

// scriptLimits are such that finished events are evicted during the script.
var scriptLimits = queue.Limits{Capacity: 3 << 20, Retention: time.Hour}

// script does everything that writes: events, ends of all kinds, orderly
// restarts, and so much data that logs change, tables are written and space is
// given back.
func script(t *testing.T, fs vfs.FS, b *book, big int) {
	t.Helper()
	for round := range 3 {
		q := open(t, embedded.Options{Dir: "q", FS: fs, Limits: scriptLimits, MinFree: 1 << 20})
		if err := q.SetSinks(bothSinks); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			act(t, q, b, newEvent(fmt.Sprintf("r%d-%02d", round, i)), i)
		}
		if round == 1 {
			for i := range big {
				e := newEvent(fmt.Sprintf("big-%02d", i))
				e.Body = append(e.Body, make([]byte, 150<<10)...)
				act(t, q, b, e, 4+i%3)
			}
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// act appends an event and ends a delivery of each sink, in a way that depends on
// n.
func act(t *testing.T, q *embedded.Queue, b *book, e *event.Event, n int) {
	t.Helper()
	if err := b.append(t, q, e, bothSinks...); err != nil {
		t.Fatal(err)
	}
	for i, sink := range bothSinks {
		c, err := q.Consumer(sink)
		if err != nil {
			t.Fatal(err)
		}
		d := lease(t, c)
		switch id := d.Event.ID; (n + 3*i) % 10 {
		case 0:
			c.Nack(d, time.Unix(1, 0), "again")
		case 1:
			b.noteFor(b.died, sink, id)
			c.DeadLetter(d, "enough", nil)
		case 2:
			c.Release(d)
		case 3: // stays leased
		default:
			b.noteFor(b.acked, sink, id)
			c.Ack(d)
		}
	}
}

// crashing runs the script and checks what each crash leaves. It crashes at each
// third step, or with the race detector at fewer, from a random one on; with
// FAIRLEAD_FAULTS=all at every one.
func crashing(t *testing.T, rng *rand.Rand, cfg func(step int) vfs.CrashCloneCfg, check func(t *testing.T, c crash)) {
	t.Helper()
	every := sparse(3)
	if thorough() {
		every = 1
	}
	mem := vfs.NewCrashableMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30})
	c := &crashes{mem: mem, book: newBook(), cfg: cfg, every: every, first: rng.IntN(every), out: make(chan crash)}
	var wg sync.WaitGroup
	var checked atomic.Int64
	for range 2 {
		wg.Go(func() {
			for one := range c.out {
				done := make(chan struct{})
				go func() { // which a fatal failure ends
					defer close(done)
					check(t, one)
				}()
				<-done
				checked.Add(1)
			}
		})
	}
	script(t, stepFS{FS: mem, step: c.step}, c.book, 60)
	close(c.out)
	wg.Wait()
	t.Logf("%d crashes at %d steps", checked.Load(), c.done)
}

// survives opens what a crash left and fails the test unless all that was
// answered is there.
func survives(t *testing.T, c crash) {
	t.Helper()
	h := &heard{}
	q, err := embedded.Open(embedded.Options{Dir: "q", FS: c.fs, Logger: slog.New(h), Limits: scriptLimits})
	if err != nil {
		t.Errorf("step %d: Open: %v", c.step, err)
		return
	}
	defer q.Close()
	failed := t.Failed()
	if st := q.Stats(); st.Unreadable > 0 {
		t.Errorf("step %d: %d unreadable", c.step, st.Unreadable)
	}
	if _, there := q.Stats().Sinks["audit"]; !there {
		if len(c.before.stored) > 0 {
			t.Errorf("step %d: the sinks are gone", c.step)
		}
		return
	}
	for _, sink := range bothSinks {
		audit(t, q, sink, c.before, c.after).whole(t, sink, c.before, c.after)
	}
	for _, id := range someOf(c.before.stored, 3) {
		if out, err := q.Append(t.Context(), newEvent(id), byID, bothSinks); err == nil && out == queue.Stored {
			t.Errorf("step %d: %q was answered, and is not known any more", c.step, id)
		}
	}
	finish(t, q, bothSinks...)
	if t.Failed() && !failed {
		t.Errorf("step %d failed; said: %s", c.step, strings.Join(h.all(), "\n"))
	}
}

// someOf returns the last ids of those that are small.
func someOf(ids idSet, n int) []string {
	var all []string
	for id := range ids {
		if !strings.HasPrefix(id, "big") {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all[max(len(all)-n, 0):]
}

// TestFaultKill kills the process at the steps of the write path: after writes,
// syncs, creations, renames and removals of a run that writes logs, tables, lists
// of tables, marks and the ballast: a part of the steps, or all with
// FAIRLEAD_FAULTS=all. What was written is there, synced or not.
func TestFaultKill(t *testing.T) {
	t.Parallel()
	crashing(t, seeded(t), func(int) vfs.CrashCloneCfg {
		return vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
	}, survives)
}

// TestFaultPowerCut cuts the power at the same steps: all that was not synced is
// gone.
func TestFaultPowerCut(t *testing.T) {
	t.Parallel()
	crashing(t, seeded(t), func(int) vfs.CrashCloneCfg { return vfs.CrashCloneCfg{} }, survives)
}

// TestFaultTornWrite cuts the power at the same steps: of what was not synced,
// some blocks and some names are there and some are not.
func TestFaultTornWrite(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	seed := rng.Uint64()
	crashing(t, rng, func(step int) vfs.CrashCloneCfg {
		return vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, uint64(step)))}
	}, survives)
}
