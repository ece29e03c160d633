package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Two small files tell damage from a power cut. Both end in their own checksum,
// and are as good as absent if that is wrong.
const (
	// cleanMark is written when the queue is closed, and names the files that are
	// read when it is opened, with their sizes and checksums. It is removed before
	// anything is changed.
	cleanMark = "fairlead.clean"
	// tideMark says how long the manifest was at least. It is written now and then
	// after the manifest was synced, and is not synced itself.
	tideMark = "fairlead.tide"
)

// seal ends a mark with its checksum.
func seal(text string) []byte {
	return fmt.Appendf(nil, "%ssum %016x\n", text, xxhash.Sum64String(text))
}

// unseal returns a mark's lines, if it is whole.
func unseal(data []byte) (lines []string, ok bool) {
	i := strings.LastIndex(string(data), "sum ")
	if i < 0 {
		return nil, false
	}
	text := string(data[:i])
	if string(seal(text)) != string(data) {
		return nil, false
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), true
}

// checkMark returns which files are not what they were when the queue was closed;
// nil if it was not closed in order.
func (q *Queue) checkMark(d *dirFiles) (changed map[string]bool, err error) {
	data, err := q.readFile(cleanMark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	lines, ok := unseal(data)
	if err != nil || !ok {
		q.opts.Logger.Warn("The mark of the last shutdown cannot be read; the queue is opened as after a crash", "file", cleanMark, "error", err)
		return nil, nil
	}
	if d.newerThan(lines) {
		q.opts.Logger.Warn("Another program has changed the data directory since the queue was closed; it is opened as after a crash", "file", cleanMark)
		return nil, nil
	}
	changed = make(map[string]bool)
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		now, err := q.describe(name)
		if err != nil && name != d.options && name != d.log {
			return nil, q.damaged(fmt.Errorf("%q, which was there when the queue was closed, cannot be read: %w", name, err))
		}
		changed[name] = now != line
	}
	return changed, nil
}

// newerThan reports whether the newest log is newer than those that a mark names.
func (d *dirFiles) newerThan(lines []string) bool {
	newest, ok := numbered(d.log, "", logSuffix)
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		if n, isLog := numbered(name, "", logSuffix); isLog && n >= newest {
			return false
		}
	}
	return ok
}

// describe is a file's line in the mark.
func (q *Queue) describe(name string) (string, error) {
	data, err := q.readFile(name)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %016x", name, len(data), xxhash.Sum64(data)), nil
}

// leaveMark writes the mark after everything is closed.
func (q *Queue) leaveMark() error {
	d, err := listFiles(q.fs, q.opts.Dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range d.names {
		if name != d.manifest && name != d.options && name != d.log && !strings.HasPrefix(name, "marker.") {
			continue
		}
		line, err := q.describe(name)
		if err != nil {
			return err
		}
		text.WriteString(line + "\n")
	}
	return q.replace(cleanMark, seal(text.String()))
}

func (q *Queue) removeMark() error {
	if err := q.fs.Remove(q.path(cleanMark)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("removing the mark of the last shutdown: %w", err)
	}
	return q.syncDir()
}

// tide is how long a manifest was.
type tide struct {
	manifest string
	size     int64
}

func (q *Queue) readTide() (t tide, ok bool) {
	data, err := q.readFile(tideMark)
	if err != nil {
		return t, false
	}
	lines, ok := unseal(data)
	if !ok || len(lines) != 1 {
		return t, false
	}
	name, size, _ := strings.Cut(lines[0], " ")
	t.manifest = name
	t.size, err = strconv.ParseInt(size, 10, 64)
	return t, err == nil
}

// leaveTide writes how long the manifest is, after making sure that it is synced.
func (q *Queue) leaveTide() error {
	d, err := listFiles(q.fs, q.opts.Dir)
	if err != nil || !d.marked {
		return err
	}
	f, err := q.fs.Open(q.path(d.manifest))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := q.writeTemp(tideMark, seal(fmt.Sprintf("%s %d\n", d.manifest, info.Size())), false); err != nil {
		return err
	}
	return q.fs.Rename(q.path(tideMark+tempSuffix), q.path(tideMark))
}
