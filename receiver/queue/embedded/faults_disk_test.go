package embedded_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// smallDisk is a file system of limited size, which others may take space of.
type smallDisk struct {
	vfs.FS
	size    int64
	others  atomic.Int64 // bytes that others take
	refused atomic.Int64 // how often it was full
	// noTables makes it refuse tables only.
	noTables atomic.Bool

	mu   sync.Mutex
	used int64
}

func newSmallDisk(size int64) *smallDisk { return &smallDisk{FS: vfs.NewMem(), size: size} }

func (d *smallDisk) free() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(d.size-d.used-d.others.Load(), 0)
}

// grow takes n bytes, or fails as a full disk does.
func (d *smallDisk) grow(n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n > 0 && d.used+d.others.Load()+n > d.size {
		d.refused.Add(1)
		return syscall.ENOSPC
	}
	d.used += n
	return nil
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	free := uint64(d.free())
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: uint64(d.size), UsedBytes: uint64(d.size) - free}, nil
}

func (d *smallDisk) sizeOf(name string) int64 {
	info, err := d.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (d *smallDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if d.noTables.Load() && strings.HasSuffix(name, ".sst") {
		d.refused.Add(1)
		return nil, syscall.ENOSPC
	}
	gone := d.sizeOf(name)
	f, err := d.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return smallFile{File: f, disk: d}, d.grow(-gone)
}

func (d *smallDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(from, to, c)
	if err != nil {
		return nil, err
	}
	return smallFile{File: f, disk: d}, nil
}

func (d *smallDisk) Remove(name string) error {
	gone := d.sizeOf(name)
	if err := d.FS.Remove(name); err != nil {
		return err
	}
	return d.grow(-gone)
}

func (d *smallDisk) Rename(from, to string) error {
	gone := d.sizeOf(to)
	if err := d.FS.Rename(from, to); err != nil {
		return err
	}
	return d.grow(-gone)
}

func (d *smallDisk) Unwrap() vfs.FS { return d.FS }

type smallFile struct {
	vfs.File
	disk *smallDisk
}

func (f smallFile) Write(p []byte) (int, error) {
	if err := f.disk.grow(int64(len(p))); err != nil {
		return 0, err
	}
	was, err := f.Stat()
	if err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	now, statErr := f.Stat()
	if statErr != nil {
		return n, statErr
	}
	return n, errors.Join(err, f.disk.grow(now.Size()-was.Size()-int64(len(p)))) // what was overwritten
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-tick.C
	}
}

// bulky is an event of a size.
func bulky(id string, size int) *event.Event {
	e := newEvent(id)
	e.Body = append(e.Body, make([]byte, size)...)
	return e
}

// fill appends until the queue refuses for good, and returns the error. Near the
// floor it may refuse for a moment, until it has looked at the disk.
func fill(t *testing.T, q *embedded.Queue, b *book, name string, size int) error {
	t.Helper()
	for i := range 1 << 14 {
		err := b.append(t, q, bulky(fmt.Sprintf("%s-%05d", name, i), size), "app")
		if err != nil && (!errors.Is(err, queue.ErrNoSpace) || q.Stats().FreeBytes == 0) {
			return err
		}
	}
	return nil
}

const diskSize, diskFloor = 64 << 20, 12 << 20

func onDisk(t *testing.T, d *smallDisk, h *heard, fatal func(error)) (*embedded.Queue, queue.Consumer) {
	t.Helper()
	if fatal == nil {
		fatal = func(err error) { t.Errorf("Fatal: %v", err) }
	}
	return ready(t, embedded.Options{Dir: "q", FS: d, MinFree: diskFloor, Logger: slog.New(h), Fatal: fatal})
}

// hasBallast reports whether the ballast is there, all of it.
func hasBallast(d *smallDisk) bool { return d.sizeOf("q/fairlead.ballast") == diskFloor/4 }

