package embedded

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const (
	// receivedWindow is how long a transfer is known.
	receivedWindow = 24 * time.Hour
	// repeatWindow is how long the events of transfers are known by their ids, if no
	// event has come so far that says for how long.
	repeatWindow = 10 * time.Minute
)

// incoming is a transfer on its way into the queue.
type incoming struct {
	transfer *queue.Transfer
	id       identity  // of the transfer
	repeat   *identity // of the event, by its id; nil if it need not be remembered

	// What the committer works out.
	record  record
	targets []*sink
	size    int64
	letters []letterIn
}

// letterIn is a dead letter that is received.
type letterIn struct {
	sink  string
	size  int64 // of the event
	value []byte
}

// Receive stores transfers of another queue, unless they are known.
func (q *Queue) Receive(ctx context.Context, transfers []queue.Transfer) (n int, err error) {
	all := make([]*incoming, len(transfers))
	for i := range transfers {
		all[i] = newIncoming(&transfers[i], q.now())
	}
	held := heldBy(all)
	for i, h := range held {
		if err := q.inflight.enter(ctx, h); err != nil {
			q.leaveAll(held[:i])
			return 0, fmt.Errorf("receiving from another queue: %w", err)
		}
	}
	c, n, err := q.receive(all)
	if err != nil || c == nil {
		q.leaveAll(held)
	} else {
		err = q.awaitReceived(ctx, c, held)
	}
	if err != nil {
		return 0, fmt.Errorf("receiving from another queue: %w", err)
	}
	return n, nil
}

func newIncoming(t *queue.Transfer, now int64) *incoming {
	in := &incoming{transfer: t, id: identity{hash: hashTransfer(t), window: receivedWindow, at: now}}
	if t.Event != nil && t.Event.Replay == "" {
		id := identify(t.Event, queue.Dedup{Key: queue.ByID})
		id.at, in.repeat = now, &id
	}
	return in
}

// hashTransfer returns what a transfer is recognised by. Its place in the other
// queue is not part of that, and nor is that queue: what comes by two ways is one.
func hashTransfer(t *queue.Transfer) (h dedupHash) {
	d := sha256.New()
	if e := t.Event; e != nil {
		body := sha256.Sum256(e.Body)
		writeTexts(d, e.ID, e.Replay, string(body[:]))
		writeNumber(d, uint64(nanos(e.ReceivedAt)))
	} else {
		writeNumber(d, t.Sequence)
	}
	for _, v := range slices.SortedFunc(slices.Values(t.Deliveries), func(a, b queue.TransferDelivery) int { return cmp.Compare(a.Sink, b.Sink) }) {
		writeTexts(d, v.Sink)
		if v.Dead != nil {
			writeNumber(d, uint64(nanos(v.Dead.At)))
		}
	}
	h[0] = 't'
	copy(h[1:], d.Sum(nil))
	return h
}

func writeTexts(d hash.Hash, texts ...string) {
	for _, s := range texts {
		writeNumber(d, uint64(len(s)))
		_, _ = d.Write([]byte(s)) // never fails
	}
}

func writeNumber(d hash.Hash, n uint64) {
	_, _ = d.Write(binary.BigEndian.AppendUint64(nil, n)) // never fails
}

