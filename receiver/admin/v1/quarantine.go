package v1

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const (
	quarantineCursor = "q"
	// maxReverify bounds the requests that one call verifies: each is a sync.
	maxReverify = 100
	// maxHeaderValue bounds a header's value where it is shown.
	maxHeaderValue = 4 << 10
)

// quarantine answers GET /v1/quarantine.
func (c *call) quarantine() (any, error) {
	p := c.pager()
	after, err := sequenceCursor(quarantineCursor, c.q.text("cursor"))
	if err != nil || c.q.err != nil {
		return nil, cmp.Or(c.q.err, err)
	}
	out := QuarantinePage{Items: []Quarantined{}}
	err = c.ep.Store.Quarantined(after, func(q *queue.Quarantined) bool {
		if p.full() {
			out.Next = newCursor(quarantineCursor, strconv.FormatUint(after, 10))
			return false
		}
		after = q.Sequence
		p.items++
		out.Items = append(out.Items, c.wireQuarantined(q, false))
		return true
	})
	return out, err
}

func (c *call) wireQuarantined(q *queue.Quarantined, full bool) Quarantined {
	out := Quarantined{Sequence: q.Sequence, ReceivedAt: q.ReceivedAt.UTC(), Source: q.Source, Hook: q.Hook, Method: q.Method, Path: q.Path,
		Reason: q.Reason, Size: len(q.Body)}
	if !full {
		return out
	}
	out.Query, out.BodyBase64 = q.Query, append([]byte{}, q.Body...)
	if utf8.Valid(q.Body) {
		out.Text = string(q.Body)
	}
	for _, h := range q.Headers {
		if c.ep.Shows(h.Name) {
			out.Headers = append(out.Headers, Header{h.Name, bounded(h.Value, maxHeaderValue)})
		} else if !slices.Contains(out.Hidden, h.Name) {
			out.Hidden = append(out.Hidden, h.Name)
		}
	}
	return out
}

// find returns one quarantined request.
func (c *call) find(sequence uint64) (*queue.Quarantined, error) {
	var found *queue.Quarantined
	if sequence == 0 {
		return nil, queue.ErrNotFound
	}
	err := c.ep.Store.Quarantined(sequence-1, func(q *queue.Quarantined) bool {
		if q.Sequence == sequence {
			found = q
		}
		return false
	})
	if err == nil && found == nil {
		err = queue.ErrNotFound
	}
	return found, err
}

// quarantined answers GET /v1/quarantine/{sequence}.
func (c *call) quarantined() (any, error) {
	n, err := strconv.ParseUint(c.r.PathValue("sequence"), 10, 64)
	if err != nil {
		return nil, badRequest("%q is no sequence; write a number from the listing", bounded(c.r.PathValue("sequence"), 30))
	}
	q, err := c.find(n)
	if err != nil {
		return nil, err
	}
	return c.wireQuarantined(q, true), nil
}

// reverify answers POST /v1/quarantine/reverify.
func (c *call) reverify() (any, error) {
	var in Reverify
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.All == (len(in.Sequences) > 0) || in.Cursor != "" && !in.All || len(in.Sequences) > maxReverify {
		return nil, badRequest("name from 1 to %d sequences, or say all: true (with the cursor, to go on)", maxReverify)
	}
	sequences, next := in.Sequences, ""
	if in.All {
		var err error
		if sequences, next, err = c.nextQuarantined(in.Cursor); err != nil {
			return nil, err
		}
	}
	results, err := c.reverifyEach(sequences)
	return ReverifyPage{Results: results, Next: next}, err
}

// nextQuarantined lists the sequences behind a cursor that fit into one call.
func (c *call) nextQuarantined(cursor string) (sequences []uint64, next string, err error) {
	after, err := sequenceCursor(quarantineCursor, cursor)
	if err != nil {
		return nil, "", err
	}
	err = c.ep.Store.Quarantined(after, func(q *queue.Quarantined) bool {
		if len(sequences) == maxReverify {
			next = newCursor(quarantineCursor, strconv.FormatUint(sequences[len(sequences)-1], 10))
			return false
		}
		sequences = append(sequences, q.Sequence)
		return true
	})
	return sequences, next, err
}

// reverifyEach verifies requests again. Those whose event is on disk leave the
// quarantine; when that fails, verifying them once more finds a duplicate.
func (c *call) reverifyEach(sequences []uint64) ([]Reverified, error) {
	results, done := []Reverified{}, []uint64{}
	for _, n := range sequences {
		if c.ctx.Err() != nil {
			results = append(results, Reverified{Sequence: n, Result: ReverifiedLater, Reason: "the call took too long"})
			continue
		}
		r, err := c.reverifyOne(n)
		if err != nil {
			return nil, err
		}
		if r.Result == ReverifiedQueued || r.Result == ReverifiedDuplicate {
			done = append(done, n)
		}
		results = append(results, r)
	}
	if len(done) == 0 {
		return results, nil
	}
	return results, c.ep.Store.DropQuarantined(context.WithoutCancel(c.ctx), done) // also when the time is up: they are queued
}

func (c *call) reverifyOne(n uint64) (Reverified, error) {
	q, err := c.find(n)
	if errors.Is(err, queue.ErrNotFound) {
		return Reverified{Sequence: n, Result: ReverifiedMissing, Reason: "it is not in quarantine (any more)"}, nil
	}
	if err != nil {
		return Reverified{}, err
	}
	outcome, err := c.ep.Reverify(q)
	r := Reverified{Sequence: n, Result: resultOf(outcome)}
	if err != nil {
		r.Reason = err.Error()
	}
	return r, nil
}

func resultOf(o intake.Outcome) string {
	switch o {
	case intake.Accepted:
		return ReverifiedQueued
	case intake.Duplicate:
		return ReverifiedDuplicate
	case intake.Overloaded, intake.Failed:
		return ReverifiedLater
	}
	return ReverifiedFailing
}
