package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

func lease(t *testing.T, c queue.Consumer) *queue.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := c.Lease(ctx)
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	return d
}

func store(t *testing.T, q *embedded.Queue, e *event.Event, d queue.Dedup, want queue.Outcome) {
	t.Helper()
	if out, err := q.Append(t.Context(), e, d, []string{"app"}); err != nil || out != want {
		t.Fatalf("Append(%q) = %v, %v; want %v", e.ID, out, err, want)
	}
}

// ready opens a queue with one sink.
func ready(t *testing.T, o embedded.Options) (*embedded.Queue, queue.Consumer) {
	t.Helper()
	q := open(t, o)
	t.Cleanup(func() { q.Close() })
	if err := q.SetSinks([]string{"app"}); err != nil {
		t.Fatal(err)
	}
	c, err := q.Consumer("app")
	if err != nil {
		t.Fatal(err)
	}
	return q, c
}

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	ready(t, embedded.Options{Dir: dir})
	if q, err := embedded.Open(embedded.Options{Dir: dir}); err == nil {
		q.Close()
		t.Fatal("a directory was opened twice")
	} else if !strings.Contains(err.Error(), "another process") {
		t.Errorf("the error does not say why: %v", err)
	}
}

// quiet keeps what Pebble says out of the way.
type quiet struct{ t *testing.T }

func (quiet) Infof(string, ...any)                {}
func (q quiet) Errorf(format string, args ...any) { q.t.Errorf(format, args...) }
func (q quiet) Fatalf(format string, args ...any) { q.t.Fatalf(format, args...) }

