package embedded_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

func transferOf(id, replay string) queue.Transfer {
	e := newEvent(id)
	e.Replay = replay
	return queue.Transfer{Sequence: 5, Event: e, Deliveries: []queue.TransferDelivery{{Sink: "app"}}}
}

func receive(t *testing.T, q *embedded.Queue, want int, transfers ...queue.Transfer) {
	t.Helper()
	if n, err := q.Receive(t.Context(), transfers); n != want || err != nil {
		t.Fatalf("Receive = %d, %v; want %d", n, err, want)
	}
}

// TestReceivedWindow moves the clock: a transfer is known for a day, and so does
// the window of other events not become a day.
func TestReceivedWindow(t *testing.T) {
	c := &clock{t: time.Unix(1700000000, 0)}
	q, _ := ready(t, embedded.Options{Dir: "q", FS: vfs.NewMem(), Now: c.now})
	d := queue.Dedup{Key: queue.ByID, Window: 10 * time.Minute}
	receive(t, q, 1, transferOf("a", ""))
	store(t, q, newEvent("b"), d, queue.Stored)
	c.add(24*time.Hour - 1)
	receive(t, q, 0, transferOf("a", ""))
	store(t, q, newEvent("b"), d, queue.Stored)
	c.add(1)
	receive(t, q, 1, transferOf("a", ""))
}

// TestReceivedRepetition has a provider repeat an event that another queue handed
// over: it is known. A replay is not what the provider sent.
func TestReceivedRepetition(t *testing.T) {
	fs := vfs.NewMem()
	q, _ := ready(t, embedded.Options{Dir: "q", FS: fs})
	receive(t, q, 2, transferOf("a", ""), transferOf("b", "r"))
	q.Close()
	q, _ = ready(t, embedded.Options{Dir: "q", FS: fs})
	store(t, q, newEvent("a"), byID, queue.Duplicate)
	store(t, q, newEvent("b"), byID, queue.Stored)
	other := transferOf("b", "")
	other.Event.Body = []byte("other")
	receive(t, q, 1, other)
	store(t, q, newEvent("b"), byID, queue.Duplicate) // what was remembered first stays
}

// TestReceivedGaps stores dead letters, whose sequences have no events, among
// events that are trimmed.
func TestReceivedGaps(t *testing.T) {
	c := &clock{t: time.Unix(1700000000, 0)}
	fs := vfs.NewMem()
	o := embedded.Options{Dir: "q", FS: fs, Now: c.now, Limits: queue.Limits{Capacity: 1 << 20, Retention: time.Minute}}
	q, app := ready(t, o)
	for i := range 50 {
		dead := transferOf(fmt.Sprint("d", i), "")
		dead.Deliveries[0].Dead = &queue.Death{Reason: "no", At: c.now()}
		receive(t, q, 1, dead)
		if i%5 == 0 {
			store(t, q, newEvent(fmt.Sprint("e", i)), queue.Dedup{}, queue.Stored)
			if d := lease(t, app); i%10 == 0 {
				app.Nack(d, c.now().Add(time.Hour), "later")
			} else {
				app.Ack(d)
			}
		}
		c.add(10 * time.Second)
	}
	c.add(time.Hour)
	store(t, q, newEvent("last"), queue.Dedup{}, queue.Stored)
	q.Close()
	q, _ = ready(t, o)
	st := q.Stats()
	if s := st.Sinks["app"]; s.DeadLetters != 50 || s.Queued != 6 || s.Delivered != 5 || st.Events != 6 {
		t.Errorf("stats = %+v", st)
	}
	var left []string
	err := q.Events(0, time.Time{}, time.Time{}, func(e *queue.StoredEvent) bool {
		left = append(left, e.Event.ID)
		return true
	})
	if want := []string{"e0", "e10", "e20", "e30", "e40", "last"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("events = %q, %v; want %q", left, err, want)
	}
}

