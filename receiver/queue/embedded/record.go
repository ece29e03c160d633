package embedded

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

// recordVersion begins every event record that is written; records of the first
// version are read too. One of another version is not readable by this program.
const (
	recordVersion      = 2
	firstRecordVersion = 1
)

// errRecord means that a stored value is not what was once written there.
var errRecord = errors.New("record is damaged or of an unknown version")

// record is an event on its way to disk: sizes are computed once, so that the
// bytes can be laid out in place.
type record struct {
	e        *event.Event
	id       string // the event's, or with a suffix
	ordinals []uint32
	// attempts is how many were made in another queue, by ordinal; nil means none.
	attempts []int
}

// size is the exact length of what put writes.
func (r *record) size() int {
	n := 1 + uvarintLen(uint64(len(r.ordinals)))
	for i, o := range r.ordinals {
		n += uvarintLen(uint64(o)) + uvarintLen(r.before(i))
	}
	n += 8 + 8 + uvarintLen(r.replayedAt()) + uvarintLen(r.attempt()) + textLen(r.id) + textLen(r.e.Hook) + textLen(r.e.Type) + textLen(r.e.Subject) +
		textLen(r.e.Time) + textLen(r.e.ContentType) + textLen(r.e.Replay) + uvarintLen(uint64(len(r.e.Headers)))
	for _, h := range r.e.Headers {
		n += textLen(h.Name) + textLen(h.Value)
	}
	return n + uvarintLen(uint64(len(r.e.Body))) + len(r.e.Body)
}

// appendTo lays the record out at the end of b.
func (r *record) appendTo(b []byte) []byte {
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(len(r.ordinals)))
	for i, o := range r.ordinals {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(o)), r.before(i))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(nanos(r.e.ReceivedAt)))
	b = binary.BigEndian.AppendUint64(b, laneNumber(r.e))
	b = binary.AppendUvarint(b, r.replayedAt())
	b = binary.AppendUvarint(b, r.attempt())
	for _, s := range [...]string{r.id, r.e.Hook, r.e.Type, r.e.Subject, r.e.Time, r.e.ContentType, r.e.Replay} {
		b = appendText(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.e.Headers)))
	for _, h := range r.e.Headers {
		b = appendText(appendText(b, h.Name), h.Value)
	}
	b = binary.AppendUvarint(b, uint64(len(r.e.Body)))
	return append(b, r.e.Body...)
}

// before is how many attempts were made for the i-th sink.
func (r *record) before(i int) uint64 {
	if r.attempts == nil {
		return 0
	}
	return uint64(min(max(r.attempts[i], 0), math.MaxInt32))
}

// replayedAt is when the event was replayed, in nanoseconds; 0 if it was not.
func (r *record) replayedAt() uint64 {
	if r.e.ReplayedAt.IsZero() {
		return 0
	}
	return uint64(max(nanos(r.e.ReplayedAt), 0))
}

// laneNumber is a number for the hook and subject of an event, which are those of the
// events that it keeps in order with; 0 for none. Two subjects may have the same
// one: they wait for each other, which is all that comes of it.
func laneNumber(e *event.Event) uint64 {
	if e.Subject == "" {
		return 0
	}
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(e.Hook) // never fails
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(e.Subject)
	return max(d.Sum64(), 1)
}

func (r *record) attempt() uint64 {
	return uint64(min(max(r.e.Attempt, 0), math.MaxInt32))
}

// header is the part of a record that the queue itself needs.
type header struct {
	targets  targets
	received int64
	lane     uint64
	replayed int64 // when; 0 if it was not
}

// since is when the deliveries were asked for.
func (h *header) since() int64 {
	if h.replayed != 0 {
		return h.replayed
	}
	return h.received
}

// targets is the encoded list of a record's sinks, with how many attempts were
// made for each before the record was written.
type targets struct {
	list  []byte
	plain bool // of the first version: ordinals only
}

// find reports whether the list holds o, and how many attempts were made.
func (t targets) find(o uint32) (attempts int, ok bool) {
	p := parser{b: t.list}
	for len(p.b) > 0 {
		ordinal, attempts := p.target(t.plain)
		if ordinal == uint64(o) && p.err == nil {
			return attempts, true
		}
	}
	return 0, false
}

// has reports whether the list holds o.
func (t targets) has(o uint32) bool {
	_, ok := t.find(o)
	return ok
}

// each calls f with the list's sinks and the attempts made for each.
func (t targets) each(f func(ordinal uint32, attempts int)) {
	p := parser{b: t.list}
	for len(p.b) > 0 {
		ordinal, attempts := p.target(t.plain)
		if p.err == nil {
			f(uint32(ordinal), attempts)
		}
	}
}