// edit changes a closed queue's database, as damage or another version would.
func edit(t *testing.T, fs vfs.FS, f func(*pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open("q", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: quiet{t}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f(db); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewerFormat(t *testing.T) {
	fs := vfs.NewMem()
	q, _ := ready(t, embedded.Options{Dir: "q", FS: fs})
	q.Close()
	edit(t, fs, func(db *pebble.DB) error { return db.Set([]byte("v"), []byte{99}, pebble.Sync) })
	if q, err := embedded.Open(embedded.Options{Dir: "q", FS: fs}); err == nil {
		q.Close()
		t.Fatal("a newer format was opened")
	} else if !strings.Contains(err.Error(), "use that version") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

// TestDamagedRecords spoils stored events in two ways. They hold up nobody, and
// the ledger goes on to hold.
func TestDamagedRecords(t *testing.T) {
	fs := vfs.NewMem()
	q, _ := ready(t, embedded.Options{Dir: "q", FS: fs})
	for i := range 10 {
		store(t, q, newEvent(fmt.Sprint("e", i)), byID, queue.Stored)
	}
	q.Close()
	eventKey := func(seq byte) []byte { return []byte{'e', 0, 0, 0, 0, 0, 0, 0, seq} }
	edit(t, fs, func(db *pebble.DB) error {
		v, closer, err := db.Get(eventKey(3))
		if err != nil {
			return err
		}
		cut := append([]byte(nil), v[:len(v)-5]...) // it still says whose it is
		closer.Close()
		b := db.NewBatch()
		b.Set(eventKey(3), cut, nil)
		b.Set(eventKey(6), []byte{0xff, 0xff}, nil) // nobody knows whose it was
		b.Delete(eventKey(10), nil)
		return b.Commit(pebble.Sync)
	})
	q, c := ready(t, embedded.Options{Dir: "q", FS: fs})
	var got []string
	for range 7 {
		d := lease(t, c)
		got = append(got, d.Event.ID)
		c.Ack(d)
	}
	if diff := cmp.Diff([]string{"e0", "e1", "e3", "e4", "e6", "e7", "e8"}, got); diff != "" {
		t.Errorf("leased (-want +got):\n%s", diff)
	}
	st := q.Stats()
	s := st.Sinks["app"]
	if s.Accepted != 10 || s.Delivered != 7 || s.Dead != 1 || s.Dropped != 2 || s.Queued != 0 || s.QueuedBytes > 8 || st.Unreadable != 2 {
		t.Errorf("stats = %+v", st)
	}
	if l := deadLetters(t, q); len(l) != 1 || l[0].Sequence != 3 || l[0].Event != nil {
		t.Errorf("DeadLetters = %+v", l)
	}
}

func deadLetters(t *testing.T, q *embedded.Queue) (all []*queue.DeadLetter) {
	t.Helper()
	err := q.DeadLetters(queue.DeadLetterID{}, func(l *queue.DeadLetter) bool {
		all = append(all, l)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// clock is one that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// TestDedupClock moves the clock between repetitions of an event.
func TestDedupClock(t *testing.T) {
	const window = 10 * time.Minute
	d := queue.Dedup{Key: queue.ByID, Window: window}
	for _, tt := range []struct {
		name  string
		moves []time.Duration // before each repetition of the event, with another event between
		want  queue.Outcome   // of the last one
	}{
		{"at once", []time.Duration{0}, queue.Duplicate},
		{"last moment", []time.Duration{window - 1}, queue.Duplicate},
		{"window over", []time.Duration{window}, queue.Stored},
		{"next bucket", []time.Duration{6 * time.Minute, 3 * time.Minute}, queue.Duplicate},
		{"set back", []time.Duration{-48 * time.Hour}, queue.Duplicate},
		{"set back, then on", []time.Duration{-48 * time.Hour, window - time.Second}, queue.Duplicate},
		{"far ahead and back", []time.Duration{-window / 2, window / 2, window - time.Second}, queue.Duplicate},
		{"long after being set back", []time.Duration{-48 * time.Hour, window + 1, window + 1, window + 1}, queue.Stored},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{t: time.Unix(1700000000, 0)}
			fs := vfs.NewMem()
			q, _ := ready(t, embedded.Options{Dir: "q", FS: fs, Now: c.now})
			store(t, q, newEvent("other"), d, queue.Stored)
			c.add(5 * time.Minute)
			store(t, q, newEvent("a"), d, queue.Stored)
			for i, move := range tt.moves {
				c.add(move)
				store(t, q, newEvent(fmt.Sprint("between-", i)), d, queue.Stored)
			}
			q.Close()
			q, _ = ready(t, embedded.Options{Dir: "q", FS: fs, Now: c.now})
			store(t, q, newEvent("a"), d, tt.want)
		})
	}
}

// TestRetryCap has a sink fail everything: new deliveries wait when too many have
// to be repeated.
func TestRetryCap(t *testing.T) {
	q, c := ready(t, embedded.Options{Dir: "q", FS: vfs.NewMem(), MaxRetries: 3})
	for i := range 5 {
		store(t, q, newEvent(fmt.Sprint("e", i)), queue.Dedup{}, queue.Stored)
	}
	for range 3 {
		c.Nack(lease(t, c), time.Now().Add(50*time.Millisecond), "down")
	}
	d := lease(t, c)
	if d.Attempts != 1 {
		t.Errorf("%q was leased with %d attempts, want one that was repeated", d.Event.ID, d.Attempts)
	}
	c.Ack(d)
	if d := lease(t, c); d.Event.ID != "e3" && d.Attempts == 0 {
		t.Errorf("%q was leased", d.Event.ID)
	}
}

// TestSpace appends much more than the capacity: the disk does not fill with what
// was delivered, whatever the size of the events.
func TestSpace(t *testing.T) {
	const capacity = 8 << 20
	for _, size := range []int{16 << 10, 512 << 10} {
		t.Run(fmt.Sprint(size>>10, " KiB"), func(t *testing.T) {
			fs := vfs.NewMem()
			q, c := ready(t, embedded.Options{Dir: "q", FS: fs, Limits: queue.Limits{Capacity: capacity, Retention: time.Hour}})
			most := int64(0)
			for i := range 7 * capacity / size {
				e := newEvent(fmt.Sprint("e", i))
				e.Body = make([]byte, size)
				store(t, q, e, queue.Dedup{}, queue.Stored)
				if d := lease(t, c); i%1000 == 7 { // a poison event now and then
					c.Nack(d, time.Now().Add(time.Hour), "")
				} else {
					c.Ack(d)
				}
				if i%16 == 0 {
					most = max(most, stored(t, fs))
				}
			}
			t.Logf("at most %d MiB on disk", most>>20)
			if most > capacity+48<<20 {
				t.Errorf("the disk held up to %d MiB for a capacity of %d", most>>20, capacity>>20)
			}
		})
	}
}

// stored is the size of all files of a queue.
func stored(t *testing.T, fs vfs.FS) (size int64) {
	t.Helper()
	names, err := fs.List("q")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := fs.Stat(fs.PathJoin("q", name)); err == nil { // it may be gone by now
			size += info.Size()
		}
	}
	return size
}
