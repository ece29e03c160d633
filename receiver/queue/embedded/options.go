package embedded

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// Options says where a queue is and how it behaves. Only Dir is needed.
type Options struct {
	// Dir is the data directory; it is made if it does not exist.
	Dir string
	// FS is the file system; nil means the disk.
	FS vfs.FS
	// Logger takes what an operator must know; nil means none.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Elapsed is the time since some moment, and does not jump when the clock is
	// set; retries wait by it. nil means by Now, which is right if Now's times hold a
	// monotonic reading, as those of time.Now do.
	Elapsed func() time.Duration
	// Fatal is called, once, when the disk cannot be trusted any more: it must end
	// the process. It is called from any goroutine and while locks are held, so it
	// must not call the queue. If it returns, nothing is stored afterwards. nil
	// means to log and panic.
	Fatal func(error)
	// Limits bounds what is kept. The zero value means 1 GiB, 24 h, and 256 MiB of
	// dead letters.
	Limits queue.Limits
	// FlushInterval is how long an ack may wait to be written when no event comes;
	// 0 means 5 ms.
	FlushInterval time.Duration
	// MinFree is how many bytes stay free on the disk: below that, Append refuses
	// with ErrNoSpace. 0 means 64 MiB, but at most 5 % of the disk, and 4 MiB at least.
	MinFree int64
	// MaxBytes is how many bytes the directory may take, if that is less than the
	// disk has: of a volume with a size limit, whose pod is evicted when it takes
	// more. 0 means that only the disk's free space counts.
	MaxBytes int64
	// MaxRetries bounds each sink's deliveries that wait for a retry. A sink that
	// has so many gets no new deliveries until some of them finish. 0 means 65536.
	MaxRetries int
}

const (
	defaultCapacity           = 1 << 30
	defaultRetention          = 24 * time.Hour
	defaultDeadLetterCapacity = 256 << 20
	defaultFlushInterval      = 5 * time.Millisecond
	defaultMaxRetries         = 1 << 16
	memTableSize              = 4 << 20
	cacheSize                 = 24 << 20 // of blocks and memtables together
	formatMajor               = pebble.FormatTableFormatV6
	// smallTable keeps compactions of other keys from taking tables of events along:
	// Pebble adds neighbours to a compaction up to 25 times this.
	smallTable = 256 << 10
	// flushDelay is how long deletions may wait before they free space.
	flushDelay = 30 * time.Second
	// eventWindow is how many sequences a table of events may span.
	eventWindow = 1 << 14
	// windowBytes is how many bytes of events a window holds, more or less.
	windowBytes                 = 4 << 20
	batchInitial, batchRetained = 128 << 10, 1 << 20
)

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		now, start := o.Now, o.Now()
		o.Elapsed = func() time.Duration { return now().Sub(start) }
	}
	if o.Fatal == nil {
		log := o.Logger
		o.Fatal = func(err error) {
			log.Error("The queue's disk cannot be trusted any more; the process ends", "error", err)
			panic(err)
		}
	}
	if o.FlushInterval <= 0 {
		o.FlushInterval = defaultFlushInterval
	}
	if o.MaxRetries <= 0 {
		o.MaxRetries = defaultMaxRetries
	}
	o.Limits = withDefaults(o.Limits)
}

func withDefaults(l queue.Limits) queue.Limits {
	if l.Capacity == 0 && l.DeadLetterCapacity == 0 && l.Retention == 0 {
		l.Retention = defaultRetention
	}
	if l.Capacity <= 0 {
		l.Capacity = defaultCapacity
	}
	if l.DeadLetterCapacity <= 0 {
		l.DeadLetterCapacity = defaultDeadLetterCapacity
	}
	return l
}

// pebbleOptions keeps the store small and its background work rare. Nothing is
// compressed: events are written once to the log and once to a table, and the
// processor is scarcer than the disk.
func (q *Queue) pebbleOptions(lock *pebble.Lock) *pebble.Options {
	o := &pebble.Options{
		FS:                          q.pebbleFS(),
		Lock:                        lock,
		FormatMajorVersion:          formatMajor,
		Logger:                      pebbleLogger{q},
		CacheSize:                   cacheSize,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                256,
		L0CompactionThreshold:       32,
		L0CompactionFileThreshold:   1000,
		L0StopWritesThreshold:       128,
		LBaseMaxBytes:               64 << 20,
		MaxManifestFileSize:         1 << 20,
		BytesPerSync:                1 << 20,
	}
	o.FlushDelayDeleteRange = flushDelay
	o.Experimental.SpanPolicyFunc = spanPolicy
	o.EventListener = q.listener()
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 16 << 10
	}
	o.TargetFileSizes[0] = memTableSize
	for i := range o.TargetFileSizes[1:] {
		o.TargetFileSizes[1+i] = smallTable
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return o
}

// spanPolicy ends tables where the events begin and end, and at every multiple of
// eventWindow between. So the tables of events hold nothing else, and do not
// overlap, not even those with range deletions.
func spanPolicy(start []byte) (p pebble.SpanPolicy, end []byte, err error) {
	switch {
	case len(start) == 0 || start[0] < kindEvent:
		return p, []byte{kindEvent}, nil
	case start[0] == kindEvent && len(start) >= eventKeyLen:
		window := binary.BigEndian.Uint64(start[1:])/eventWindow + 1
		return p, appendEventKey(nil, window*eventWindow), nil
	case start[0] == kindEvent:
		return p, []byte{kindEvent + 1}, nil
	}
	return p, nil, nil
}

// pebbleLogger passes on what Pebble has to say.
type pebbleLogger struct{ q *Queue }

func (l pebbleLogger) Infof(format string, args ...any) {
	if log := l.q.opts.Logger; log.Enabled(context.Background(), slog.LevelDebug) {
		log.Debug("Pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.q.opts.Logger.Error("Pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is Pebble's way to say that it cannot go on. It calls this before it
// reports a commit as done, so the committer sees the failure.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.q.fail(fmt.Errorf("storing: "+format, args...))
}
