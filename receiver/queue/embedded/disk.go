package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const (
	defaultMinFree  = 64 << 20
	smallestMinFree = 4 << 20
	// minFreeShare bounds the default: it is at most that part of the disk.
	minFreeShare = 20
	// ballastShare is what part of the floor the ballast has, up to maxBallast.
	ballastShare = 4
	maxBallast   = 16 << 20
	// writeFactor is how many bytes are reckoned to be written for each that is
	// appended until the next look: to the log, to a table, and what goes with it.
	writeFactor = 3
	// lookInterval is how often free space is looked at, and lookPause how often at
	// most when there is a reason to look at once.
	lookInterval = time.Second
	lookPause    = 20 * time.Millisecond
	// ballastName is a name that Pebble does not know.
	ballastName = "fairlead.ballast"
	// unlimited is more than any disk has.
	unlimited = math.MaxInt64 / 4
)

// space knows how much may still be written to the disk, so that Append refuses
// before the disk is full: when Pebble cannot write its log, the process must
// end. A goroutine looks at the disk; Append only counts down what was found.
type space struct {
	q     *Queue
	wake  chan struct{}
	floor int64 // free bytes below which Append refuses
	// ballastSize is how large the ballast is to be; 0 means none.
	ballastSize int64

	// left is how many bytes may be appended until Append refuses, and lookAt at how
	// many of them it is looked again.
	left, lookAt atomic.Int64
	// free is what the last look found above the floor.
	free  atomic.Int64
	short atomic.Bool // Append refuses
	// denied is what the last one that was refused would have taken.
	denied atomic.Int64
	// keep bounds the bytes of finished events while space is short.
	keep atomic.Int64

	mu       sync.Mutex // guards what follows
	ballast  bool       // it is there
	tooSmall bool       // that was said
	failed   time.Time  // when the disk last refused to be written
}

// start looks for the first time, before Pebble writes.
func (s *space) start(q *Queue) {
	s.q = q
	s.wake = make(chan struct{}, 1)
	s.keep.Store(math.MaxInt64)
	usage, err := q.fs.GetDiskUsage(q.opts.Dir)
	total := int64(min(usage.TotalBytes, unlimited))
	if err != nil {
		total = unlimited
	}
	if q.opts.MaxBytes > 0 {
		total = min(total, q.opts.MaxBytes)
	}
	if s.floor = q.opts.MinFree; s.floor <= 0 {
		s.floor = max(min(defaultMinFree, total/minFreeShare), smallestMinFree)
	}
	if err == nil || q.opts.MaxBytes > 0 {
		s.ballastSize = min(maxBallast, s.floor/ballastShare)
	}
	if info, err := q.fs.Stat(q.path(ballastName)); err == nil {
		if s.ballast = true; info.Size() != s.ballastSize { // it was not finished, or is to be another one
			s.ballast = q.fs.Remove(q.path(ballastName)) != nil
		}
	}
	s.look()
}

// take takes room for n bytes that are to be appended, if there is room.
func (s *space) take(n int64) error {
	left := s.left.Add(-n)
	if left < s.lookAt.Load() {
		s.lookSoon()
	}
	if left >= 0 {
		return nil
	}
	s.left.Add(n)
	s.denied.Store(min(n*writeFactor, s.floor/2))
	return queue.ErrNoSpace
}

// giveBack is for what was taken and is not appended.
func (s *space) giveBack(n int64) { s.left.Add(n) }

func (s *space) lookSoon() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// above returns how many bytes are free above the floor, as Stats says it.
func (s *space) above() int64 {
	switch left := s.left.Load(); {
	case s.free.Load() == unlimited:
		return -1
	case s.short.Load():
		return 0
	default:
		return max(left, 0) * writeFactor
	}
}

// run looks at the disk until ctx ends.
func (s *space) run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		if err := s.tend(ctx); err != nil {
			s.q.opts.Logger.Error("The ballast that keeps space for a full disk cannot be written yet", "error", err)
		}
		pause := time.NewTimer(lookPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		s.look()
	}
}

// look asks how much is free, and opens or closes the door.
func (s *space) look() {
	free, err := s.measure()
	if err != nil {
		s.q.opts.Logger.Error("It cannot be found out how much space is left on the disk", "error", err)
		return
	}
	if free == unlimited {
		s.free.Store(unlimited)
		s.lookAt.Store(math.MinInt64)
		s.left.Store(unlimited)
		return
	}
	if free < s.floor/2 {
		s.dropBallast(free)
	}
	s.decide(free)
	s.evict(free)
}

// decide says whether Append may go on. What it needs to begin again is a little
// more than what makes it stop.
func (s *space) decide(free int64) {
	enough := s.floor + s.denied.Swap(0)
	if s.short.Load() {
		enough += s.floor / 8
	}
	short := free < enough
	room := max((free-s.floor)/writeFactor, 0)
	if short {
		room = 0
	}
	s.free.Store(max(free-s.floor, 0))
	s.lookAt.Store(room - max(room/4, 64<<10))
	s.left.Store(room)
	if s.short.Swap(short) == short {
		return
	}
	if short {
		s.q.opts.Logger.Error("The disk has too little free space: events are refused until there is more. What is stored stays, and is delivered. "+
			"Make room, or give the volume more; finished events are evicted meanwhile", "free", free, "floor", s.floor)
		return
	}
	s.q.opts.Logger.Info("There is enough free space again: events are accepted", "free", free, "floor", s.floor)
}

