package reload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Dir is a Source in directories, such as those that the kubelet mounts.
type Dir struct {
	// ConfigFile is the path of the configuration.
	ConfigFile string
	// SecretsDir holds a directory for each Secret.
	SecretsDir string
	// Logger is told when watching does not work.
	Logger *slog.Logger
	// Poll is how often files are read again in any case, because a notice can be
	// lost. 0 means 10 s.
	Poll time.Duration
}

// settle is how long changes are collected before they are told: one change of
// a mounted directory makes several notices.
const settle = 20 * time.Millisecond

// ReadConfig implements Source.
func (d *Dir) ReadConfig() ([]byte, error) { return readFile(d.ConfigFile, maxConfig) }

// ReadSecret implements Source.
func (d *Dir) ReadSecret(name string) ([]byte, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("secret file %q: %w", name, fs.ErrInvalid)
	}
	return readFile(filepath.Join(d.SecretsDir, name), maxFile)
}

// ListSecret implements Source: the files of a mounted Secret, but not the links
// by which the kubelet turns them.
func (d *Dir) ListSecret(dir string) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(d.SecretsDir, dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, withoutPath(err)
	}
	var names []string
	for _, e := range list {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), "..") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// readFile reads a file of at most limit bytes. An error names no path: whoever
// asked knows it, and it may end in a log.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: at most %d bytes are read", ErrTooLarge, limit)
	}
	return b, nil
}

func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Watch implements Source.
func (d *Dir) Watch(ctx context.Context, dirs func() []string, changed func()) error {
	return WatchDirs(ctx, d.Poll, d.Logger, func() []string {
		paths := []string{filepath.Dir(d.ConfigFile), d.SecretsDir}
		for _, s := range dirs() {
			paths = append(paths, filepath.Join(d.SecretsDir, s))
		}
		return paths
	}, changed)
}

// WatchDirs calls changed when something in one of the directories may have
// changed, and every poll (0 means 10 s) in any case, until ctx ends. paths is
// asked again each time; a directory that does not exist is left out until it
// does.
func WatchDirs(ctx context.Context, poll time.Duration, log *slog.Logger, paths func() []string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching files: %w", err)
	}
	defer w.Close()
	tick := time.NewTicker(cmp.Or(poll, 10*time.Second))
	defer tick.Stop()
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	add(w, log, paths())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			quiet.Reset(settle)
			continue
		case err := <-w.Errors:
			log.Warn("Watching files has trouble; changes are still found by reading again", "err", err)
			continue
		case <-tick.C:
		case <-quiet.C:
		}
		add(w, log, paths())
		changed()
	}
}

// add watches the directories that exist; one that comes later is found through
// its parent, or by the next reading. Adding one again does nothing.
func add(w *fsnotify.Watcher, log *slog.Logger, paths []string) {
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			continue
		}
		if err := w.Add(p); err != nil {
			log.Warn("A directory cannot be watched; changes in it are found by reading again", "err", withoutPath(err))
		}
	}
}
