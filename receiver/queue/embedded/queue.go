package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

var _ queue.Queue = (*Queue)(nil)

// Queue is a queue on a local disk. Open makes one.
type Queue struct {
	opts     Options
	fs       vfs.FS // as given; Pebble's tells when the disk is full
	space    space
	db       *pebble.DB
	lock     *pebble.Lock
	limits   atomic.Pointer[queue.Limits]
	inflight inflight

	// synced is the last sequence on disk. covered is the last one that the sinks'
	// ledgers know of.
	synced, covered atomic.Uint64
	// watermark is the last sequence of the newest trimmed chunk.
	watermark atomic.Uint64
	// queued is the bytes of queued deliveries, with those being appended.
	queued                    atomic.Int64
	deadBytes                 atomic.Int64
	events, bytes, unreadable atomic.Int64
	// torn is the bytes at the end of a file that could not be read at Open, and
	// troubles what Pebble could not do in the background.
	torn, troubles atomic.Int64
	rewrote        bool     // a damaged log was written again at Open
	told           sync.Map // the damaged tables that were reported

	// reading is held for reading by whoever reads the database, the committer
	// aside, and for writing from when it is about to be closed.
	reading sync.RWMutex

	reclaimer  reclaimer
	rose       chan struct{}  // the manifest has grown
	background sync.WaitGroup // ends with stop
	stop       context.CancelFunc

	quarantine quarantine
	unisolated atomic.Int64 // requests that were not put into quarantine

	shedding sync.Mutex // held by whoever drops deliveries to make room

	failure  atomic.Pointer[error]
	failOnce sync.Once

	wake      chan struct{} // the committer has something to do
	stopped   chan struct{} // the committer has ended
	closing   sync.Once
	closeErr  error
	flushSet  atomic.Bool // a flush is on its way
	flush     *time.Timer
	trimTimer *time.Timer
	trimArmed atomic.Bool

	mu sync.Mutex // guards what follows
	// closed is set once.
	closed  bool
	pending *group // what the next commit writes
	spare   *pebble.Batch
	last    uint64 // the last sequence given away
	// windowBytes is what the window of the last sequence holds, of what was appended
	// since the queue was opened.
	windowBytes int64
	memory      memory           // of events
	received    memory           // of transfers
	byName      map[string]*sink // the sinks that are listed
	controls    []*control
	flushDue    bool

	sinks atomic.Pointer[[]*sink] // every sink that ever was

	// What follows belongs to the committer.
	chunks    []*chunk // in order; trimmed ones first
	trimmed   int      // how many of chunks are trimmed
	freed     int64    // bytes trimmed from freedFrom on, not given back yet
	freedFrom uint64
	freedTo   uint64
	changed   map[*chunk]struct{}    // trimmed ones to be written again
	ended     map[letterKey]struct{} // dead letters that this turn deletes
	keyBuf    []byte
	valBuf    []byte
}

// Open opens the queue in a directory, which no other process may have open. It
// reads the state of the sinks and their retries, but no events.
func Open(opts Options) (*Queue, error) {
	opts.setDefaults()
	q := &Queue{
		opts:    opts,
		fs:      opts.FS,
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		byName:  make(map[string]*sink),
		changed: make(map[*chunk]struct{}),
		ended:   make(map[letterKey]struct{}),
	}
	q.limits.Store(&q.opts.Limits)
	q.sinks.Store(new([]*sink))
	q.inflight.init()
	q.memory = memory{own: kindMemory, entries: kindDedup, budget: filterBudget}
	q.received = memory{own: kindReceivedMemory, entries: kindReceived, budget: receivedBudget}
	q.reclaimer.wake = make(chan struct{}, 1)
	q.rose = make(chan struct{}, 1)
	if err := q.open(); err != nil {
		return nil, fmt.Errorf("opening queue in %q: %w", opts.Dir, err)
	}
	q.flush = time.AfterFunc(time.Hour, q.flushNow)
	q.flush.Stop()
	q.trimTimer = time.AfterFunc(time.Hour, q.trimNow)
	q.trimTimer.Stop()
	q.quarantine.timer = time.AfterFunc(time.Hour, q.reviewIsolated)
	q.quarantine.timer.Stop()
	q.orderSinks()
	ctx, stop := context.WithCancel(context.Background())
	q.stop = stop
	var learn []uint32
	for _, b := range q.memory.buckets {
		learn = append(learn, b.number)
	}
	q.background.Go(func() { q.reclaimer.run(ctx, q) })
	q.background.Go(func() { q.learn(ctx, learn) })
	q.background.Go(func() { q.space.run(ctx) })
	q.background.Go(func() { q.keepTide(ctx) })
	go q.commitLoop()
	q.signal()
	return q, nil
}

