package embedded

import (
	"container/heap"
	"errors"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// errNoRoom is ErrFull where it is the queued deliveries that take the room.
var errNoRoom = noRoom{}

type noRoom struct{}

func (noRoom) Error() string        { return queue.ErrFull.Error() }
func (noRoom) Is(target error) bool { return target == queue.ErrFull }

// makeRoom drops the oldest deliveries of the sinks that allow it, until there is
// room for cost more bytes, and reports whether there is. It drops nothing if all
// of them would not be enough.
func (q *Queue) makeRoom(cost int64) bool {
	q.shedding.Lock()
	defer q.shedding.Unlock()
	for {
		over := q.queued.Load() + cost - q.limits.Load().Capacity
		if over <= 0 {
			return true
		}
		s, all := q.fattest()
		if s == nil || all < over {
			return false
		}
		if s.dropOldest(over) == 0 {
			return false
		}
	}
}

// fattest returns, of the sinks that allow to drop deliveries, the one with the
// most queued bytes, and how many all of them have.
func (q *Queue) fattest() (fattest *sink, all int64) {
	most := int64(0)
	names := q.limits.Load().DropOldest
	for _, s := range *q.sinks.Load() {
		if !slices.Contains(names, s.name) {
			continue
		}
		n := s.droppable()
		if all += n; n > most {
			fattest, most = s, n
		}
	}
	return fattest, all
}

// droppable is how many queued bytes are not leased.
func (s *sink) droppable() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active || s.closed {
		return 0
	}
	return s.ledger.queued().bytes - s.leased.bytes
}

// dropOldest drops deliveries that are not leased, oldest first, until they make
// up as many bytes, and returns how many bytes it dropped: less if the next ones
// must be read from the log first, which it does.
func (s *sink) dropOldest(bytes int64) int64 {
	dropped := s.dropBegun(bytes)
	if dropped.n == 0 {
		if more, err := s.readOn(false); err != nil || !more {
			return 0
		}
		dropped = s.dropBegun(bytes)
	}
	if dropped.n > 0 {
		s.announceDrop(dropped)
	}
	return dropped.bytes
}

// dropBegun does so with what is in memory.
func (s *sink) dropBegun(bytes int64) (dropped tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.elders == nil {
		s.elders = make(elderHeap, 0, len(s.retries))
		for _, it := range s.retries {
			s.elders.add(it)
		}
	}
	for dropped.bytes < bytes {
		it := s.takeOldest()
		if it == nil {
			break
		}
		dropped.add(it.size)
		s.end(it, &s.ledger.dropped)
	}
	return dropped
}

// takeOldest takes the oldest delivery that is not leased off its line; nil if
// there is none in memory. The caller holds mu.
func (s *sink) takeOldest() *item {
	for len(s.elders) > 0 && s.waiting(s.elders[0].seq) != s.elders[0] {
		heap.Pop(&s.elders).(*item).elder = false // it comes back with its next retry
	}
	var oldest *item
	if len(s.elders) > 0 {
		oldest = s.elders[0]
	}
	for _, line := range [][]*item{s.returned, s.ready} {
		if len(line) > 0 && (oldest == nil || line[0].seq < oldest.seq) {
			oldest = line[0]
		}
	}
	if oldest != nil {
		s.takeOff(oldest)
	}
	return oldest
}

// takeOff takes a delivery that is not leased off the line that it stands in. The
// caller holds mu.
func (s *sink) takeOff(it *item) {
	if it.failed {
		if !it.parked {
			heap.Remove(&s.due, it.pos)
		}
		return
	}
	for _, line := range []*[]*item{&s.returned, &s.ready} {
		if i, found := slices.BinarySearchFunc(*line, it.seq, bySequence); found {
			*line = slices.Delete(*line, i, i+1)
		}
	}
}

// announceDrop says what was dropped, at most once a minute.
func (s *sink) announceDrop(dropped tally) {
	s.mu.Lock()
	s.unannounced.plus(dropped)
	now, all := s.q.elapsed(), s.unannounced
	due := s.announced == 0 || now-s.announced >= int64(time.Minute)
	if due {
		s.announced, s.unannounced = max(now, 1), tally{}
	}
	s.mu.Unlock()
	if due {
		s.q.opts.Logger.Warn("The queue is full; the oldest events of a sink are dropped, as its whenFull says", "sink", s.name, "deliveries", all.n, "bytes", all.bytes)
	}
}

// elderHeap orders retries by sequence. One that is no longer among the retries,
// or is leased, is left in it until it comes first.
type elderHeap []*item

func (h elderHeap) Len() int           { return len(h) }
func (h elderHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h elderHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *elderHeap) Push(x any)        { *h = append(*h, x.(*item)) }
func (h *elderHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return it
}

// forgetElders gives their memory back; they are found again when they are needed.
func (s *sink) forgetElders() {
	for _, it := range s.elders {
		it.elder = false
	}
	s.elders = nil
}

func (h *elderHeap) add(it *item) {
	if !it.elder {
		it.elder = true
		heap.Push(h, it)
	}
}

// admit adds an event to the next group, and makes room for it if that is allowed.
func (q *Queue) admit(r *record, id *identity, names []string) (*group, error) {
	for {
		g, err := q.add(r, id, names)
		if !errors.Is(err, errNoRoom) || !q.makeRoom(int64(r.size())*int64(len(names))) {
			return g, err
		}
	}
}
