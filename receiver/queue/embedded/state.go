package embedded

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// stateVersion begins every stored value that is not an event. Those of the first
// version are read too: they lack what stands last.
const (
	stateVersion      = 2
	firstStateVersion = 1
)

// tally is a count of deliveries with the sum of their sizes.
type tally struct{ n, bytes int64 }

func (t *tally) add(size int64) {
	t.n++
	t.bytes += size
}

func (t *tally) plus(o tally) {
	t.n += o.n
	t.bytes += o.bytes
}

func (t *tally) minus(o tally) {
	t.n -= o.n
	t.bytes -= o.bytes
}

// ledger counts one sink's deliveries since the directory was made.
type ledger struct {
	accepted, delivered, dead, dropped, handedOver tally
	// replayed and received are parts of accepted.
	replayed, received tally
}

// queued is what has no end yet.
func (l *ledger) queued() tally {
	t := l.accepted
	for _, ended := range []*tally{&l.delivered, &l.dead, &l.dropped, &l.handedOver} {
		t.minus(*ended)
	}
	return t
}

// letters counts the dead letters that are kept, and what became of the others.
type letters struct {
	kept                          tally
	dropped, replayed, handedOver int64
}

func (l *letters) plus(o *letters) {
	l.kept.plus(o.kept)
	l.dropped += o.dropped
	l.replayed += o.replayed
	l.handedOver += o.handedOver
}

// sinkState is what is stored of a sink. Every delivery before next is finished,
// or is one of holes, or has a retry record.
type sinkState struct {
	active bool
	next   uint64
	holes  []uint64
	ledger ledger
	letters
}

func (s *sinkState) appendTo(b []byte) []byte {
	b = append(b, stateVersion, flag(s.active))
	b = binary.AppendUvarint(b, s.next)
	b = binary.AppendUvarint(b, uint64(len(s.holes)))
	prev := uint64(0)
	for _, seq := range s.holes {
		b = binary.AppendUvarint(b, seq-prev)
		prev = seq
	}
	for _, t := range s.tallies() {
		b = binary.AppendVarint(binary.AppendVarint(b, t.n), t.bytes)
	}
	b = binary.AppendVarint(b, s.letters.dropped)
	for _, t := range s.laterTallies() {
		b = binary.AppendVarint(binary.AppendVarint(b, t.n), t.bytes)
	}
	return binary.AppendVarint(binary.AppendVarint(b, s.letters.replayed), s.letters.handedOver)
}

func (s *sinkState) tallies() []*tally {
	return []*tally{&s.ledger.accepted, &s.ledger.delivered, &s.ledger.dead, &s.ledger.dropped, &s.kept}
}

// laterTallies are those that the first version lacks.
func (s *sinkState) laterTallies() []*tally {
	return []*tally{&s.ledger.handedOver, &s.ledger.replayed, &s.ledger.received}
}

func parseSinkState(raw []byte) (sinkState, error) {
	p := parser{b: raw}
	first := p.version() == firstStateVersion
	s := sinkState{active: p.byte() != 0, next: p.uvarint(math.MaxUint64)}
	n := p.uvarint(uint64(len(p.b)))
	s.holes = make([]uint64, 0, n)
	prev := uint64(0)
	for ; n > 0 && p.err == nil; n-- {
		prev += p.uvarint(math.MaxUint64 - prev)
		s.holes = append(s.holes, prev)
	}
	for _, t := range s.tallies() {
		t.n, t.bytes = p.varint(), p.varint()
	}
	s.letters.dropped = p.varint()
	if first {
		return s, p.end()
	}
	for _, t := range s.laterTallies() {
		t.n, t.bytes = p.varint(), p.varint()
	}
	s.letters.replayed, s.letters.handedOver = p.varint(), p.varint()
	return s, p.end()
}

// retry is what is stored of a delivery that has failed, or that waits for an
// earlier one of its lane.
type retry struct {
	attempts int
	due      int64
	received int64
	size     int64
	reason   string
	lane     uint64
	// wait is how long it was to wait when due was set, so that a clock that is set
	// back while nobody runs makes no wait longer.
	wait int64
}

func (r *retry) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(append(b, stateVersion), uint64(r.attempts))
	b = binary.BigEndian.AppendUint64(b, uint64(r.due))
	b = binary.BigEndian.AppendUint64(b, uint64(r.received))
	b = appendText(binary.AppendVarint(b, r.size), r.reason)
	return binary.AppendVarint(binary.BigEndian.AppendUint64(b, r.lane), r.wait)
}