// measure returns how much may be written until the disk, or what the directory
// may take, is full, and takes off what Pebble has in its logs and still has to
// write to tables.
func (s *space) measure() (int64, error) {
	free := int64(unlimited)
	usage, err := s.q.fs.GetDiskUsage(s.q.opts.Dir)
	switch {
	case err == nil:
		free = int64(min(usage.AvailBytes, unlimited-1))
	case !errors.Is(err, vfs.ErrUnsupported):
		return 0, err
	}
	if most := s.q.opts.MaxBytes; most > 0 {
		used, err := s.used()
		if err != nil {
			return 0, err
		}
		free = min(free, max(most-used, 0))
	}
	if free == unlimited {
		return free, nil
	}
	_ = s.q.read(func() error {
		if s.q.db != nil {
			free -= int64(s.q.db.Metrics().WAL.Size)
		}
		return nil
	})
	return max(free, 0), nil
}

// used is the size of all files of the directory.
func (s *space) used() (sum int64, err error) {
	names, err := s.q.fs.List(s.q.opts.Dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		info, err := s.q.fs.Stat(s.q.path(name))
		switch {
		case err == nil:
			sum += info.Size()
		case !errors.Is(err, fs.ErrNotExist): // it may be gone by now
			return 0, err
		}
	}
	return sum, nil
}

// evict has finished events go earlier while space is short: as many as are
// missing. The space comes back when their tables are compacted; until then no
// more go.
func (s *space) evict(free int64) {
	if !s.short.Load() {
		s.keep.Store(math.MaxInt64)
		return
	}
	if busy, waits := s.q.reclaimer.busy(); busy {
		if waits {
			s.q.reclaimer.hurry()
		}
		return
	}
	keep := max(s.q.bytes.Load()-(s.floor+s.floor/4-free), s.q.queued.Load(), 0)
	if keep < s.keep.Swap(keep) && s.q.events.Load() > 0 {
		s.q.flushNow()
	}
}

// full is called when the disk refuses to be written although the floor should
// have prevented that. What wants to be written waits until full returns, and is
// tried once more.
func (s *space) full() {
	s.left.Store(0)
	s.short.Store(true)
	s.mu.Lock()
	s.failed = time.Now()
	s.mu.Unlock()
	s.q.opts.Logger.Error("The disk is full. Events are refused; make room, or give the volume more")
	s.dropBallast(0)
	s.lookSoon()
}

// retryPause is how long Pebble waits before it tries again to write a table.
const retryPause = time.Second

// refused is called when something could not be written in the background.
func (s *space) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = time.Now()
}

// wait is how long to wait before a table is written: Pebble tries at once again
// what failed.
func (s *space) wait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed.IsZero() {
		return 0
	}
	return retryPause - time.Since(s.failed)
}

// dropBallast gives the ballast's space to Pebble.
func (s *space) dropBallast(free int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ballast {
		return
	}
	s.ballast = false
	if err := s.q.fs.Remove(s.q.path(ballastName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.q.opts.Logger.Error("The ballast cannot be given up", "error", err)
		return
	}
	s.q.opts.Logger.Warn("Space is very short: the ballast is given up, so that what is stored can still be delivered", "free", free, "bytes", s.ballastSize)
}

// tend makes the ballast if it is missing and there is room for it.
func (s *space) tend(ctx context.Context) error {
	s.mu.Lock()
	missing := !s.ballast && s.ballastSize > 0
	s.mu.Unlock()
	above := s.free.Load()
	switch {
	case !missing || above == unlimited:
		return nil
	case above < s.floor+s.ballastSize:
		s.goWithout()
		return nil
	}
	err := s.writeBallast(ctx)
	if err != nil {
		return errors.Join(err, s.q.fs.Remove(s.q.path(ballastName)))
	}
	s.mu.Lock()
	s.ballast = ctx.Err() == nil
	s.mu.Unlock()
	s.look()
	return nil
}

// goWithout says once that there is no ballast.
func (s *space) goWithout() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tooSmall {
		s.tooSmall = true
		s.q.opts.Logger.Warn("There is too little space for a ballast file; the queue goes without until there is more", "bytes", s.ballastSize)
	}
}

// writeBallast writes the ballast, piece by piece; if ctx ends it removes it.
func (s *space) writeBallast(ctx context.Context) error {
	f, err := s.q.fs.Create(s.q.path(ballastName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	piece := make([]byte, 256<<10)
	for left := s.ballastSize; left > 0 && err == nil && ctx.Err() == nil; left -= int64(len(piece)) {
		_, err = f.Write(piece[:min(left, int64(len(piece)))])
	}
	if err == nil && ctx.Err() == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", ballastName, err)
	}
	if ctx.Err() != nil {
		return s.q.fs.Remove(s.q.path(ballastName))
	}
	return nil
}