func (q *Queue) open() error {
	if err := q.opts.FS.MkdirAll(q.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	lock, err := pebble.LockDirectory(q.opts.Dir, q.opts.FS)
	if err != nil {
		return fmt.Errorf("locking the directory, which another process seems to use: %w", err)
	}
	db, err := q.openPebble(lock)
	if err != nil {
		return errors.Join(q.cannotOpen(err), lock.Close())
	}
	q.db, q.lock = db, lock
	if err := q.load(); err != nil {
		return errors.Join(q.cannotOpen(err), db.Close(), lock.Close())
	}
	return nil
}

// openPebble opens the database after a look at its files, and once more if it
// finds an older log damaged.
func (q *Queue) openPebble(lock *pebble.Lock) (*pebble.DB, error) {
	if err := q.inspect(); err != nil {
		return nil, err
	}
	q.space.start(q)
	db, err := pebble.Open(q.opts.Dir, q.pebbleOptions(lock))
	if err == nil || !pebble.IsCorruptionError(err) {
		return db, err
	}
	mended, mendErr := q.mendLogs()
	if mendErr != nil || !mended {
		return nil, errors.Join(err, mendErr)
	}
	return pebble.Open(q.opts.Dir, q.pebbleOptions(lock))
}

// Close commits what was appended, writes the state of all deliveries, syncs and
// closes.
func (q *Queue) Close() error {
	q.closing.Do(func() { q.closeErr = q.shut() })
	return q.closeErr
}

func (q *Queue) shut() error {
	q.closeSinks() // before the last turn, so that it writes all that was acked
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	<-q.stopped
	q.stop()
	q.background.Wait()
	q.closeSinks()
	q.reading.Lock() // for ever: nobody may read from here on
	q.flush.Stop()
	q.trimTimer.Stop()
	q.quarantine.timer.Stop()
	err := errors.Join(q.failed(), q.db.Close())
	if err == nil {
		if err := q.leaveMark(); err != nil {
			q.opts.Logger.Warn("The mark of an orderly shutdown could not be left; the next start is as after a crash", "error", err)
		}
	}
	err = errors.Join(err, q.lock.Close())
	if err != nil {
		return fmt.Errorf("closing queue: %w", err)
	}
	return nil
}

func (q *Queue) closeSinks() {
	for _, s := range *q.sinks.Load() {
		s.close()
	}
}

// read runs f, which reads the database, unless that is closed.
func (q *Queue) read(f func() error) error {
	if !q.reading.TryRLock() {
		return queue.ErrClosed
	}
	defer q.reading.RUnlock()
	return f()
}

// fail records that nothing can be stored any more, and says so once.
func (q *Queue) fail(err error) {
	q.failOnce.Do(func() {
		q.failure.Store(&err)
		q.opts.Fatal(err)
	})
}

// failed returns what fail was called with, or nil.
func (q *Queue) failed() error {
	if err := q.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// SetLimits replaces the limits; what is over the new ones goes soon.
func (q *Queue) SetLimits(l queue.Limits) {
	l = withDefaults(l)
	q.limits.Store(&l)
	q.orderSinks()
	q.flushNow()
}

// orderSinks has each sink get its events in order, or not, as the limits say.
func (q *Queue) orderSinks() {
	for _, s := range *q.sinks.Load() {
		s.setOrdered(slices.Contains(q.limits.Load().BySubject, s.name))
	}
}

// SetSinks says which sinks there are. It returns when that is on disk.
func (q *Queue) SetSinks(names []string) error {
	err := q.control(context.Background(), &control{
		prepare: func() { q.unlist(names) },
		run: func(g *group) error {
			q.applySinks(g.batch, names)
			return nil
		},
		finish: func() { q.list(names) },
	})
	if err != nil {
		return fmt.Errorf("setting sinks: %w", err)
	}
	return nil
}

// Consumer returns the sink's side of the queue.
func (q *Queue) Consumer(name string) (queue.Consumer, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, ok := q.byName[name]
	if !ok {
		return nil, fmt.Errorf("consuming for %q: %w", name, queue.ErrUnknownSink)
	}
	return s, nil
}

// Stats returns what the queue holds. Sinks that are no longer listed are in it
// too: their ledgers go on to count.
func (q *Queue) Stats() queue.Stats {
	l := q.limits.Load()
	st := queue.Stats{
		Events:             q.events.Load(),
		Bytes:              q.bytes.Load(),
		Capacity:           l.Capacity,
		DeadLetterBytes:    q.deadBytes.Load(),
		DeadLetterCapacity: l.DeadLetterCapacity,
		Unreadable:         q.unreadable.Load(),
		TornLogBytes:       q.torn.Load(),
		BackgroundErrors:   q.troubles.Load(),
		FreeBytes:          q.space.above(),
		MinFree:            q.space.floor,
		Sinks:              make(map[string]queue.SinkStats),
	}
	st.Quarantined, st.QuarantinedBytes = q.quarantine.count()
	st.QuarantineMissed = q.unisolated.Load()
	for _, s := range *q.sinks.Load() {
		ss := s.stats()
		st.QueuedBytes += ss.QueuedBytes
		st.Sinks[s.name] = ss
	}
	return st
}

// signal tells the committer that there is something to do.
func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// flushLater makes sure that the state of the sinks is written soon.
func (q *Queue) flushLater() {
	if !q.flushSet.Swap(true) {
		q.flush.Reset(q.opts.FlushInterval)
	}
}

// flushNow makes the committer write the state of the sinks.
func (q *Queue) flushNow() {
	q.mu.Lock()
	q.flushDue = true
	q.mu.Unlock()
	q.signal()
}

// now is the time of day; it may jump.
func (q *Queue) now() int64 { return q.opts.Now().UnixNano() }

// elapsed is the time since the queue was opened; it does not jump.
func (q *Queue) elapsed() int64 { return int64(q.opts.Elapsed()) }

// until is how long it is until t, bounded so that sums do not overflow.
func (q *Queue) until(t time.Time) int64 {
	const most = 10 * 365 * 24 * time.Hour
	return int64(max(0, min(t.Sub(q.opts.Now()), most)))
}