// TestDropOldestOfReplayed replays dead letters while the oldest are dropped to make
// room: each ends once.
func TestDropOldestOfReplayed(t *testing.T) {
	q, c := ready(t, embedded.Options{Dir: "q", FS: vfs.NewMem(), Limits: queue.Limits{
		Capacity: 1 << 20, Retention: time.Hour, DeadLetterCapacity: 500, DropOldestDeadLetter: true,
	}})
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	wg.Go(func() {
		for ctx.Err() == nil {
			var ids []queue.DeadLetterID
			for _, l := range deadLetters(t, q) {
				ids = append(ids, l.DeadLetterID)
			}
			if len(ids) < 5 {
				continue
			}
			if _, err := q.ReplayDeadLetters(t.Context(), ids[:1], "r"); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 300 {
		store(t, q, newEvent(fmt.Sprint("e", i)), queue.Dedup{}, queue.Stored)
		c.DeadLetter(lease(t, c), "no", nil)
	}
	stop()
	wg.Wait()
	st := q.Stats()
	s := st.Sinks["app"]
	size := int64(0)
	for _, l := range deadLetters(t, q) {
		size += l.Size
	}
	if s.Dead != s.DeadLetters+s.DeadLettersDropped+s.DeadLettersReplayed || s.DeadLettersDropped == 0 || s.DeadLettersReplayed == 0 ||
		s.DeadLetterBytes != size || st.DeadLetterBytes != size || s.Accepted != s.Dead+s.Queued {
		t.Errorf("stats = %+v, %d bytes", st, size)
	}
}

// TestStep asks for more in one step than one may hold.
func TestStep(t *testing.T) {
	q, c := ready(t, embedded.Options{Dir: "q", FS: vfs.NewMem()})
	e := newEvent("large")
	e.Body = make([]byte, 4<<20)
	store(t, q, e, queue.Dedup{}, queue.Stored)
	c.Ack(lease(t, c))
	one := queue.EventReplay{Sequence: 1, Sinks: []string{"app"}}
	if n, err := q.Replay(t.Context(), slices.Repeat([]queue.EventReplay{one}, 16), "r"); n != 0 || !errors.Is(err, queue.ErrFull) { // they have headers too
		t.Errorf("Replay = %d, %v", n, err)
	}
	if n, err := q.Replay(t.Context(), []queue.EventReplay{one}, "r"); n != 1 || err != nil {
		t.Errorf("Replay = %d, %v", n, err)
	}
}

// TestQuarantineAge moves the clock: what is too old is not listed, and goes.
func TestQuarantineAge(t *testing.T) {
	c := &clock{t: time.Unix(1700000000, 0)}
	fs := vfs.NewMem()
	o := embedded.Options{Dir: "q", FS: fs, Now: c.now, Limits: queue.Limits{
		Capacity: 1 << 20, Retention: time.Hour, Quarantine: queue.QuarantineLimits{Requests: 10, Bytes: 1 << 20, Age: time.Hour},
	}}
	q, _ := ready(t, o)
	list := func() (paths []string) {
		t.Helper()
		err := q.Quarantined(0, func(r *queue.Quarantined) bool {
			paths = append(paths, r.Path)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	q.Isolate(&queue.Quarantined{Path: "/a"})
	c.add(40 * time.Minute)
	q.Isolate(&queue.Quarantined{Path: "/b"})
	q.Close()
	q, _ = ready(t, o)
	if got := list(); !slices.Equal(got, []string{"/a", "/b"}) {
		t.Errorf("quarantined = %q", got)
	}
	c.add(20 * time.Minute)
	if got := list(); !slices.Equal(got, []string{"/b"}) {
		t.Errorf("quarantined after an hour = %q", got)
	}
	q.Isolate(&queue.Quarantined{Path: "/c"})
	q.Close()
	if st := q.Stats(); st.Quarantined != 2 {
		t.Errorf("stats = %+v", st)
	}
}

// TestQuarantineDamaged spoils requests in quarantine: the others are there, and
// the queue opens.
func TestQuarantineDamaged(t *testing.T) {
	fs := vfs.NewMem()
	o := embedded.Options{Dir: "q", FS: fs, Limits: queue.Limits{
		Capacity: 1 << 20, Quarantine: queue.QuarantineLimits{Requests: 10, Bytes: 1 << 20, Age: time.Hour},
	}}
	q, _ := ready(t, o)
	for i := range 3 {
		q.Isolate(&queue.Quarantined{Path: fmt.Sprint("/", i)})
	}
	q.Close()
	edit(t, fs, func(db *pebble.DB) error {
		key := binary.BigEndian.AppendUint64([]byte{'q'}, 2)
		raw, closer, err := db.Get(key)
		if err != nil {
			return err
		}
		cut := slices.Clone(raw[:len(raw)-4])
		closer.Close()
		return db.Set(key, cut, pebble.Sync)
	})
	q = open(t, o)
	defer q.Close()
	var got []string
	err := q.Quarantined(0, func(r *queue.Quarantined) bool {
		got = append(got, r.Path)
		return true
	})
	if want := []string{"/0", "/2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("quarantined = %q, %v; want %q", got, err, want)
	}
}
