package embedded

import (
	"cmp"
	"container/heap"
	"slices"
)

// lane is the deliveries of one hook and subject that a sink has begun with, when
// it gets them in order. Of these one at a time is leased, waits for its retry, or
// stands first in a line; all others are parked.
//
// A parked delivery is one of the retries, and has a record like them: it stands
// before the sink's position and is not finished.
type lane struct {
	active int     // that are not parked; more than one only after the order was asked for
	parked []*item // by sequence
}

// enterLane reports whether a delivery that stands first in a line may be leased.
// If an earlier one of its lane has not ended, it is parked. The caller holds mu.
func (s *sink) enterLane(it *item) bool {
	if s.lanes == nil || it.lane == 0 {
		return true
	}
	l := s.lanes[it.lane]
	if l == nil {
		l = new(lane)
		s.lanes[it.lane] = l
	}
	if l.active == 0 {
		l.active++
		return true
	}
	s.park(l, it)
	return false
}

// park sets a delivery aside until the earlier ones of its lane have ended. The
// caller holds mu and has taken it off every line.
func (s *sink) park(l *lane, it *item) {
	i, _ := slices.BinarySearchFunc(l.parked, it.seq, bySequence)
	l.parked = slices.Insert(l.parked, i, it)
	it.parked, it.raw = true, nil
	if it.failed {
		return
	}
	delete(s.holes, it.seq)
	s.addRetry(it, 0, "")
}

// yield parks a delivery that is given back while others of its lane are active,
// and reports whether it did. The caller holds mu.
func (s *sink) yield(it *item) bool {
	l := s.laneOf(it)
	if l == nil || l.active < 2 {
		return false
	}
	l.active--
	s.park(l, it)
	return true
}

// leaveLane lets the next delivery of a lane go on when one has ended. The caller
// holds mu.
func (s *sink) leaveLane(it *item) {
	l := s.laneOf(it)
	if l == nil {
		return
	}
	if it.parked {
		if i, found := slices.BinarySearchFunc(l.parked, it.seq, bySequence); found {
			l.parked = slices.Delete(l.parked, i, i+1)
		}
	} else {
		l.active--
	}
	switch {
	case l.active > 0:
	case len(l.parked) > 0:
		l.active++
		s.unpark(l.parked[0])
		l.parked[0] = nil
		l.parked = l.parked[1:]
	default:
		delete(s.lanes, it.lane)
	}
}

func (s *sink) laneOf(it *item) *lane {
	if s.lanes == nil || it.lane == 0 {
		return nil
	}
	return s.lanes[it.lane]
}

// unpark puts a parked delivery in line with the retries that are due.
func (s *sink) unpark(it *item) {
	it.parked, it.due = false, s.q.elapsed()
	heap.Push(&s.due, it)
}

// setOrdered says whether the sink gets events in order. What is leased goes on.
func (s *sink) setOrdered(ordered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ordered == (s.lanes != nil) {
		return
	}
	if ordered {
		s.openLanes()
		return
	}
	for _, l := range s.lanes {
		for _, it := range l.parked {
			s.unpark(it)
		}
	}
	s.lanes = nil
	s.passOn(s.q.elapsed())
}

// openLanes puts what has begun and not ended into lanes, and parks what must
// wait. The caller holds mu.
func (s *sink) openLanes() {
	s.lanes = make(map[uint64]*lane)
	begun := slices.SortedFunc(s.allBegun, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
	leased := func(it *item) bool { return it.held != nil }
	for _, it := range begun {
		if leased(it) && it.lane != 0 {
			l := s.laneOf(it)
			if l == nil {
				l = new(lane)
				s.lanes[it.lane] = l
			}
			l.active++
		}
	}
	s.returned, s.due = nil, s.due[:0]
	for _, it := range begun {
		if leased(it) || !s.enterLane(it) {
			continue
		}
		if it.failed {
			heap.Push(&s.due, it)
		} else {
			s.returned = append(s.returned, it)
		}
	}
}
