package embedded_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// The log's blocks are of 32 KiB, and the headers in the first log of a directory
// are shorter than in later ones. Wherever in a block a record ends, the next start
// takes nothing for damage, and everything is there.
func TestRecordsAtEndOfBlock(t *testing.T) {
	const block = 32 << 10
	fs, q := oneLog(t, 1000)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	log := fileSize(t, fs, "q/000002.log") // with what Close writes, which is less than 200 bytes
	for left := -200; left < 32; left += 4 {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			fs, q := oneLog(t, block-left-log+1000)
			want := idSet{"first": true}
			for i := range 3 {
				id := fmt.Sprint("e", i)
				want[id] = true
				if _, err := q.Append(t.Context(), bulky(id, 200), byID, []string{"app"}); err != nil {
					t.Fatal(err)
				}
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			h := &heard{}
			q = open(t, embedded.Options{Dir: "q", FS: fs, Logger: slog.New(h)})
			defer q.Close()
			got := queuedIDs(t, q, "app")
			if said := h.all(); len(said) > 0 || len(want.minus(got)) > 0 {
				t.Errorf("queued %v; said %q", got, said)
			}
		})
	}
}

// oneLog returns a queue with an event of a size.
func oneLog(t *testing.T, size int) (*vfs.MemFS, *embedded.Queue) {
	t.Helper()
	fs := vfs.NewMem()
	q, _ := ready(t, embedded.Options{Dir: "q", FS: fs})
	if _, err := q.Append(t.Context(), bulky("first", size), byID, []string{"app"}); err != nil {
		t.Fatal(err)
	}
	return fs, q
}

func fileSize(t *testing.T, fs vfs.FS, name string) int {
	t.Helper()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}
