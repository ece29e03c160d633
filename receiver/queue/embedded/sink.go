package embedded

import (
	"cmp"
	"container/heap"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// sink is the state of one sink's deliveries. The log before read has been looked
// at: what of it is not finished is in ready, holes or retries. What stands at
// read and behind it is only counted.
type sink struct {
	q       *Queue
	name    string
	ordinal uint32

	filling sync.Mutex // held by the one who reads ahead; taken before mu

	mu     sync.Mutex // guards what follows
	active bool
	closed bool
	epoch  int // one higher whenever the sink begins or is retired
	ledger ledger
	// upto is the last sequence that the ledger may know of.
	upto  uint64
	read  uint64
	fresh tally   // what is at read and behind it
	ready []*item // read ahead, never leased
	// holes are the deliveries before the first ready one that have been leased and
	// have not failed; returned are those of them that wait to be leased again.
	holes    map[uint64]*item
	returned []*item
	retries  map[uint64]*item // those with a retry record, leased or not
	due      dueHeap          // those of them that wait
	ops      []op
	dirty    bool
	waiters  []chan struct{}
	timer    *time.Timer
	settling []chan struct{} // of those who wait until their op is written

	leased        tally // the leases that are out
	leasedRetries int64 // those of them that have failed before
	freshNext     bool  // whose turn it is, when retries and new deliveries wait

	lanes map[uint64]*lane // nil unless the sink gets events in order

	// Of dropping the oldest; elders is nil until something was dropped.
	elders      elderHeap
	unannounced tally
	announced   int64

	letters // changed by the committer only

	// Of the committer.
	spareOps    []op
	firstLetter uint64 // no dead letter is before it
	holeBuf     []uint64
	settled     []chan struct{}
}

// item is a delivery that is not finished.
type item struct {
	seq      uint64
	received int64
	size     int64
	due      int64
	attempts int
	lane     uint64          // 0 means none
	failed   bool            // has a retry record
	parked   bool            // waits for an earlier one of its lane
	ended    bool            // is dead, and the committer has yet to write that
	elder    bool            // is in the sink's elders
	pos      int             // in the sink's due heap; -1 if it is not there
	held     *queue.Delivery // the lease that is out
	raw      []byte          // the record, if it was read ahead
}

// op is something that the committer has to write for a sink.
type op struct {
	kind     opKind
	failed   bool
	seq      uint64
	attempts int
	due      int64 // or when it died
	wait     int64
	lane     uint64
	received int64
	size     int64
	reason   string
	answer   []byte
}

type opKind uint8

const (
	opDone   opKind = iota // it has finished, below the watermark
	opForget               // it has finished and has a retry record
	opRetry
	opDead
)

// dueHeap orders retries by when they are due.
type dueHeap []*item

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *dueHeap) Push(x any) {
	it := x.(*item)
	it.pos = len(*h)
	*h = append(*h, it)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	it.pos = -1
	return it
}

func newSink(q *Queue, name string, ordinal uint32) *sink {
	return &sink{q: q, name: name, ordinal: ordinal, holes: make(map[uint64]*item), retries: make(map[uint64]*item)}
}

// restore takes over what was stored.
func (s *sink) restore(st sinkState) {
	s.active, s.read, s.ledger, s.letters = st.active, st.next, st.ledger, st.letters
	s.upto = s.q.covered.Load()
}

func (s *sink) restoreRetry(seq uint64, r retry) {
	it := &item{seq: seq, received: r.received, size: r.size, attempts: r.attempts, lane: r.lane, failed: true}
	it.due = s.q.elapsed() + max(0, min(r.due-s.q.now(), r.wait))
	s.retries[seq] = it
	heap.Push(&s.due, it)
}

// countFresh works out what is queued at read and behind it.
func (s *sink) countFresh() {
	s.fresh = s.ledger.queued()
	for it := range s.allBegun {
		s.fresh.n--
		s.fresh.bytes -= it.size
	}
}

// begun returns a delivery that is among the holes or the retries, or nil. The
// caller holds mu.
func (s *sink) begun(seq uint64) *item {
	if it := s.holes[seq]; it != nil {
		return it
	}
	return s.retries[seq]
}

// allBegun calls yield with all of those, in any order. The caller holds mu.
func (s *sink) allBegun(yield func(*item) bool) {
	for _, m := range []map[uint64]*item{s.holes, s.retries} {
		for _, it := range m {
			if !yield(it) {
				return
			}
		}
	}
}

func (s *sink) isActive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// begin lists the sink; its deliveries start at seq unless it is listed already.
func (s *sink) begin(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active {
		return
	}
	s.active, s.read, s.dirty = true, seq, true
	s.epoch++
	if slices.Contains(s.q.limits.Load().BySubject, s.name) {
		s.lanes = make(map[uint64]*lane)
	}
}