// TestFaultFullDisk fills a disk. Append refuses before the disk does; deliveries
// and dead letters go on; the ballast goes when others take what is left, and
// comes back. When space returns events are accepted again, without a restart, and
// all that was answered is there, then and after a restart on a disk that is short
// again.
func TestFaultFullDisk(t *testing.T) {
	t.Parallel()
	d, b, h := newSmallDisk(diskSize), newBook(), &heard{}
	q, c := onDisk(t, d, h, nil)
	eventually(t, "the ballast is there", func() bool { return hasBallast(d) })
	if err := fill(t, q, b, "fill", 64<<10); !errors.Is(err, queue.ErrNoSpace) {
		t.Fatalf("Append on a full disk = %v", err)
	}
	if d.refused.Load() > 0 || q.Stats().FreeBytes != 0 {
		t.Errorf("the disk was full %d times; stats %+v", d.refused.Load(), q.Stats())
	}
	for i := range 20 {
		dl := lease(t, c)
		if i%4 == 0 {
			b.noteFor(b.died, "app", dl.Event.ID)
			c.DeadLetter(dl, "enough", nil)
			continue
		}
		b.noteFor(b.acked, "app", dl.Event.ID)
		c.Ack(dl)
	}
	d.others.Store(d.free() - diskFloor/4)
	early := 0
	eventually(t, "the ballast is given up", func() bool {
		early++
		if err := b.append(t, q, newEvent(fmt.Sprint("early-", early)), "app"); err != nil && !errors.Is(err, queue.ErrNoSpace) {
			t.Fatalf("Append = %v", err)
		}
		return !hasBallast(d)
	})
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	d.others.Store(-diskSize)
	eventually(t, "events are accepted again", func() bool { return b.append(t, q, newEvent("again"), "app") == nil })
	eventually(t, "the ballast is back", func() bool { return hasBallast(d) })
	d.others.Store(0)
	if err := fill(t, q, b, "more", 256<<10); !errors.Is(err, queue.ErrNoSpace) {
		t.Fatalf("Append = %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q, _ = onDisk(t, d, h, nil)
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	if _, err := q.Append(t.Context(), bulky("huge", diskFloor), byID, []string{"app"}); !errors.Is(err, queue.ErrNoSpace) {
		t.Errorf("Append after a restart = %v", err)
	}
	d.others.Store(-diskSize)
	eventually(t, "events are accepted after the restart", func() bool { return b.append(t, q, newEvent("afterwards"), "app") == nil })
	finish(t, q, "app")
}

// TestFaultFullDiskEvicts has a disk run short while it holds events that are
// finished: they go earlier than retention says, and make the room themselves.
func TestFaultFullDiskEvicts(t *testing.T) {
	t.Parallel()
	d, b, h := newSmallDisk(diskSize), newBook(), &heard{}
	q, c := onDisk(t, d, h, nil)
	events := diskSize / (256 << 10) * 5 / 4
	most := int64(0)
	for i := range events {
		e := bulky(fmt.Sprintf("e-%05d", i), 256<<10)
		eventually(t, "room is made", func() bool { return b.append(t, q, e, "app") == nil })
		dl := lease(t, c)
		b.noteFor(b.acked, "app", dl.Event.ID)
		c.Ack(dl)
		most = max(most, q.Stats().Events)
	}
	t.Logf("at most %d of %d events were kept", most, events)
	if d.refused.Load() > 0 || most < int64(events/8) {
		t.Errorf("the disk was full %d times; at most %d of %d events were kept", d.refused.Load(), most, events)
	}
	if !strings.Contains(strings.Join(h.all(), "\n"), "too little free space") {
		t.Errorf("said: %q", h.all())
	}
	audit(t, q, "app", b, b).whole(t, "app", b, b)
}

// TestFaultDiskFillsAtOnce has others take all space between two looks. The
// ballast lets Pebble write on; if the log cannot be written all the same, the
// process ends. Nothing that was answered is lost.
func TestFaultDiskFillsAtOnce(t *testing.T) {
	t.Parallel()
	d, b, h := newSmallDisk(diskSize), newBook(), &heard{}
	var ended atomic.Bool
	q, _ := onDisk(t, d, h, func(error) { ended.Store(true) })
	eventually(t, "the ballast is there", func() bool { return hasBallast(d) })
	d.others.Store(d.free())
	err := fill(t, q, b, "fill", 16<<10)
	t.Logf("after %d events: %v; ended %v", len(b.stored), err, ended.Load())
	if !errors.Is(err, queue.ErrNoSpace) && !ended.Load() {
		t.Errorf("Append on a full disk = %v", err)
	}
	eventually(t, "the ballast is given up", func() bool { return !hasBallast(d) })
	d.others.Store(0)
	if !ended.Load() {
		eventually(t, "events are accepted again", func() bool { return b.append(t, q, newEvent("again"), "app") == nil })
	}
	_ = q.Close()
	q, _ = onDisk(t, d, h, nil)
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	finish(t, q, "app")
}

// TestFaultTablesCannotBeWritten has the disk take the log and no tables. That is
// reported, tried again at a moderate pace, and loses nothing.
func TestFaultTablesCannotBeWritten(t *testing.T) {
	t.Parallel()
	d, b, h := newSmallDisk(diskSize), newBook(), &heard{}
	q, _ := onDisk(t, d, h, nil)
	d.noTables.Store(true)
	for i := range 40 { // more than a memtable
		if err := b.append(t, q, bulky(fmt.Sprintf("a-%02d", i), 128<<10), "app"); err != nil && !errors.Is(err, queue.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	start := time.Now()
	eventually(t, "it is tried again", func() bool { return q.Stats().BackgroundErrors >= 2 })
	if n := q.Stats().BackgroundErrors; n > 3+int64(time.Since(start)/time.Second) {
		t.Errorf("%d tries within %v", n, time.Since(start))
	}
	if !strings.Contains(strings.Join(h.all(), "\n"), "A table could not be written") {
		t.Errorf("said: %q", h.all())
	}
	d.noTables.Store(false)
	eventually(t, "events are accepted again", func() bool { return b.append(t, q, newEvent("again"), "app") == nil })
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q, _ = onDisk(t, d, h, nil)
	audit(t, q, "app", b, b).whole(t, "app", b, b)
}

// TestFaultDirectoryLimit gives the directory a bound of its own on a disk that
// says nothing of itself.
func TestFaultDirectoryLimit(t *testing.T) {
	t.Parallel()
	const most = 40 << 20
	fs, b := vfs.NewMem(), newBook()
	q, c := ready(t, embedded.Options{Dir: "q", FS: fs, MaxBytes: most, MinFree: 8 << 20})
	if err := fill(t, q, b, "fill", 64<<10); !errors.Is(err, queue.ErrNoSpace) {
		t.Fatalf("Append = %v", err)
	}
	if size := stored(t, fs); size > most {
		t.Errorf("the directory has %d MiB, and may have %d", size>>20, most>>20)
	}
	for q.Stats().Sinks["app"].Queued > 0 {
		dl := lease(t, c)
		b.noteFor(b.acked, "app", dl.Event.ID)
		c.Ack(dl)
	}
	eventually(t, "what was delivered makes room", func() bool { return b.append(t, q, newEvent("again"), "app") == nil })
	audit(t, q, "app", b, b).whole(t, "app", b, b)
}
