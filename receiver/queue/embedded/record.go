package embedded

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

// recordVersion begins every event record. A record of another version is not
// readable by this program.
const recordVersion = 1

// errRecord means that a stored value is not what was once written there.
var errRecord = errors.New("record is damaged or of an unknown version")

// record is an event on its way to disk: sizes are computed once, so that the
// bytes can be laid out in place.
type record struct {
	e        *event.Event
	id       string // the event's, or with a suffix
	ordinals []uint32
}

// size is the exact length of what put writes.
func (r *record) size() int {
	n := 1 + uvarintLen(uint64(len(r.ordinals)))
	for _, o := range r.ordinals {
		n += uvarintLen(uint64(o))
	}
	n += 8 + uvarintLen(r.attempt()) + textLen(r.id) + textLen(r.e.Hook) + textLen(r.e.Type) +
		textLen(r.e.Subject) + textLen(r.e.Time) + textLen(r.e.ContentType) + uvarintLen(uint64(len(r.e.Headers)))
	for _, h := range r.e.Headers {
		n += textLen(h.Name) + textLen(h.Value)
	}
	return n + uvarintLen(uint64(len(r.e.Body))) + len(r.e.Body)
}

// appendTo lays the record out at the end of b.
func (r *record) appendTo(b []byte) []byte {
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(len(r.ordinals)))
	for _, o := range r.ordinals {
		b = binary.AppendUvarint(b, uint64(o))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(nanos(r.e.ReceivedAt)))
	b = binary.AppendUvarint(b, r.attempt())
	for _, s := range [...]string{r.id, r.e.Hook, r.e.Type, r.e.Subject, r.e.Time, r.e.ContentType} {
		b = appendText(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.e.Headers)))
	for _, h := range r.e.Headers {
		b = appendText(appendText(b, h.Name), h.Value)
	}
	b = binary.AppendUvarint(b, uint64(len(r.e.Body)))
	return append(b, r.e.Body...)
}

func (r *record) attempt() uint64 {
	return uint64(min(max(r.e.Attempt, 0), math.MaxInt32))
}

// header is the part of a record that the queue itself needs.
type header struct {
	ordinals ordinals
	received int64
}

// ordinals is the encoded list of a record's sinks.
type ordinals []byte

// has reports whether the list holds o.
func (l ordinals) has(o uint32) bool {
	for len(l) > 0 {
		v, n := binary.Uvarint(l)
		if n <= 0 {
			return false
		}
		if v == uint64(o) {
			return true
		}
		l = l[n:]
	}
	return false
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
	e.ReceivedAt = instant(p.header().received)
	e.Attempt = int(p.uvarint(math.MaxInt32))
	meta := p.split()
	for _, s := range [...]*string{&e.ID, &e.Hook, &e.Type, &e.Subject, &e.Time, &e.ContentType} {
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

// split copies what stands between here and the body.
func (p *parser) split() text {
	q := parser{b: p.b, err: p.err}
	for range 6 {
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
	if v := p.byte(); v != recordVersion {
		p.fail()
	}
	n := p.uvarint(uint64(len(p.b)))
	start := p.b
	for ; n > 0 && p.err == nil; n-- {
		p.uvarint(math.MaxUint32)
	}
	if p.err != nil {
		return header{}
	}
	list := start[:len(start)-len(p.b)]
	return header{ordinals: list, received: p.int64()}
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
