package embedded

import (
	"context"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFS is the file system as Pebble gets it: when the disk is full, space is
// told, and what was to be written is tried once more; and Pebble does not try at
// once again, and again, to write a table that it could not write.
func (q *Queue) pebbleFS() vfs.FS {
	return pacedFS{FS: vfs.OnDiskFull(q.fs, q.space.full), q: q}
}

type pacedFS struct {
	vfs.FS
	q *Queue
}

// Create waits before a table is written if one could not be just now.
func (f pacedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, tableSuffix) {
		if wait := f.q.space.wait(); wait > 0 {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
			case <-f.q.stopped:
			}
		}
	}
	return f.FS.Create(name, category)
}

// Unwrap returns the file system that this one is made of.
func (f pacedFS) Unwrap() vfs.FS { return f.FS }

// listener hears what happens in Pebble's background. Some of it is called with
// Pebble's locks held, so nothing here waits or calls Pebble.
func (q *Queue) listener() *pebble.EventListener {
	return &pebble.EventListener{
		FlushBegin: func(pebble.FlushInfo) { q.reclaimer.flushBegun() },
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err == nil {
				q.reclaimer.flushEnded()
				q.tideRose()
			}
		},
		CompactionEnd:   func(pebble.CompactionInfo) { q.tideRose() },
		BackgroundError: q.backgroundError,
		DataCorruption:  q.corrupted,
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			q.opts.Logger.Warn("Writing waits: the disk is slower than what comes, or tables cannot be written or compacted", "reason", i.Reason)
		},
	}
}

// corrupted is told that a table is damaged, whenever the damage is met.
func (q *Queue) corrupted(i pebble.DataCorruptionInfo) {
	name := q.fs.PathBase(i.Path)
	if _, told := q.told.LoadOrStore(name, true); told {
		return
	}
	q.unreadable.Add(1)
	q.opts.Logger.Error("A table is damaged: what it holds cannot be read, and is dead-lettered or counted as dropped; the rest is served. "+
		"Copy the directory away, and check the disk", "file", name, "error", i.Details)
}

// backgroundError is told what Pebble could not do and tries again.
func (q *Queue) backgroundError(err error) {
	q.troubles.Add(1)
	q.space.refused()
	if pebble.IsCorruptionError(err) {
		q.opts.Logger.Error("Tables cannot be compacted because one is damaged; events are accepted and delivered all the same, but take more space. "+
			"When what is queued has been delivered, start with an empty directory, and check the disk", "error", err)
		return
	}
	q.opts.Logger.Error("A table could not be written; it is tried again. What was accepted is in the log. If this goes on, make room or check the disk", "error", err)
}

// tideRose says that the manifest has grown.
func (q *Queue) tideRose() {
	select {
	case q.rose <- struct{}{}:
	default:
	}
}

// keepTide writes how long the manifest is, whenever it has grown, until ctx ends.
func (q *Queue) keepTide(ctx context.Context) {
	for {
		if err := q.leaveTide(); err != nil {
			q.opts.Logger.Warn("It could not be written how long the list of tables is; damage of it might be taken for a power cut's", "error", err)
		}
		select {
		case <-q.rose:
		case <-ctx.Done():
			return
		}
	}
}
