package embedded

// Bounds of one look ahead: deliveries found, their bytes, and records seen.
const (
	aheadItems = 64
	aheadBytes = 256 << 10
	aheadSeen  = 4096
)

// look is one look ahead in the log, from sequence from on.
type look struct {
	from  uint64 // the first sequence that was not looked at
	found []*item
	size  int64
	seen  int
}

// readAhead reads deliveries from the log into ready, if there are none. It does
// so without holding mu, for the committer must not wait for a disk to be read.
func (s *sink) readAhead() error {
	_, err := s.readOn(false)
	return err
}

// readUpTo reads deliveries into ready until all up to and with sequence last are
// there, as far as they are synced.
func (s *sink) readUpTo(last uint64) error {
	for {
		s.mu.Lock()
		done := s.read > last || !s.active || s.closed
		s.mu.Unlock()
		if done {
			return nil
		}
		if more, err := s.readOn(true); err != nil || !more {
			return err
		}
	}
}

// readOn reads the next deliveries into ready, where there may be some only if
// further says so. more is false if there was nothing to read.
func (s *sink) readOn(further bool) (more bool, err error) {
	s.filling.Lock()
	defer s.filling.Unlock()
	covered, synced := s.q.covered.Load(), s.q.synced.Load()
	from, epoch, ok := s.startLook(covered, further)
	if !ok || from > synced {
		return false, nil
	}
	l := look{from: from, found: make([]*item, 0, aheadItems)}
	if err := s.q.read(func() error { return s.look(&l, synced) }); err != nil {
		return false, err
	}
	s.endLook(&l, epoch)
	return true, nil
}

// startLook says where to read. If nothing is there for this sink up to covered,
// it goes there without reading.
func (s *sink) startLook(covered uint64, further bool) (from uint64, epoch int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh.n == 0 && s.read <= covered {
		s.read = covered + 1
	}
	return s.read, s.epoch, s.active && !s.closed && (further || len(s.ready) == 0) && s.fresh.n > 0
}

// endLook takes over what was found, unless the sink was retired meanwhile.
func (s *sink) endLook(l *look, epoch int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return
	}
	if len(s.ready) == 0 {
		s.ready = l.found
	} else {
		s.ready = append(s.ready, l.found...)
	}
	s.read = l.from
	s.fresh.n -= int64(len(l.found))
	s.fresh.bytes -= l.size
	if s.read > s.upto && s.fresh != (tally{}) {
		s.writeOff()
	}
}

// writeOff drops what was counted and cannot be found: its records are so damaged
// that not even their sinks can be read. The caller holds mu.
func (s *sink) writeOff() {
	s.q.opts.Logger.Error("Stored events cannot be read; they are dropped", "sink", s.name, "deliveries", s.fresh.n)
	s.ledger.dropped.plus(s.fresh)
	s.q.queued.Add(-s.fresh.bytes)
	s.fresh = tally{}
	s.touch()
}

// look reads the log up to and with sequence last.
func (s *sink) look(l *look, last uint64) error {
	complete := true
	err := s.q.records(l.from, last, func(seq uint64, raw []byte, err error) bool {
		if l.full() {
			complete = false
			return false
		}
		s.consider(l, seq, raw, err)
		return true
	})
	if complete && err == nil {
		l.from = last + 1
	}
	return err
}

func (l *look) full() bool {
	return len(l.found) >= aheadItems || l.size >= aheadBytes || l.seen >= aheadSeen
}

// consider keeps the record if it is for this sink.
func (s *sink) consider(l *look, seq uint64, raw []byte, err error) {
	l.from = seq + 1
	l.seen++
	var h header
	if err == nil {
		h, err = parseHeader(raw)
	}
	switch {
	case err != nil:
		s.reportUnreadable(seq, err)
	default:
		attempts, ok := h.targets.find(s.ordinal)
		if !ok {
			return
		}
		l.found = append(l.found, &item{
			seq: seq, received: h.since(), size: int64(len(raw)), lane: h.lane, attempts: attempts,
			raw: append(make([]byte, 0, len(raw)), raw...),
		})
		l.size += int64(len(raw))
	}
}

func (s *sink) reportUnreadable(seq uint64, err error) {
	s.q.unreadable.Add(1)
	s.q.opts.Logger.Error("A stored event cannot be read", "sink", s.name, "sequence", seq, "error", err)
}
