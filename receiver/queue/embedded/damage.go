package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrDamaged means that a data directory holds damage that cannot be worked
// around.
var ErrDamaged = errors.New("the data directory is damaged")

// damaged says what is wrong with the directory, and what a person can do.
func (q *Queue) damaged(err error) error {
	return fmt.Errorf("%w: %w. What to do: (1) copy %q to a safe place, as it is; "+
		"(2) if the volume has a snapshot, restore it; (3) else start with an empty directory: events that were not delivered are then "+
		"only in the copy, so have the provider send those of that time again; (4) check the disk before it is used again",
		ErrDamaged, err, q.opts.Dir)
}

// Names in a data directory that Pebble knows, and the prefix of what was put
// aside because it was damaged.
const (
	manifestPrefix = "MANIFEST-"
	optionsPrefix  = "OPTIONS-"
	markerPrefix   = "marker.manifest."
	logSuffix      = ".log"
	tableSuffix    = ".sst"
	asidePrefix    = "damaged-"
)

// dirFiles are the files of a data directory that count, and those that are the
// newest of their kind; empty if there is none.
type dirFiles struct {
	names                  []string
	manifest, options, log string
	marker                 string // the file that says which manifest is in use
	marked                 bool   // something says which manifest is in use
}

func listFiles(disk vfs.FS, dir string) (*dirFiles, error) {
	names, err := disk.List(dir)
	if err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	return sortFiles(names), nil
}

func sortFiles(names []string) *dirFiles {
	slices.Sort(names)
	d := &dirFiles{names: names}
	var options, log uint64
	iter := uint64(0)
	for _, name := range names {
		if n, ok := numbered(name, optionsPrefix, ""); ok && n >= options {
			options, d.options = n, name
		}
		if n, ok := numbered(name, "", logSuffix); ok && n >= log {
			log, d.log = n, name
		}
		if rest, ok := strings.CutPrefix(name, markerPrefix); ok {
			number, manifest, _ := strings.Cut(rest, ".")
			if n, err := strconv.ParseUint(number, 10, 64); err == nil && (n >= iter || !d.marked) {
				iter, d.manifest, d.marker, d.marked = n, manifest, name, true
			}
		}
	}
	return d
}

// numbered returns the number in a file's name.
func numbered(name, prefix, suffix string) (uint64, bool) {
	if !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, suffix) {
		return 0, false
	}
	n, err := strconv.ParseUint(name[len(prefix):len(name)-len(suffix)], 10, 64)
	return n, err == nil
}

// inspect looks at the files before Pebble does, for what Pebble would pass over
// in silence. It mends what can be mended, and reports it.
func (q *Queue) inspect() error {
	d, err := listFiles(q.fs, q.opts.Dir)
	if err != nil {
		return err
	}
	changed, err := q.checkMark(d)
	if err != nil {
		return err
	}
	if err := q.checkManifest(d, changed); err != nil {
		return err
	}
	if err := q.checkOptions(d, changed); err != nil {
		return err
	}
	// A log that is what it was when the queue was closed needs no closer look.
	if other, known := changed[d.log]; d.log != "" && (other || !known) {
		if _, err := q.checkLog(d.log, changed[d.log], d.log); err != nil {
			return err
		}
	}
	return q.removeMark()
}

