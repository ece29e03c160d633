package handoff

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// Bounds of a batch. What the sender makes is within them; what exceeds them was
// not made by one.
const (
	maxTransfers  = 256
	maxBatch      = 4 << 20
	maxText       = 4 << 10 // of a name or an attribute
	maxHeaders    = 256
	maxHeader     = 64 << 10
	maxDeliveries = 64
	maxReason     = 4 << 10
	maxAnswer     = 16 << 10
	// maxAround bounds what stands around an event's body.
	maxAround = 1 << 20
)

// format is the first byte of a batch.
const format = 1

// errBatch means that bytes are no batch.
var errBatch = errors.New("malformed batch")

// A batch is, after the format: the number of transfers, then for each of them its
// sequence; 0 if the event could not be read, which leaves dead letters only, or 1
// and the event (id, hook, type, subject, time, content type, replay, each a text;
// the provider's attempt; the times of receipt and of replay; the number of headers, and their
// names and values; the body); and its deliveries: their number, and for each the
// sink, the attempts, and 0, or 1 with the time of death, reason and answer.
//
// Numbers are unsigned varints; texts and bytes have their length in front; times
// are 8 bytes, nanoseconds since 1970, the least number for no time.
func encode(batch []queue.Transfer) []byte {
	b := []byte{format}
	b = binary.AppendUvarint(b, uint64(len(batch)))
	for i := range batch {
		b = binary.AppendUvarint(b, batch[i].Sequence)
		if batch[i].Event == nil {
			b = append(b, 0)
		} else {
			b = appendEvent(append(b, 1), batch[i].Event)
		}
		b = binary.AppendUvarint(b, uint64(len(batch[i].Deliveries)))
		for _, d := range batch[i].Deliveries {
			b = appendDelivery(b, d)
		}
	}
	return b
}

func appendEvent(b []byte, e *event.Event) []byte {
	for _, s := range texts(e) {
		b = appendBytes(b, *s)
	}
	b = binary.AppendUvarint(b, uint64(max(e.Attempt, 0)))
	b = appendTime(appendTime(b, e.ReceivedAt), e.ReplayedAt)
	b = binary.AppendUvarint(b, uint64(len(e.Headers)))
	for _, h := range e.Headers {
		b = appendBytes(appendBytes(b, h.Name), h.Value)
	}
	return appendBytes(b, e.Body)
}

func texts(e *event.Event) [7]*string {
	return [...]*string{&e.ID, &e.Hook, &e.Type, &e.Subject, &e.Time, &e.ContentType, &e.Replay}
}

func appendDelivery(b []byte, d queue.TransferDelivery) []byte {
	b = appendBytes(b, d.Sink)
	b = binary.AppendUvarint(b, uint64(max(d.Attempts, 0)))
	if d.Dead == nil {
		return append(b, 0)
	}
	b = appendTime(append(b, 1), d.Dead.At)
	return appendBytes(appendBytes(b, d.Dead.Reason), d.Dead.Answer)
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// noTime stands for the zero time.
const noTime = math.MinInt64

func appendTime(b []byte, t time.Time) []byte {
	n := int64(noTime)
	if !t.IsZero() {
		n = t.UnixNano()
	}
	return binary.BigEndian.AppendUint64(b, uint64(n))
}

// size is about how many bytes a transfer takes in a batch, and never less.
func size(t *queue.Transfer) int {
	n := 88
	if e := t.Event; e != nil {
		n += len(e.Body)
		for _, s := range texts(e) {
			n += len(*s)
		}
		for _, h := range e.Headers {
			n += 8 + len(h.Name) + len(h.Value)
		}
	}
	for _, d := range t.Deliveries {
		n += 24 + len(d.Sink)
		if d.Dead != nil {
			n += 24 + len(d.Dead.Reason) + len(d.Dead.Answer)
		}
	}
	return n
}

// decode reads a batch. The events' bodies refer to b, which must not be used
// again.
func decode(b []byte) ([]queue.Transfer, error) {
	p := parser{b: b}
	if p.byte() != format {
		return nil, errBatch
	}
	batch := make([]queue.Transfer, p.number(maxTransfers))
	for i := range batch {
		if batch[i] = p.transfer(); p.bad {
			return nil, errBatch
		}
	}
	if p.bad || len(p.b) > 0 {
		return nil, errBatch
	}
	return batch, nil
}

// parser reads a batch. After the first mistake all that it reads is zero.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) fail() { p.b, p.bad = nil, true }

func (p *parser) transfer() queue.Transfer {
	t := queue.Transfer{Sequence: p.number(math.MaxUint64)}
	if p.flag() {
		t.Event = p.event()
	}
	for n := p.number(maxDeliveries); n > 0 && !p.bad; n-- {
		t.Deliveries = append(t.Deliveries, p.delivery())
	}
	if !transferable(&t) {
		p.fail()
	}
	return t
}

// transferable reports whether a transfer can go to another queue at all: without
// an event, only dead letters can.
func transferable(t *queue.Transfer) bool {
	if len(t.Deliveries) == 0 || len(t.Deliveries) > maxDeliveries {
		return false
	}
	if t.Event != nil {
		return t.Event.ID != ""
	}
	return !slices.ContainsFunc(t.Deliveries, func(d queue.TransferDelivery) bool { return d.Dead == nil })
}

func (p *parser) event() *event.Event {
	e := new(event.Event)
	for _, s := range texts(e) {
		*s = string(p.bytes(maxText))
	}
	e.Attempt = int(p.number(math.MaxInt32))
	e.ReceivedAt, e.ReplayedAt = p.time(), p.time()
	for n := p.number(maxHeaders); n > 0 && !p.bad; n-- {
		e.Headers = append(e.Headers, event.Header{Name: string(p.bytes(maxText)), Value: string(p.bytes(maxHeader))})
	}
	body := p.bytes(math.MaxInt)
	e.Body = body[:len(body):len(body)]
	return e
}

func (p *parser) delivery() queue.TransferDelivery {
	d := queue.TransferDelivery{Sink: string(p.bytes(maxText)), Attempts: int(p.number(math.MaxInt32))}
	if p.flag() {
		d.Dead = &queue.Death{At: p.time(), Reason: string(p.bytes(maxReason)), Answer: p.bytes(maxAnswer)}
	}
	if d.Sink == "" {
		p.fail()
	}
	return d
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

// flag reads 0 or 1.
func (p *parser) flag() bool {
	v := p.byte()
	if v > 1 {
		p.fail()
	}
	return v == 1
}

// number reads one of at most most.
func (p *parser) number(most uint64) uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > most {
		p.fail()
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) time() time.Time {
	if len(p.b) < 8 {
		p.fail()
		return time.Time{}
	}
	n := int64(binary.BigEndian.Uint64(p.b))
	p.b = p.b[8:]
	if n == noTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// bytes reads what has its length in front; it refers to the batch.
func (p *parser) bytes(most int) []byte {
	n := p.number(uint64(min(most, len(p.b))))
	if n > uint64(len(p.b)) {
		p.fail()
		return nil
	}
	v := p.b[:n]
	p.b = p.b[n:]
	return v
}
