package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

var _ queue.DeadLetters = (*Queue)(nil)

// letterKey names a dead letter.
type letterKey struct {
	ordinal uint32
	seq     uint64
}

func (k letterKey) appendTo(b []byte) []byte { return appendPairKey(b, kindDead, k.ordinal, k.seq) }

// DeadLetters calls f with the dead letters behind after.
func (q *Queue) DeadLetters(after queue.DeadLetterID, f func(*queue.DeadLetter) bool) error {
	all := slices.Clone(*q.sinks.Load())
	slices.SortFunc(all, func(a, b *sink) int { return cmp.Compare(a.name, b.name) })
	for _, s := range all {
		if s.name < after.Sink {
			continue
		}
		behind := uint64(0)
		if s.name == after.Sink {
			behind = after.Sequence
		}
		if more, err := q.lettersOf(s, behind, f); err != nil || !more {
			return err
		}
	}
	return nil
}

// lettersOf calls f with a sink's dead letters, and reports whether f wants more.
func (q *Queue) lettersOf(s *sink, behind uint64, f func(*queue.DeadLetter) bool) (more bool, err error) {
	for {
		p, err := q.letterPage(s, behind)
		if err != nil {
			return false, fmt.Errorf("reading dead letters of %q: %w", s.name, err)
		}
		if len(p.found) == 0 {
			return true, nil
		}
		behind = p.found[len(p.found)-1].Sequence
		if !p.give(f) {
			return false, nil
		}
	}
}

func (q *Queue) letterPage(s *sink, behind uint64) (p page[*queue.DeadLetter], err error) {
	err = q.read(func() error {
		it, err := q.db.NewIter(&pebble.IterOptions{
			LowerBound: appendPairKey(nil, kindDead, s.ordinal, behind+1),
			UpperBound: after(appendSinkKey(nil, kindDead, s.ordinal)),
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok && !p.full(); ok = it.Next() {
			raw, err := it.ValueAndErr()
			p.add(readLetter(s.name, lastSequence(it.Key()), raw, err), len(raw))
		}
		return it.Close()
	})
	return p, err
}

// readLetter reads a dead letter. One that cannot be read is there all the same,
// with the reason why not.
func readLetter(sink string, seq uint64, raw []byte, err error) *queue.DeadLetter {
	var l queue.DeadLetter
	if err == nil {
		l, err = parseDeadLetter(raw)
	}
	if err != nil {
		l = queue.DeadLetter{Reason: "dead letter cannot be read: " + err.Error()}
	}
	l.DeadLetterID, l.Size = queue.DeadLetterID{Sink: sink, Sequence: seq}, int64(len(raw))
	return &l
}

// DeadLetter returns one.
func (q *Queue) DeadLetter(id queue.DeadLetterID) (*queue.DeadLetter, error) {
	l, err := q.letter(id)
	if err == nil && l == nil {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading dead letter %d of %q: %w", id.Sequence, id.Sink, err)
	}
	return l, nil
}

// letter returns a dead letter, or nil.
func (q *Queue) letter(id queue.DeadLetterID) (l *queue.DeadLetter, err error) {
	s := q.sinkNamed(id.Sink)
	if s == nil {
		return nil, nil
	}
	err = q.read(func() error {
		raw, err := q.get(letterKey{s.ordinal, id.Sequence}.appendTo(nil))
		switch {
		case err != nil && !pebble.IsCorruptionError(err):
			return err
		case err != nil || raw != nil:
			l = readLetter(s.name, id.Sequence, raw, err)
		}
		return nil
	})
	return l, err
}

// sinkNamed returns a sink, listed or not, or nil.
func (q *Queue) sinkNamed(name string) *sink {
	all := *q.sinks.Load()
	if i := slices.IndexFunc(all, func(s *sink) bool { return s.name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// dropsAtOnce is how many dead letters are dropped in one turn of the committer.
const dropsAtOnce = 512

// DropDeadLetters forgets dead letters.
func (q *Queue) DropDeadLetters(ctx context.Context, ids []queue.DeadLetterID) (n int, err error) {
	for some := range slices.Chunk(ids, dropsAtOnce) {
		dropped := 0
		err := q.control(ctx, &control{run: func(g *group) (err error) {
			dropped, err = q.endLetters(g, some, func(l *letters) *int64 { return &l.dropped })
			return err
		}})
		if err != nil {
			return n, fmt.Errorf("dropping dead letters: %w", err)
		}
		n += dropped
	}
	return n, nil
}

// endLetters deletes dead letters, and counts each. It returns how many were
// there. It is the committer's.
func (q *Queue) endLetters(g *group, ids []queue.DeadLetterID, count func(*letters) *int64) (n int, err error) {
	found := make([]foundLetter, 0, len(ids))
	for _, id := range ids {
		s := q.sinkNamed(id.Sink)
		if s == nil {
			continue
		}
		size, err := q.letterSize(letterKey{s.ordinal, id.Sequence})
		switch {
		case errors.Is(err, queue.ErrNotFound):
		case err != nil:
			return 0, err
		default:
			found = append(found, foundLetter{sink: s, seq: id.Sequence, size: size})
		}
	}
	for _, l := range found {
		if q.endLetter(g, l, count) {
			n++
		}
	}
	return n, nil
}

// foundLetter is a dead letter that is there.
type foundLetter struct {
	sink *sink
	seq  uint64
	size int64
}

// letterSize returns the size of a dead letter that is there when the committer's
// turn begins, and that the turn has not deleted so far; else ErrNotFound. It is
// the committer's.
func (q *Queue) letterSize(k letterKey) (int64, error) {
	if _, ended := q.ended[k]; ended {
		return 0, queue.ErrNotFound
	}
	v, closer, err := q.db.Get(k.appendTo(nil))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return 0, queue.ErrNotFound
	case err != nil:
		return 0, err
	}
	return int64(len(v)), closer.Close()
}

// endLetter deletes a dead letter, unless that was done already.
func (q *Queue) endLetter(g *group, l foundLetter, count func(*letters) *int64) bool {
	k := letterKey{l.sink.ordinal, l.seq}
	if _, ended := q.ended[k]; ended {
		return false
	}
	q.ended[k] = struct{}{}
	q.remove(g.batch, k.appendTo(q.keyBuf[:0]))
	change := &g.of(l.sink).letters
	change.kept.minus(tally{1, l.size})
	*count(change)++
	return true
}