// retire drops all that is queued, and returns how much it was.
func (s *sink) retire() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := s.ledger.queued()
	s.ledger.dropped.plus(dropped)
	s.active, s.dirty = false, true
	s.epoch++
	s.ready, s.returned, s.due, s.fresh = nil, nil, nil, tally{}
	s.lanes, s.elders, s.leased, s.leasedRetries = nil, nil, tally{}, 0
	clear(s.holes)
	clear(s.retries)
	s.signal(len(s.waiters))
	return dropped
}

// close makes Lease return ErrClosed, and all the rest do nothing.
func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.signal(len(s.waiters))
}

// accept enters what a group changes. Its deliveries may be leased when they are
// synced.
func (s *sink) accept(a *addition, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.accepted.plus(a.queued)
	s.ledger.accepted.plus(a.dead)
	s.ledger.dead.plus(a.dead)
	s.ledger.replayed.plus(a.replayed)
	s.ledger.received.plus(a.received)
	s.letters.plus(&a.letters)
	s.fresh.plus(a.queued)
	s.upto, s.dirty = last, true
}

// wakeFor wakes enough of those who wait in Lease for n new deliveries.
func (s *sink) wakeFor(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(int(min(n, int64(len(s.waiters)))))
}

// signal wakes n of those who wait. The caller holds mu.
func (s *sink) signal(n int) {
	for _, w := range s.waiters[:n] {
		close(w)
	}
	s.waiters = slices.Delete(s.waiters, 0, n)
}

// unfinished reports whether the sink still has to do with an event that was
// addressed to it.
func (s *sink) unfinished(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active {
		return false
	}
	if seq >= s.read || s.begun(seq) != nil {
		return true
	}
	_, found := slices.BinarySearchFunc(s.ready, seq, bySequence)
	return found
}

func bySequence(it *item, seq uint64) int { return cmp.Compare(it.seq, seq) }

// snapshot returns what is to be written of the sink: what its consumers did, and
// the state that results from just that. ok is false if nothing is.
func (s *sink) snapshot() (ops []op, st sinkState, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return nil, st, false
	}
	ops, s.ops, s.dirty = s.ops, s.spareOps[:0], false
	s.settled, s.settling = append(s.settled, s.settling...), s.settling[:0]
	for i := range ops {
		if o := &ops[i]; o.kind == opDead { // now it is the dead letter's
			delete(s.holes, o.seq)
			delete(s.retries, o.seq)
		}
	}
	st = sinkState{active: s.active, next: s.read, holes: s.holeBuf[:0], ledger: s.ledger}
	if len(s.ready) > 0 {
		st.next = s.ready[0].seq
	}
	for seq := range s.holes {
		st.holes = append(st.holes, seq)
	}
	slices.Sort(st.holes)
	s.holeBuf = st.holes
	return ops, st, true
}

// recycle keeps the memory of ops that were written.
func (s *sink) recycle(ops []op) {
	clear(ops)
	if cap(ops) > 4096 {
		ops = nil
	}
	s.spareOps = ops
}

// settle wakes those whose op was written; after a failure, all.
func (s *sink) settle(failed bool) {
	if failed {
		s.mu.Lock()
		s.settled, s.settling = append(s.settled, s.settling...), nil
		s.mu.Unlock()
	}
	for _, c := range s.settled {
		close(c)
	}
	s.settled = s.settled[:0]
}

// stats returns the sink's figures.
func (s *sink) stats() queue.SinkStats {
	if s.unread() {
		_ = s.readAhead() // to know how old the oldest is; Lease says what is wrong
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	queued := s.ledger.queued()
	oldest, retrying := s.survey()
	return queue.SinkStats{
		Accepted:           s.ledger.accepted.n,
		Delivered:          s.ledger.delivered.n,
		Dead:               s.ledger.dead.n,
		Dropped:            s.ledger.dropped.n,
		HandedOver:         s.ledger.handedOver.n,
		Queued:             queued.n,
		Replayed:           s.ledger.replayed.n,
		Received:           s.ledger.received.n,
		QueuedBytes:        queued.bytes,
		Retrying:           retrying,
		DeadLetters:        s.kept.n,
		DeadLetterBytes:    s.kept.bytes,
		DeadLettersDropped: s.letters.dropped,

		DeadLettersReplayed:   s.letters.replayed,
		DeadLettersHandedOver: s.letters.handedOver,

		OldestQueued: oldest,
		Removed:      !s.active,
	}
}

// unread reports whether there are deliveries and none was read ahead.
func (s *sink) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active && !s.closed && len(s.ready) == 0 && s.fresh.n > 0 && len(s.holes)+len(s.retries) == 0
}

// survey returns when the oldest queued event came, and how many deliveries have
// failed at least once. The caller holds mu.
func (s *sink) survey() (oldest time.Time, retrying int64) {
	var first *item
	consider := func(it *item) {
		if first == nil || it.seq < first.seq {
			first = it
		}
	}
	for it := range s.allBegun {
		consider(it)
		if it.failed && it.attempts > 0 {
			retrying++
		}
	}
	if len(s.ready) > 0 {
		consider(s.ready[0])
	}
	if first != nil {
		oldest = instant(first.received)
	}
	return oldest, retrying
}