// readFile returns the content of a file in the data directory.
func (q *Queue) readFile(name string) ([]byte, error) {
	f, err := q.fs.Open(q.path(name))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

func (q *Queue) path(name string) string { return q.fs.PathJoin(q.opts.Dir, name) }

// checkManifest looks for what Pebble would take for the manifest's end.
func (q *Queue) checkManifest(d *dirFiles, changed map[string]bool) error {
	if !d.marked {
		return q.checkUnmarked(d)
	}
	data, err := q.readFile(d.manifest)
	if errors.Is(err, fs.ErrNotExist) {
		if older := d.withoutMarker(); older != nil && q.isUsable(older) {
			return q.stepBack(d, older, changed)
		}
	}
	if err != nil {
		return q.damaged(fmt.Errorf("reading the list of tables %q: %w", d.manifest, err))
	}
	if changed[d.manifest] {
		return q.damaged(fmt.Errorf("the list of tables %q is not what it was when the queue was closed", d.manifest))
	}
	s := (&fragmentFile{data: data, manifest: true}).survey()
	if tide, ok := q.readTide(); ok && (numberOf(tide.manifest) > numberOf(d.manifest) || tide.manifest == d.manifest && int64(s.end) < tide.size) {
		return q.damaged(fmt.Errorf("the list of tables %q can be read up to byte %d only, and had %d bytes of %q", d.manifest, s.end, tide.size, tide.manifest))
	}
	if s.proven {
		return q.damaged(fmt.Errorf("the list of tables %q cannot be read at byte %d", d.manifest, s.end))
	}
	if s.broken > 0 {
		q.torn.Add(int64(s.broken))
		q.opts.Logger.Warn("The list of tables ends in bytes that cannot be read, as it may after a power cut. If there was none, the disk is damaged and events may be missing: check it",
			"file", d.manifest, "bytes", s.broken)
	}
	return nil
}

// withoutMarker returns the files without the marker that names the manifest in
// use.
func (d *dirFiles) withoutMarker() *dirFiles {
	return sortFiles(slices.DeleteFunc(slices.Clone(d.names), func(name string) bool { return name == d.marker }))
}

// isUsable reports whether a directory could be used with these files: it has a
// manifest, or is new.
func (q *Queue) isUsable(d *dirFiles) bool {
	if !d.marked {
		return q.checkUnmarked(d) == nil
	}
	_, err := q.fs.Stat(q.path(d.manifest))
	return err == nil
}

// stepBack goes back to the manifest that was in use before. A power cut may leave
// the name of a new one's marker and not its own; then nothing was made of it yet.
func (q *Queue) stepBack(d, older *dirFiles, changed map[string]bool) error {
	q.opts.Logger.Warn("The newest list of tables is not there, as it may be after a power cut; the one before it is used", "file", d.manifest)
	if err := q.fs.Remove(q.path(d.marker)); err != nil {
		return fmt.Errorf("removing the marker of a list of tables that is not there: %w", err)
	}
	if err := q.syncDir(); err != nil {
		return err
	}
	return q.checkManifest(older, changed)
}

// checkUnmarked looks at a directory in which nothing says which manifest is in
// use: it must be new, or Pebble would make it new.
func (q *Queue) checkUnmarked(d *dirFiles) error {
	for _, name := range d.names {
		if strings.HasSuffix(name, tableSuffix) {
			return q.damaged(fmt.Errorf("there are tables such as %q, but no file %s* that says which list of tables is in use", name, markerPrefix))
		}
		number, ok := numbered(name, "", logSuffix)
		if !ok {
			continue
		}
		data, err := q.readFile(name)
		if err != nil {
			return fmt.Errorf("reading %q: %w", name, err)
		}
		if s := (&fragmentFile{data: data, number: uint32(number)}).survey(); len(s.records) > 0 {
			return q.damaged(fmt.Errorf("there is a log %q, but no file %s* that says which list of tables is in use", name, markerPrefix))
		}
	}
	return nil
}

func numberOf(manifest string) uint64 {
	n, _ := numbered(manifest, manifestPrefix, "")
	return n
}

// checkOptions puts a damaged file of Pebble's options aside. Nothing in it is
// needed: the options are always the same.
func (q *Queue) checkOptions(d *dirFiles, changed map[string]bool) error {
	if d.options == "" {
		return nil
	}
	data, err := q.readFile(d.options)
	if err == nil && !changed[d.options] {
		o := q.pebbleOptions(nil)
		o.EnsureDefaults()
		err = o.CheckCompatibility(q.opts.Dir, string(data))
	}
	if err == nil && !changed[d.options] {
		return nil
	}
	q.opts.Logger.Error("A file of options is damaged. It is put aside; nothing in it is needed. Check the disk", "file", d.options, "error", err)
	return q.putAside(d.options)
}

// putAside renames a damaged file to a name that Pebble does not know.
func (q *Queue) putAside(name string) error {
	if err := q.fs.Rename(q.path(name), q.path(asidePrefix+name)); err != nil {
		return fmt.Errorf("putting the damaged file %q aside: %w", name, err)
	}
	return q.syncDir()
}

func (q *Queue) syncDir() error {
	dir, err := q.fs.OpenDir(q.opts.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// replace writes a file of the data directory, and makes sure that either the
// old or the new one is there after a crash.
func (q *Queue) replace(name string, data []byte) error {
	if err := q.writeTemp(name, data, true); err != nil {
		return err
	}
	if err := q.fs.Rename(q.path(name+tempSuffix), q.path(name)); err != nil {
		return err
	}
	return q.syncDir()
}

const tempSuffix = ".new"

func (q *Queue) writeTemp(name string, data []byte, sync bool) error {
	f, err := q.fs.Create(q.path(name+tempSuffix), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// cannotOpen says what to do when Pebble does not open the directory.
func (q *Queue) cannotOpen(err error) error {
	if pebble.IsCorruptionError(err) || errors.Is(err, errRecord) || errors.Is(err, pebble.ErrDBNotPristine) {
		return q.damaged(err)
	}
	return err
}