func parseRetry(raw []byte) (retry, error) {
	p := parser{b: raw}
	first := p.version() == firstStateVersion
	r := retry{attempts: int(p.uvarint(math.MaxInt32)), due: p.int64(), received: p.int64(), size: p.varint()}
	r.reason = string(p.bytes())
	if !first {
		r.lane, r.wait = uint64(p.int64()), p.varint()
	}
	return r, p.end()
}

// chunk is a run of sequences whose space is given back in one go. One that was
// trimmed holds only what was left because it had not finished.
type chunk struct {
	first, last uint64
	size        tally
	from, to    int64 // when the first and the last event was stored
	// oldest and newest bound when the events were received, which is before that:
	// long before for those of replays and of other queues.
	oldest, newest int64
	trimmed        bool
	left           map[uint64]int64 // what is left, with its size; of a trimmed chunk
}

func (c *chunk) appendTo(b []byte) []byte {
	b = append(b, stateVersion, flag(c.trimmed))
	b = binary.AppendUvarint(b, c.last)
	b = binary.AppendVarint(binary.AppendVarint(b, c.size.n), c.size.bytes)
	b = binary.BigEndian.AppendUint64(b, uint64(c.from))
	b = binary.BigEndian.AppendUint64(b, uint64(c.to))
	b = binary.AppendUvarint(b, uint64(len(c.left)))
	prev := c.first
	for _, seq := range slices.Sorted(maps.Keys(c.left)) {
		b = binary.AppendVarint(binary.AppendUvarint(b, seq-prev), c.left[seq])
		prev = seq
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(c.oldest)), uint64(c.newest))
}

func parseChunk(first uint64, raw []byte) (*chunk, error) {
	p := parser{b: raw}
	v := p.version()
	c := &chunk{first: first, oldest: math.MinInt64, newest: math.MaxInt64, trimmed: p.byte() != 0, last: p.uvarint(math.MaxUint64)}
	c.size = tally{n: p.varint(), bytes: p.varint()}
	c.from, c.to = p.int64(), p.int64()
	prev := first
	for n := p.uvarint(uint64(len(p.b))); n > 0 && p.err == nil; n-- {
		prev += p.uvarint(math.MaxUint64 - prev)
		c.keep(prev, p.varint())
	}
	if v != firstStateVersion {
		c.oldest, c.newest = p.int64(), p.int64()
	}
	return c, p.end()
}

func (c *chunk) keep(seq uint64, size int64) {
	if c.left == nil {
		c.left = make(map[uint64]int64)
	}
	c.left[seq] = size
}

// totals is what is stored of the queue as a whole.
type totals struct {
	last uint64 // the last sequence given away
}

func (t *totals) appendTo(b []byte) []byte {
	return binary.AppendUvarint(append(b, stateVersion), t.last)
}

func parseTotals(raw []byte) (totals, error) {
	p := parser{b: raw}
	p.version()
	t := totals{last: p.uvarint(math.MaxUint64)}
	return t, p.end()
}

// appendDeadLetter lays out a dead letter; raw is the event's record, or empty if
// it could not be read.
func appendDeadLetter(b []byte, attempts int, deadAt int64, reason string, answer, raw []byte) []byte {
	b = binary.AppendUvarint(append(b, stateVersion), uint64(attempts))
	b = binary.BigEndian.AppendUint64(b, uint64(deadAt))
	b = appendText(b, reason)
	b = append(binary.AppendUvarint(b, uint64(len(answer))), answer...)
	return append(b, raw...)
}

func parseDeadLetter(raw []byte) (queue.DeadLetter, error) {
	p := parser{b: raw}
	p.version()
	d := queue.DeadLetter{Attempts: int(p.uvarint(math.MaxInt32)), DeadAt: instant(p.int64())}
	d.Reason, d.Answer = string(p.bytes()), slices.Clone(p.bytes())
	if p.err != nil {
		return queue.DeadLetter{}, p.err
	}
	e := new(event.Event)
	if err := decodeRecordInto(e, slices.Clone(p.b)); err == nil {
		d.Event = e
	}
	return d, nil
}

func (p *parser) version() byte {
	v := p.byte()
	if v != stateVersion && v != firstStateVersion {
		p.fail()
	}
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.b = p.b[n:]
	return v
}

// end is called when everything was read.
func (p *parser) end() error {
	if len(p.b) != 0 {
		p.fail()
	}
	return p.err
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