// target reads one of a record's sinks.
func (p *parser) target(plain bool) (ordinal uint64, attempts int) {
	ordinal = p.uvarint(math.MaxUint32)
	if !plain {
		attempts = int(p.uvarint(math.MaxInt32))
	}
	return ordinal, attempts
}

// parseHeader reads a record's header; it refers to raw.
func parseHeader(raw []byte) (header, error) {
	p := parser{b: raw}
	h := p.header()
	return h, p.err
}

// decodeRecord reads a record. The event's body refers to raw, its strings do
// not: raw must not be used again.
func decodeRecord(raw []byte) (*event.Event, error) {
	e := new(event.Event)
	return e, decodeRecordInto(e, raw)
}

func decodeRecordInto(e *event.Event, raw []byte) error {
	p := parser{b: raw}
	h := p.header()
	e.ReceivedAt = instant(h.received)
	if h.replayed != 0 {
		e.ReplayedAt = instant(h.replayed)
	}
	e.Attempt = int(p.uvarint(math.MaxInt32))
	texts := []*string{&e.ID, &e.Hook, &e.Type, &e.Subject, &e.Time, &e.ContentType, &e.Replay}
	if h.targets.plain {
		texts = texts[:len(texts)-1]
	}
	meta := p.split(len(texts))
	for _, s := range texts {
		*s = p.text(meta)
	}
	if n := int(p.uvarint(uint64(len(p.b)) / 2)); n > 0 && p.err == nil {
		e.Headers = make([]event.Header, n)
		for i := range e.Headers {
			e.Headers[i] = event.Header{Name: p.text(meta), Value: p.text(meta)}
		}
	}
	body := p.bytes()
	if len(p.b) != 0 {
		p.fail()
	}
	e.Body = body[:len(body):len(body)]
	return p.err
}

// text is a region of a record as a string, made once, of which all the
// record's strings are parts.
type text struct {
	s    string
	from int // how many bytes of the record were left where s begins
}

// split copies what stands between here and the body: some texts, and headers.
func (p *parser) split(texts int) text {
	q := parser{b: p.b, err: p.err}
	for range texts {
		q.bytes()
	}
	for n := q.uvarint(uint64(len(q.b)) / 2); n > 0 && q.err == nil; n-- {
		q.bytes()
		q.bytes()
	}
	if q.err != nil {
		p.fail()
		return text{}
	}
	return text{s: string(p.b[:len(p.b)-len(q.b)]), from: len(p.b)}
}

// text reads a string as a part of t.
func (p *parser) text(t text) string {
	b := p.bytes()
	if p.err != nil {
		return ""
	}
	end := t.from - len(p.b)
	return t.s[end-len(b) : end]
}

// parser reads a stored value. After the first mistake all that it reads is
// zero.
type parser struct {
	b   []byte
	err error
}

func (p *parser) fail() {
	p.err, p.b = errRecord, nil
}

func (p *parser) header() header {
	v := p.byte()
	if v != recordVersion && v != firstRecordVersion {
		p.fail()
	}
	plain := v == firstRecordVersion
	n := p.uvarint(uint64(len(p.b)))
	start := p.b
	for ; n > 0 && p.err == nil; n-- {
		p.target(plain)
	}
	if p.err != nil {
		return header{}
	}
	h := header{targets: targets{list: start[:len(start)-len(p.b)], plain: plain}, received: p.int64()}
	if !plain {
		h.lane, h.replayed = uint64(p.int64()), int64(p.uvarint(math.MaxInt64))
	}
	return h
}

func (p *parser) byte() byte {
	if len(p.b) == 0 {
		p.fail()
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

// uvarint reads a number of at most most.
func (p *parser) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > most {
		p.fail()
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) int64() int64 {
	if len(p.b) < 8 {
		p.fail()
		return 0
	}
	v := int64(binary.BigEndian.Uint64(p.b))
	p.b = p.b[8:]
	return v
}

// bytes reads what has its length in front; it refers to the value.
func (p *parser) bytes() []byte {
	n := p.uvarint(uint64(len(p.b)))
	if n > uint64(len(p.b)) {
		p.fail()
		return nil
	}
	v := p.b[:n]
	p.b = p.b[n:]
	return v
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func textLen(s string) int { return uvarintLen(uint64(len(s))) + len(s) }

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// noTime is how the zero time is stored.
const noTime = math.MinInt64

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func instant(n int64) time.Time {
	if n == noTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
