package embedded

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

var _ queue.Quarantine = (*Queue)(nil)

// Bounds of the quarantine.
const (
	// maxIsolated and maxIsolatedBytes hold where the limits have no bound.
	maxIsolated      = 100_000
	maxIsolatedBytes = 256 << 20
	// waitingIsolated and waitingIsolatedBytes bound what waits to be written.
	waitingIsolated      = 64
	waitingIsolatedBytes = 4 << 20
	// isolatedReview is how often it is asked what is too old.
	isolatedReview = time.Minute
)

// quarantine is the requests that failed verification, and those that wait to be
// written.
type quarantine struct {
	mu      sync.Mutex
	last    uint64     // the last sequence given away
	kept    []isolated // on disk, in order
	bytes   int64      // of kept
	waiting [][]byte
	weight  int // of waiting
	timer   *time.Timer
	armed   bool
}

// isolated is a request that is kept.
type isolated struct {
	seq  uint64
	at   int64 // when it was put there
	size int64
}

func isolatedBefore(i isolated, seq uint64) int { return cmp.Compare(i.seq, seq) }

// isolationBounds are limits with a bound for everything but age.
func isolationBounds(l queue.QuarantineLimits) queue.QuarantineLimits {
	if l == (queue.QuarantineLimits{}) {
		return l
	}
	if l.Requests <= 0 || l.Requests > maxIsolated {
		l.Requests = maxIsolated
	}
	if l.Bytes <= 0 {
		l.Bytes = maxIsolatedBytes
	}
	return l
}

// Isolate has a request written soon. It is dropped if too many wait, or if it is
// larger than all that may be kept.
func (q *Queue) Isolate(r *queue.Quarantined) {
	l := isolationBounds(q.limits.Load().Quarantine)
	if l.Requests == 0 {
		return
	}
	if q.space.short.Load() {
		q.unisolated.Add(1)
		return
	}
	raw := appendIsolated(nil, r, q.now())
	z := &q.quarantine
	z.mu.Lock()
	fits := int64(len(raw)) <= l.Bytes && len(z.waiting) < waitingIsolated && (len(z.waiting) == 0 || z.weight+len(raw) <= waitingIsolatedBytes)
	if fits {
		z.waiting, z.weight = append(z.waiting, raw), z.weight+len(raw)
	}
	z.mu.Unlock()
	if !fits {
		q.unisolated.Add(1)
		return
	}
	q.flushLater()
}

// writeIsolated writes what waits, and deletes what is too much or too old. It is
// the committer's.
func (q *Queue) writeIsolated(b *pebble.Batch) {
	z, l := &q.quarantine, isolationBounds(q.limits.Load().Quarantine)
	z.mu.Lock()
	defer z.mu.Unlock()
	if len(z.waiting) == 0 && len(z.kept) == 0 {
		return
	}
	for _, raw := range z.waiting {
		if l.Requests == 0 {
			break
		}
		z.last++
		q.set(b, appendIsolatedKey(q.keyBuf[:0], z.last), append(q.valBuf[:0], raw...))
		z.kept = append(z.kept, isolated{seq: z.last, at: isolatedAt(raw), size: int64(len(raw))})
		z.bytes += int64(len(raw))
	}
	if len(z.waiting) > 0 {
		q.set(b, append(q.keyBuf[:0], kindIsolated), binary.BigEndian.AppendUint64(q.valBuf[:0], z.last))
		z.waiting, z.weight = nil, 0
	}
	for len(z.kept) > 0 && (len(z.kept) > l.Requests || z.bytes > l.Bytes || tooOld(z.kept[0].at, q.now(), l.Age)) {
		q.remove(b, appendIsolatedKey(q.keyBuf[:0], z.kept[0].seq))
		z.bytes -= z.kept[0].size
		z.kept = z.kept[1:]
	}
	z.arm(l)
}

func tooOld(at, now int64, age time.Duration) bool { return age > 0 && now-at >= int64(age) }

// arm has the committer look again soon. The caller holds mu.
func (z *quarantine) arm(l queue.QuarantineLimits) {
	if len(z.kept) > 0 && l.Age > 0 && !z.armed {
		z.armed = true
		z.timer.Reset(isolatedReview)
	}
}

// reviewIsolated has the committer look for what is too old.
func (q *Queue) reviewIsolated() {
	q.quarantine.mu.Lock()
	q.quarantine.armed = false
	q.quarantine.mu.Unlock()
	q.flushNow()
}

func (z *quarantine) count() (n, bytes int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	return int64(len(z.kept)), z.bytes
}

