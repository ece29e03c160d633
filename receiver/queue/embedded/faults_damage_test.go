package embedded_test

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// damageable makes a directory with tables and a log, in which events are queued,
// waiting for a retry, leased, delivered and dead. closed says whether the queue
// was closed in order or killed.
func damageable(t *testing.T, closed bool) (*vfs.MemFS, *book) {
	t.Helper()
	fs, b := vfs.NewCrashableMem(), newBook()
	for round := range 3 {
		q, c := ready(t, embedded.Options{Dir: "q", FS: fs})
		for i := range 12 {
			if err := b.append(t, q, newEvent(fmt.Sprintf("r%d-%02d", round, i)), "app"); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 6 {
			d := lease(t, c)
			switch id := d.Event.ID; {
			case i < 2:
				b.noteFor(b.acked, "app", id)
				c.Ack(d)
			case i < 3:
				b.noteFor(b.died, "app", id)
				c.DeadLetter(d, "enough", []byte("no"))
			case i < 4:
				c.Nack(d, time.Unix(1, 0), "again")
			}
		}
		flushed(t, q, b)
		if round < 2 || closed {
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		killed := copyOf(fs)
		q.Close()
		return killed, b
	}
	return fs, b
}

// flushed waits until what was acked is written, by an append.
func flushed(t *testing.T, q *embedded.Queue, b *book) {
	t.Helper()
	if err := b.append(t, q, newEvent(fmt.Sprint("mark-", len(b.sent))), "app"); err != nil {
		t.Fatal(err)
	}
}

// content returns a file's bytes.
func content(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(fs.PathJoin("q", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// overwrite puts bytes into a file as damage does.
func overwrite(t *testing.T, fs vfs.FS, name string, data []byte, at int) {
	t.Helper()
	f, err := fs.OpenReadWrite(fs.PathJoin("q", name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// positions are the first and last bytes, the middle, and random ones.
func positions(rng *rand.Rand, size int) []int {
	var all []int
	if thorough() {
		for i := range size {
			all = append(all, i)
		}
		return all
	}
	for i := range max(24/sparse(2), 3) {
		all = append(all, i, size/2+i, size-1-i, rng.IntN(max(size, 1)))
	}
	all = slices.DeleteFunc(all, func(i int) bool { return i < 0 || i >= size })
	slices.Sort(all)
	return slices.Compact(all)
}

// TestFaultFlippedByte flips one bit in each kind of file. Either all is served,
// or what is damaged is reported and the rest is served, or the queue does not
// open and says what to do. It is never silent.
func TestFaultFlippedByte(t *testing.T) {
	rng := seeded(t)
	for _, closed := range []bool{true, false} {
		name := map[bool]string{true: "closed", false: "killed"}[closed]
		fs, b := damageable(t, closed)
		names, err := fs.List("q")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		for _, file := range names {
			data := content(t, fs, file)
			at, bits := positions(rng, len(data)), rng.Uint64()
			t.Run(name+"/"+file, func(t *testing.T) {
				t.Parallel()
				tally := map[string]int{}
				for i, pos := range at {
					copied := copyOf(fs)
					bit := byte(1) << ((bits >> (i % 32)) % 8)
					overwrite(t, copied, file, []byte{data[pos] ^ bit}, pos)
					if got := flipOnce(t, copied, b); t.Failed() {
						t.Fatalf("byte %d of %d, bit %02x: %s", pos, len(data), bit, got)
					} else {
						tally[got]++
					}
				}
				t.Logf("%d bytes: %v", len(data), tally)
			})
		}
	}
}

// flipOnce opens a damaged directory and says what became of it.
func flipOnce(t *testing.T, fs *vfs.MemFS, b *book) string {
	t.Helper()
	h := &heard{}
	q, err := embedded.Open(embedded.Options{Dir: "q", FS: fs, Logger: slog.New(h), Fatal: func(err error) { t.Errorf("Fatal: %v", err) }})
	if err != nil {
		if !refused(err) {
			t.Errorf("Open says nothing of what to do: %v", err)
		}
		return "refused"
	}
	defer q.Close()
	s := audit(t, q, "app", b, b)
	st := q.Stats()
	reported := len(h.all()) > 0 && st.Unreadable+st.TornLogBytes > 0
	letters := s.stats.DeadLetters - int64(len(s.dead)) // without their event
	switch lost := int64(len(s.missing)); {
	case lost > 0 && !reported:
		t.Errorf("lost in silence: %v\nsaid: %q", s.missing, h.all())
	case lost > s.stats.Dropped+letters && st.TornLogBytes == 0:
		t.Errorf("lost %v, but only %d are dropped and %d dead", s.missing, s.stats.Dropped, letters)
	case lost == 0 && !reported:
		s.whole(t, "app", b, b)
	}
	finish(t, q, "app")
	if t.Failed() {
		t.Logf("said: %s", strings.Join(h.all(), "\n"))
	}
	switch {
	case len(s.missing) > 0:
		return "rest served"
	case len(h.all()) > 0:
		return "reported, all served"
	}
	return "all served"
}

// TestFaultCutLog cuts the log off at every byte of its last records. After an
// orderly shutdown that is damage, and is reported; after a crash it may be what a
// power cut left, and what is gone are the last events.
func TestFaultCutLog(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{true, false} {
		fs, b := damageable(t, closed)
		names, err := fs.List("q")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		file := names[slices.IndexFunc(names, func(s string) bool { return strings.HasSuffix(s, ".log") })]
		data := content(t, fs, file)
		step := sparse(7)
		if thorough() {
			step = 1
		}
		for cut := len(data) - 1; cut > max(len(data)-1200, 0); cut -= step {
			copied := copyOf(fs)
			if err := copied.Remove("q/" + file); err != nil {
				t.Fatal(err)
			}
			f, err := copied.Create("q/"+file, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(data[:cut]); err != nil {
				t.Fatal(err)
			}
			f.Close()
			cutOnce(t, copied, b, closed)
			if t.Failed() {
				t.Fatalf("closed %v: cut at %d of %d", closed, cut, len(data))
			}
		}
	}
}

func cutOnce(t *testing.T, fs *vfs.MemFS, b *book, closed bool) {
	t.Helper()
	h := &heard{}
	q, err := embedded.Open(embedded.Options{Dir: "q", FS: fs, Logger: slog.New(h)})
	if err != nil {
		t.Errorf("Open: %v", err)
		return
	}
	defer q.Close()
	s := audit(t, q, "app", b, b)
	if closed && (q.Stats().Unreadable == 0 || len(h.all()) == 0) {
		t.Errorf("nothing was said of what is missing: %v", s.missing)
	}
	there := s.queued.plus(s.dead)
	for lost := range s.missing {
		for id := range there { // all of the last round are in the order of their ids but for the mark
			if strings.HasPrefix(id, "r2") && strings.HasPrefix(lost, "r2") && id > lost && !b.acked["app"][lost] {
				t.Errorf("%q is lost and %q, which came later, is there", lost, id)
			}
		}
	}
	finish(t, q, "app")
}
