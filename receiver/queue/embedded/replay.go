package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// stepBytes bounds what one step of a replay, or of receiving, writes. A single
// event may be larger.
const stepBytes = 64 << 20

var errReplayName = fmt.Errorf("a replay needs a name of 1 to %d bytes", event.MaxReplay)

// errStep means that there is no room for so much at once.
var errStep = fmt.Errorf("more than %d bytes in one step: %w", stepBytes, queue.ErrFull)

// copyOf is a stored event that is to be queued once more.
type copyOf struct {
	record  record
	targets []*sink
	size    int
	letter  foundLetter // the dead letter that it is made from, if sink is not nil
}

// ReplayDeadLetters queues the events of dead letters again, in one step.
func (q *Queue) ReplayDeadLetters(ctx context.Context, ids []queue.DeadLetterID, replay string) (n int, err error) {
	copies, err := q.copyLetters(ids, replay)
	if err == nil && len(copies) > 0 {
		err = q.control(ctx, &control{sequences: len(copies), run: func(g *group) (err error) {
			if copies, err = q.stillThere(copies); err != nil {
				return err
			}
			return q.replay(g, copies, q.reserveQueued) // full dead letters get fewer by it
		}})
	}
	if err != nil {
		return 0, fmt.Errorf("replaying dead letters: %w", err)
	}
	return len(copies), nil
}

// copyLetters reads the dead letters that are there and have an event. The one who
// asks does that, so that nobody else waits for it.
func (q *Queue) copyLetters(ids []queue.DeadLetterID, replay string) ([]*copyOf, error) {
	if replay == "" || len(replay) > event.MaxReplay {
		return nil, errReplayName
	}
	var copies []*copyOf
	seen := make(map[queue.DeadLetterID]bool, len(ids))
	size := int64(0)
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		l, err := q.letter(id)
		if err != nil {
			return nil, err
		}
		if l == nil || l.Event == nil {
			continue
		}
		if size += l.Size; size > stepBytes && len(copies) > 0 {
			return nil, errStep
		}
		s := q.sinkNamed(id.Sink)
		c := q.newCopy(l.Event, replay, s)
		c.letter = foundLetter{sink: s, seq: id.Sequence}
		copies = append(copies, c)
	}
	return copies, nil
}

func (q *Queue) newCopy(e *event.Event, replay string, targets ...*sink) *copyOf {
	e.Replay, e.ReplayedAt = replay, q.opts.Now()
	c := &copyOf{record: record{e: e, id: e.ID}, targets: targets}
	for _, s := range targets {
		c.record.ordinals = append(c.record.ordinals, s.ordinal)
	}
	c.size = c.record.size()
	return c
}

// stillThere returns the copies whose dead letters nobody has replayed or dropped
// meanwhile. It is the committer's.
func (q *Queue) stillThere(copies []*copyOf) (there []*copyOf, err error) {
	for _, c := range copies {
		c.letter.size, err = q.letterSize(letterKey{c.letter.sink.ordinal, c.letter.seq})
		switch {
		case errors.Is(err, queue.ErrNotFound):
		case err != nil:
			return nil, err
		default:
			there = append(there, c)
		}
	}
	return there, nil
}

// replay queues copies, and deletes the dead letters that they were made from.
func (q *Queue) replay(g *group, copies []*copyOf, reserve func(int64) error) error {
	cost, size := int64(0), int64(0)
	for _, c := range copies {
		for _, s := range c.targets {
			if !s.isActive() {
				return fmt.Errorf("replaying for %q: %w", s.name, queue.ErrUnknownSink)
			}
		}
		cost += int64(c.size) * int64(len(c.targets))
		size += int64(c.size)
	}
	if err := q.space.take(size); err != nil {
		return err
	}
	if err := reserve(cost); err != nil {
		q.space.giveBack(size)
		return err
	}
	for _, c := range copies {
		g.put(g.last+1, &c.record, c.size)
		for _, s := range c.targets {
			a := g.of(s)
			a.queued.add(int64(c.size))
			a.replayed.add(int64(c.size))
		}
		if c.letter.sink != nil {
			q.endLetter(g, c.letter, func(l *letters) *int64 { return &l.replayed })
		}
	}
	return nil
}

// Replay queues stored events again, in one step.
func (q *Queue) Replay(ctx context.Context, replays []queue.EventReplay, replay string) (n int, err error) {
	copies, err := q.copyEvents(replays, replay)
	if err == nil && len(copies) > 0 {
		err = q.control(ctx, &control{sequences: len(copies), run: func(g *group) error {
			return q.replay(g, copies, q.reserve)
		}})
	}
	if err != nil {
		return 0, fmt.Errorf("replaying events: %w", err)
	}
	return len(copies), nil
}

// copyEvents reads the events that are there.
func (q *Queue) copyEvents(replays []queue.EventReplay, replay string) ([]*copyOf, error) {
	if replay == "" || len(replay) > event.MaxReplay {
		return nil, errReplayName
	}
	var copies []*copyOf
	size := int64(0)
	for _, r := range replays {
		targets, err := q.listed(r.Sinks)
		if err != nil {
			return nil, err
		}
		e, err := q.stored(r.Sequence)
		if err != nil {
			return nil, fmt.Errorf("reading event %d: %w", r.Sequence, err)
		}
		if e == nil || len(targets) == 0 {
			continue
		}
		c := q.newCopy(e, replay, targets...)
		if size += int64(c.size); size > stepBytes && len(copies) > 0 {
			return nil, errStep
		}
		copies = append(copies, c)
	}
	return copies, nil
}

// listed returns the sinks of those names, each once.
func (q *Queue) listed(names []string) (targets []*sink, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	seen := make(map[*sink]bool, len(names))
	for _, name := range names {
		s, ok := q.byName[name]
		if !ok {
			return nil, fmt.Errorf("storing for %q: %w", name, queue.ErrUnknownSink)
		}
		if !seen[s] {
			seen[s] = true
			targets = append(targets, s)
		}
	}
	return targets, nil
}

// stored returns an event that is on disk and can be read, or nil.
func (q *Queue) stored(seq uint64) (e *event.Event, err error) {
	if seq > q.synced.Load() {
		return nil, nil
	}
	err = q.read(func() error {
		raw, err := q.intact(seq)
		if err != nil || raw == nil {
			return err
		}
		if e, err = decodeRecord(raw); err != nil {
			e = nil // like one that is gone
		}
		return nil
	})
	return e, err
}