// Quarantined calls f with the requests behind after that are not too old.
func (q *Queue) Quarantined(after uint64, f func(*queue.Quarantined) bool) error {
	for {
		seqs := q.isolatedBehind(after)
		if len(seqs) == 0 {
			return nil
		}
		for _, seq := range seqs {
			after = seq
			r, err := q.readIsolated(seq)
			if err != nil {
				return fmt.Errorf("reading quarantined request %d: %w", seq, err)
			}
			if r != nil && !f(r) {
				return nil
			}
		}
	}
}

// isolatedBehind returns the next sequences that are there.
func (q *Queue) isolatedBehind(after uint64) (seqs []uint64) {
	z, age := &q.quarantine, q.limits.Load().Quarantine.Age
	z.mu.Lock()
	defer z.mu.Unlock()
	i, _ := slices.BinarySearchFunc(z.kept, after+1, isolatedBefore)
	for _, k := range z.kept[i:] {
		if len(seqs) == pageItems {
			break
		}
		if !tooOld(k.at, q.now(), age) {
			seqs = append(seqs, k.seq)
		}
	}
	return seqs
}

// readIsolated returns a request; nil if it is gone or cannot be read.
func (q *Queue) readIsolated(seq uint64) (r *queue.Quarantined, err error) {
	err = q.read(func() error {
		raw, err := q.get(appendIsolatedKey(nil, seq))
		switch {
		case err != nil && !pebble.IsCorruptionError(err):
			return err
		case err == nil && raw != nil:
			r, err = parseIsolated(seq, raw)
		}
		if err != nil {
			q.opts.Logger.Error("A request in quarantine cannot be read", "sequence", seq, "error", err)
		}
		return nil
	})
	return r, err
}

// DropQuarantined forgets requests.
func (q *Queue) DropQuarantined(ctx context.Context, sequences []uint64) error {
	err := q.control(ctx, &control{run: func(g *group) error {
		z := &q.quarantine
		z.mu.Lock()
		defer z.mu.Unlock()
		for _, seq := range sequences {
			i, found := slices.BinarySearchFunc(z.kept, seq, isolatedBefore)
			if !found {
				continue
			}
			q.remove(g.batch, appendIsolatedKey(q.keyBuf[:0], seq))
			z.bytes -= z.kept[i].size
			z.kept = slices.Delete(z.kept, i, i+1)
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("dropping quarantined requests: %w", err)
	}
	return nil
}

// loadIsolated counts what is in quarantine.
func (q *Queue) loadIsolated() error {
	z := &q.quarantine
	err := q.scan([]byte{kindIsolated}, func(key, value []byte) error {
		switch {
		case len(key) == 1 && len(value) == 8:
			z.last = binary.BigEndian.Uint64(value)
		case len(key) == isolatedKeyLen:
			k := isolated{seq: lastSequence(key), at: isolatedAt(value), size: int64(len(value))}
			z.kept, z.bytes, z.last = append(z.kept, k), z.bytes+k.size, max(z.last, k.seq)
		default:
			return errRecord
		}
		return nil
	})
	if err != nil && !errors.Is(err, errRecord) && !pebble.IsCorruptionError(err) {
		return fmt.Errorf("reading the quarantine: %w", err)
	}
	if err != nil {
		q.opts.Logger.Error("Some of what is in quarantine cannot be read", "error", err)
	}
	return nil
}

// appendIsolated lays out a request that is put into quarantine at a time.
func appendIsolated(b []byte, r *queue.Quarantined, at int64) []byte {
	b = binary.BigEndian.AppendUint64(append(b, stateVersion), uint64(at))
	b = binary.BigEndian.AppendUint64(b, uint64(nanos(r.ReceivedAt)))
	for _, s := range [...]string{r.Source, r.Hook, r.Method, r.Path, r.Query, r.Reason} {
		b = appendText(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		b = appendText(appendText(b, h.Name), h.Value)
	}
	return append(b, r.Body...)
}

// isolatedAt returns when a request was put into quarantine.
func isolatedAt(raw []byte) int64 {
	p := parser{b: raw}
	p.version()
	return p.int64()
}

// parseIsolated reads a request; the body refers to raw.
func parseIsolated(seq uint64, raw []byte) (*queue.Quarantined, error) {
	p := parser{b: raw}
	p.version()
	p.int64()
	r := &queue.Quarantined{Sequence: seq, ReceivedAt: instant(p.int64())}
	for _, s := range [...]*string{&r.Source, &r.Hook, &r.Method, &r.Path, &r.Query, &r.Reason} {
		*s = string(p.bytes())
	}
	if n := int(p.uvarint(uint64(len(p.b)) / 2)); n > 0 && p.err == nil {
		r.Headers = make([]event.Header, n)
		for i := range r.Headers {
			r.Headers[i] = event.Header{Name: string(p.bytes()), Value: string(p.bytes())}
		}
	}
	r.Body = p.b[:len(p.b):len(p.b)]
	if p.err != nil {
		return nil, p.err
	}
	return r, nil
}