// heldBy returns the keys that nobody else may work with meanwhile, in an order
// that is the same for all, so that nobody waits for one who waits for him.
func heldBy(all []*incoming) []dedupHash {
	var keys []dedupHash
	for _, in := range all {
		keys = append(keys, in.id.hash)
		if in.repeat != nil {
			keys = append(keys, in.repeat.hash)
		}
	}
	slices.SortFunc(keys, func(a, b dedupHash) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}

func (q *Queue) leaveAll(held []dedupHash) {
	for _, h := range held {
		q.inflight.leave(h)
	}
}

// receive hands the transfers that are not known to the committer, and returns
// how many that are. If there are none it returns no control. The caller holds the
// keys.
func (q *Queue) receive(all []*incoming) (c *control, n int, err error) {
	unknown, err := q.unknown(all)
	if err != nil || len(unknown) == 0 {
		return nil, 0, err
	}
	size, sequences := 0, 0
	for _, in := range unknown {
		sequences += 1 + len(in.transfer.Deliveries)
		if e := in.transfer.Event; e != nil {
			r := record{e: e, id: e.ID}
			size += r.size()
		}
	}
	if size > stepBytes && len(unknown) > 1 {
		return nil, 0, errStep
	}
	c = &control{sequences: sequences, run: func(g *group) error { return q.store(g, unknown) }}
	return c, len(unknown), q.submit(c)
}

// unknown returns the transfers that were not received before.
func (q *Queue) unknown(all []*incoming) (unknown []*incoming, err error) {
	seen := make(map[dedupHash]bool, len(all))
	for _, in := range all {
		_, known, err := q.lookup(&q.received, &in.id)
		if err != nil {
			return nil, fmt.Errorf("looking up whether the event is known: %w", err)
		}
		if known || seen[in.id.hash] {
			continue
		}
		seen[in.id.hash] = true
		if in.repeat != nil {
			q.mu.Lock()
			in.repeat.window = max(q.memory.window, repeatWindow)
			q.mu.Unlock()
			if _, known, err = q.lookup(&q.memory, in.repeat); err != nil {
				return nil, fmt.Errorf("looking up whether the event is known: %w", err)
			}
			if known {
				in.repeat = nil // what is remembered stays
			}
		}
		unknown = append(unknown, in)
	}
	return unknown, q.failed() // after a failure, what is known may never have been synced
}

// awaitReceived waits for the sync, and gives the keys free.
func (q *Queue) awaitReceived(ctx context.Context, c *control, held []dedupHash) error {
	select {
	case err := <-c.done:
		q.leaveAll(held)
		return err
	case <-ctx.Done():
		go func() { // others must go on to wait for the sync; this ends with the turn
			if err := <-c.done; err != nil {
				q.opts.Logger.Warn("What another queue handed over was not stored", "error", err)
			}
			q.leaveAll(held)
		}()
		return fmt.Errorf("waiting for the sync: %w", context.Cause(ctx))
	}
}

// store writes transfers. It is the committer's.
func (q *Queue) store(g *group, all []*incoming) error {
	queued, dead, size := int64(0), int64(0), int64(0)
	for _, in := range all {
		if err := q.address(in); err != nil {
			return err
		}
		queued += in.size * int64(len(in.targets))
		size += in.size
		for _, l := range in.letters {
			dead += int64(len(l.value))
		}
	}
	l := q.limits.Load()
	if dead > 0 && !l.DropOldestDeadLetter && q.deadBytes.Load()+dead > l.DeadLetterCapacity {
		return queue.ErrFull
	}
	if err := q.space.take(size + dead); err != nil {
		return err
	}
	if err := q.takeRoom(queued); err != nil {
		q.space.giveBack(size + dead)
		return err
	}
	for _, in := range all {
		q.storeOne(g, in)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, in := range all {
		q.received.remember(g.batch, &in.id)
		if in.repeat != nil {
			q.memory.remember(g.batch, in.repeat)
		}
	}
	return nil
}

// takeRoom reserves, and makes room if that is allowed.
func (q *Queue) takeRoom(cost int64) error {
	for {
		if err := q.reserve(cost); !errors.Is(err, errNoRoom) || !q.makeRoom(cost) {
			return err
		}
	}
}

// address finds out for which sinks a transfer is, and lays out its dead letters.
func (q *Queue) address(in *incoming) error {
	in.record, in.targets, in.letters = record{e: in.transfer.Event}, nil, nil
	for _, d := range in.transfer.Deliveries {
		if d.Dead != nil {
			in.letters = append(in.letters, newLetterIn(in.transfer.Event, &d))
			continue
		}
		s := q.sinkNamed(d.Sink)
		if s == nil || !s.isActive() {
			return fmt.Errorf("storing for %q: %w", d.Sink, queue.ErrUnknownSink)
		}
		if in.transfer.Event == nil || slices.Contains(in.targets, s) {
			continue
		}
		in.targets = append(in.targets, s)
		in.record.ordinals = append(in.record.ordinals, s.ordinal)
		in.record.attempts = append(in.record.attempts, d.Attempts)
	}
	if len(in.targets) > 0 {
		in.record.id = in.transfer.Event.ID
		in.size = int64(in.record.size())
	}
	return nil
}

func newLetterIn(e *event.Event, d *queue.TransferDelivery) letterIn {
	var raw []byte
	if e != nil {
		r := record{e: e, id: e.ID} // the sink is the key's
		raw = r.appendTo(make([]byte, 0, r.size()))
	}
	answer := d.Dead.Answer[:min(len(d.Dead.Answer), maxAnswer)]
	return letterIn{
		sink: d.Sink, size: int64(len(raw)),
		value: appendDeadLetter(nil, d.Attempts, nanos(d.Dead.At), clip(d.Dead.Reason, maxReason), answer, raw),
	}
}

func (q *Queue) storeOne(g *group, in *incoming) {
	if len(in.targets) > 0 {
		g.put(g.last+1, &in.record, int(in.size))
	}
	for _, s := range in.targets {
		a := g.of(s)
		a.queued.add(in.size)
		a.received.add(in.size)
	}
	for _, l := range in.letters {
		s := q.sinkNamed(l.sink)
		if s == nil {
			s = q.addSink(g.batch, l.sink)
		}
		g.last++
		q.set(g.batch, letterKey{s.ordinal, g.last}.appendTo(q.keyBuf[:0]), append(q.valBuf[:0], l.value...))
		a := g.of(s)
		a.dead.add(l.size)
		a.received.add(l.size)
		a.letters.kept.add(int64(len(l.value)))
	}
}
