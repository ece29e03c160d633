package embedded

import "slices"

// end accounts for a delivery that has ended. The caller holds mu, and has taken
// it off the line that it stood in.
func (s *sink) end(it *item, as *tally) {
	as.add(it.size)
	s.q.queued.Add(-it.size)
	if it.failed {
		delete(s.retries, it.seq)
		s.push(op{kind: opForget, seq: it.seq})
	} else {
		delete(s.holes, it.seq)
	}
	if it.seq <= s.q.watermark.Load() {
		s.push(op{kind: opDone, seq: it.seq})
	}
	s.leaveLane(it)
	s.touch()
}

// addRetry has a delivery wait, with a record of its own. The caller holds mu.
func (s *sink) addRetry(it *item, wait int64, reason string) {
	s.retries[it.seq] = it
	it.failed, it.due = true, s.q.elapsed()+wait
	if s.elders != nil {
		s.elders.add(it)
		if len(s.elders) > 2*len(s.retries)+4096 {
			s.forgetElders()
		}
	}
	s.push(op{
		kind: opRetry, seq: it.seq, attempts: it.attempts, due: s.q.now() + wait, wait: wait,
		received: it.received, size: it.size, lane: it.lane, reason: clip(reason, maxReason),
	})
}

// handOver ends a delivery as handed over, unless it is leased or has ended.
func (s *sink) handOver(seq uint64) error {
	if err := s.readUpTo(seq); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.waiting(seq)
	if it == nil {
		return nil
	}
	s.beginBefore(seq)
	s.takeOff(it)
	s.end(it, &s.ledger.handedOver)
	return nil
}

// beginBefore makes the deliveries before one in ready like those that were given
// back: what is stored of a sink is a position, behind which nothing has ended. The
// caller holds mu.
func (s *sink) beginBefore(seq uint64) {
	if _, found := slices.BinarySearchFunc(s.ready, seq, bySequence); !found {
		return
	}
	for s.ready[0].seq < seq {
		it := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		if s.enterLane(it) {
			s.holes[it.seq] = it
			s.returned = append(s.returned, it)
		}
	}
}

// waiting returns a delivery in memory that is neither leased nor ended, or nil.
// The caller holds mu.
func (s *sink) waiting(seq uint64) *item {
	it := s.begun(seq)
	if i, found := slices.BinarySearchFunc(s.ready, seq, bySequence); it == nil && found {
		it = s.ready[i]
	}
	if it == nil || it.held != nil || it.ended {
		return nil
	}
	return it
}
