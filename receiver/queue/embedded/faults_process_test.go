package embedded_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// faultEnv makes the test binary a process whose disk fails, as this says.
const faultEnv = "FAIRLEAD_FAULT"

// fault is a kind of operation on a kind of file that fails.
type fault struct {
	name  string
	ops   []errorfs.OpKind
	file  string
	bulky bool // it takes a full memtable to get there
}

var (
	syncs  = []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}
	faults = []fault{
		{"log sync", syncs, "*.log", false},
		{"log write", []errorfs.OpKind{errorfs.OpFileWrite}, "*.log", false},
		{"log creation", []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}, "*.log", true},
		{"manifest sync", syncs, "MANIFEST-*", true},
		{"manifest write", []errorfs.OpKind{errorfs.OpFileWrite}, "MANIFEST-*", true},
		{"directory sync", syncs, "data", true},
	}
)

func (f *fault) hits(op errorfs.Op) bool {
	ok, _ := filepath.Match(f.file, filepath.Base(op.Path))
	return ok && slices.Contains(f.ops, op.Kind)
}

// TestFaultChild is not a test: it is the process that others start.
func TestFaultChild(t *testing.T) {
	name, dir, ok := strings.Cut(os.Getenv(faultEnv), "=")
	if !ok {
		t.Skip("is started by other tests")
	}
	if name == "open" {
		_, err := embedded.Open(embedded.Options{Dir: dir})
		fmt.Println("error", err)
		return
	}
	f := faults[slices.IndexFunc(faults, func(f fault) bool { return f.name == name })]
	var broken atomic.Bool
	disk := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && f.hits(op) {
			return errors.New("injected")
		}
		return nil
	}))
	q, err := embedded.Open(embedded.Options{Dir: dir, FS: disk, Fatal: func(err error) {
		fmt.Println("fatal", err)
		os.Exit(74)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.SetSinks([]string{"app"}); err != nil {
		t.Fatal(err)
	}
	size := 10
	if f.bulky {
		size = 300 << 10
	}
	for i := range 1000 {
		if i == 5 {
			broken.Store(true)
			fmt.Println("broken")
		}
		id := fmt.Sprintf("e-%03d", i)
		if out, err := q.Append(t.Context(), bulky(id, size), byID, []string{"app"}); err == nil && out == queue.Stored {
			fmt.Println("stored", id)
		}
	}
}

// child runs a process with a fault, and returns what it said and how it ended.
func child(t *testing.T, name, dir string) (said []string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultChild$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), faultEnv+"="+name+"="+dir)
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		said = append(said, lines.Text())
	}
	return said, cmd.ProcessState.ExitCode()
}

// TestFaultSync has writes and syncs of the log, the list of tables and the
// directory fail in a process of its own. It ends; after the log has failed it says
// of no event that it is stored; and all of which it said so are there.
func TestFaultSync(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			said, code := child(t, f.name, dir)
			if code != 74 && code != 2 { // 2 is a panic of Pebble's
				t.Fatalf("the process ended with %d and said %q", code, said)
			}
			broken, b := slices.Index(said, "broken"), newBook()
			for i, line := range said {
				id, ok := strings.CutPrefix(line, "stored ")
				if !ok {
					continue
				}
				if i > broken && !f.bulky {
					t.Errorf("%q was said to be stored after the log failed", id)
				}
				b.note(&b.sent, id)
				b.note(&b.stored, id)
			}
			if len(b.stored) < 5 || broken < 0 {
				t.Fatalf("the process said %q", said)
			}
			q, _ := ready(t, embedded.Options{Dir: dir})
			got := queuedIDs(t, q, "app")
			if lost := b.stored.minus(got); len(lost) > 0 {
				t.Errorf("stored and lost: %v", lost)
			}
			if more := got.minus(b.stored); len(more) > 1 { // one may be on its way
				t.Errorf("there and never said to be: %v", more)
			}
			t.Logf("exit %d after %d events", code, len(b.stored))
		})
	}
}

// TestFaultLogError has the disk refuse the log: the process ends with exit status
// 74, and says of nothing that it is stored from then on.
func TestFaultLogError(t *testing.T) {
	t.Parallel()
	said, code := child(t, "log write", filepath.Join(t.TempDir(), "data"))
	if code != 74 || !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, "fatal ") }) {
		t.Errorf("exit %d, said %q", code, said)
	}
	if i := slices.Index(said, "broken"); i < 0 || slices.ContainsFunc(said[i:], func(s string) bool { return strings.HasPrefix(s, "stored ") }) {
		t.Errorf("said %q", said)
	}
}

// TestFaultTwoProcesses has a second process open a directory that is in use. It
// is told so, and the first one does not notice.
func TestFaultTwoProcesses(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), newBook()
	q, _ := ready(t, embedded.Options{Dir: dir})
	for i := range 20 {
		if err := b.append(t, q, newEvent(fmt.Sprint("e", i)), "app"); err != nil {
			t.Fatal(err)
		}
		if i != 10 {
			continue
		}
		said, _ := child(t, "open", dir)
		if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "another process") }) {
			t.Errorf("the second process said %q", said)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q, _ = ready(t, embedded.Options{Dir: dir})
	audit(t, q, "app", b, b).whole(t, "app", b, b)
	finish(t, q, "app")
}
