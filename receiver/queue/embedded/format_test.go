package embedded_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// format1 copies a directory of the first format, as testdata holds it: 12 events
// for app, audit and gone. For app 0 to 3 were delivered, 4 and 5 are dead, 6 waits
// for a retry and 7 was leased; gone was removed.
func format1(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("q", 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("testdata/format1")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile("testdata/format1/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create("q/"+file.Name(), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return fs
}

// oldEvent is the i-th event of that directory.
func oldEvent(i int) *event.Event {
	return &event.Event{
		ID: fmt.Sprintf("evt-%02d", i), Hook: "push", Type: "message.new", Subject: fmt.Sprint("messaging:", i%3),
		ReceivedAt: time.Unix(1700000000+int64(i), 0).UTC(), Body: fmt.Appendf(nil, `{"type":"message.new","n":%d}`, i),
	}
}

// TestFaultOldFormat opens a directory of the first format: the ledger, the
// deliveries with their attempts, the dead letters and what is recognised are as
// they were, and it goes on from there. It is of this format only when all was read.
func TestFaultOldFormat(t *testing.T) {
	fs := format1(t)
	now := func() time.Time { return time.Unix(1700000200, 0) }
	o := embedded.Options{Dir: "q", FS: fs, Now: now}
	q := open(t, o)
	for sink, want := range map[string]queue.SinkStats{
		"app":   {Accepted: 12, Delivered: 4, Dead: 2, Queued: 6, Retrying: 1, DeadLetters: 2},
		"audit": {Accepted: 12, Queued: 12},
		"gone":  {Accepted: 12, Dropped: 12, Removed: true},
	} {
		got := q.Stats().Sinks[sink]
		got.QueuedBytes, got.DeadLetterBytes, got.OldestQueued = 0, 0, time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ledger of %q (-want +got):\n%s", sink, diff)
		}
	}
	checkOldDeliveries(t, q)
	checkOldLetters(t, q)
	window := queue.Dedup{Key: queue.ByID, Window: 240 * time.Hour}
	for i := range 12 {
		if out, err := q.Append(t.Context(), oldEvent(i), window, []string{"app"}); err != nil || out != queue.Duplicate {
			t.Errorf("Append of event %d again = %v, %v", i, out, err)
		}
	}
	if out, err := q.Append(t.Context(), oldEvent(12), window, []string{"app", "audit"}); err != nil || out != queue.Stored {
		t.Errorf("Append = %v, %v", out, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	defer q.Close()
	if st := q.Stats().Sinks["audit"]; st.Accepted != 13 || st.Queued != 13 {
		t.Errorf("after a restart: %+v", st)
	}
}

// checkOldDeliveries leases all that is queued.
func checkOldDeliveries(t *testing.T, q *embedded.Queue) {
	t.Helper()
	for sink, want := range map[string]map[int]int{ // event to attempts
		"app":   {6: 1, 7: 0, 8: 0, 9: 0, 10: 0, 11: 0},
		"audit": {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 0, 10: 0, 11: 0},
	} {
		c, err := q.Consumer(sink)
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]int{}
		for range want {
			d := lease(t, c)
			i := int(d.Sequence) - 1
			got[i] = d.Attempts
			opened := *d.Event
			opened.Attempt, opened.ContentType, opened.Headers, opened.Time = 0, "", nil, ""
			if diff := cmp.Diff(oldEvent(i), &opened); diff != "" {
				t.Errorf("%q: event %d (-want +got):\n%s", sink, i, diff)
			}
			defer c.Release(d)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: deliveries and their attempts (-want +got):\n%s", sink, diff)
		}
	}
}

func checkOldLetters(t *testing.T, q *embedded.Queue) {
	t.Helper()
	var ids []string
	err := q.DeadLetters(queue.DeadLetterID{}, func(l *queue.DeadLetter) bool {
		ids = append(ids, l.Sink+" "+l.Event.ID+" "+l.Reason+" "+string(l.Answer))
		return true
	})
	want := []string{"app evt-04 sink answered 400 bad", "app evt-05 sink answered 400 bad"}
	if !slices.Equal(ids, want) || err != nil {
		t.Errorf("dead letters = %q, %v", ids, err)
	}
}

// TestFaultOldFormatUnreadable has something in an old directory be unreadable: it
// is not made a directory of this format, so that the older program still reads it.
func TestFaultOldFormatUnreadable(t *testing.T) {
	fs := format1(t)
	edit(t, fs, func(db *pebble.DB) error { return db.Set([]byte("t"), []byte{1, 0xff}, pebble.Sync) })
	if q, err := embedded.Open(embedded.Options{Dir: "q", FS: fs}); err == nil {
		q.Close()
		t.Fatal("it was opened")
	} else if !refused(err) {
		t.Errorf("Open = %v", err)
	}
	edit(t, fs, func(db *pebble.DB) error {
		v, closer, err := db.Get([]byte("v"))
		if err != nil {
			return err
		}
		if !slices.Equal(v, []byte{1}) {
			t.Errorf("the format is %v", v)
		}
		return closer.Close()
	})
}
