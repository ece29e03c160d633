package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// TestFaultFullDiskReal fills a small file system of the kernel's, by the queue
// and then by another file, and gives the space back.
func TestFaultFullDiskReal(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=96m"); err != nil {
		t.Skipf("mounting a small file system, for which one must be root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	b := newBook()
	o := embedded.Options{Dir: filepath.Join(dir, "data"), MinFree: 16 << 20, Fatal: func(err error) { t.Errorf("Fatal: %v", err) }}
	q, _ := ready(t, o)
	if err := fill(t, q, b, "fill", 64<<10); !errors.Is(err, queue.ErrNoSpace) {
		t.Fatalf("Append on a full disk = %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ballast is given up", func() bool {
		_, err := os.Stat(filepath.Join(o.Dir, "fairlead.ballast"))
		return os.IsNotExist(err)
	})
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q, c := ready(t, o) // on a disk that is full
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	if err := b.append(t, q, newEvent("early"), "app"); err != nil && !errors.Is(err, queue.ErrNoSpace) { // logs have gone
		t.Errorf("Append = %v", err)
	}
	for q.Stats().Sinks["app"].Queued > 100 {
		d := lease(t, c)
		b.noteFor(b.acked, "app", d.Event.ID)
		c.Ack(d)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	eventually(t, "events are accepted again", func() bool { return b.append(t, q, newEvent("again"), "app") == nil })
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	finish(t, q, "app")
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}
