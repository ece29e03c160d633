package v1

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fairlead-dev/fairlead/receiver/filter"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const letterCursor = "d"

// letterFilter says which dead letters are asked for.
type letterFilter struct {
	sink, typ, reason string
	// diedBefore and diedAfter are zero for no bound.
	diedBefore, diedAfter time.Time
}

func readLetterFilter(q *query, now time.Time) letterFilter {
	f := letterFilter{sink: q.text("sink"), typ: q.text("type"), reason: strings.ToLower(q.text("reason"))}
	if d := q.age("olderThan"); d > 0 {
		f.diedBefore = now.Add(-d)
	}
	if d := q.age("newerThan"); d > 0 {
		f.diedAfter = now.Add(-d)
	}
	return f
}

func (f *letterFilter) matches(d *queue.DeadLetter) bool {
	switch {
	case f.typ != "" && (d.Event == nil || !filter.Match(f.typ, d.Event.Type)),
		f.reason != "" && !strings.Contains(strings.ToLower(d.Reason), f.reason),
		!f.diedBefore.IsZero() && !d.DeadAt.Before(f.diedBefore),
		!f.diedAfter.IsZero() && !d.DeadAt.After(f.diedAfter):
		return false
	}
	return true
}

// pager says when a page is complete.
type pager struct {
	limit, items, scanned int
	bytes                 int64
	now                   func() time.Time
	until                 time.Time
}

func (c *call) pager() *pager {
	return &pager{limit: c.q.limit(), now: c.o.Now, until: c.o.Now().Add(scanTime)}
}

// full reports whether no further record fits. It counts the one that is asked
// about as looked at.
func (p *pager) full() bool {
	if p.items >= p.limit || p.scanned >= maxScan || p.bytes >= pageBytes || p.scanned > 0 && p.now().After(p.until) {
		return true
	}
	p.scanned++
	return false
}

// deadLetters answers GET /v1/deadletters.
func (c *call) deadLetters() (any, error) {
	f, full := readLetterFilter(c.q, c.o.Now()), c.q.flag("full")
	p := c.pager()
	after := c.letterCursor(f.sink)
	if c.q.err != nil {
		return nil, c.q.err
	}
	out := DeadLetterPage{Items: []DeadLetter{}}
	err := c.ep.Store.DeadLetters(after, func(d *queue.DeadLetter) bool {
		switch {
		case f.sink != "" && d.Sink != f.sink: // they are in the order of sinks, and it began with this one
			return false
		case c.ctx.Err() != nil:
			return false
		case p.full():
			out.Next = newCursor(letterCursor, letterName(after))
			return false
		}
		after = d.DeadLetterID
		if f.matches(d) {
			p.items++
			if full && d.Event != nil {
				p.bytes += int64(len(d.Event.Body))
			}
			out.Items = append(out.Items, c.wireLetter(d, full))
		}
		return true
	})
	if err == nil {
		err = c.ctx.Err()
	}
	return out, err
}

// letterCursor returns the dead letter behind which a listing goes on.
func (c *call) letterCursor(sink string) queue.DeadLetterID {
	place := c.q.cursor(letterCursor)
	if place == "" {
		return queue.DeadLetterID{Sink: sink}
	}
	id, err := parseLetter(place)
	if err != nil || sink != "" && id.Sink != sink {
		c.q.fail("the cursor is not one of this listing; give back next as it was answered, with the same filters, or begin without")
	}
	return id
}

func letterName(id queue.DeadLetterID) string {
	return id.Sink + "/" + strconv.FormatUint(id.Sequence, 10)
}

const maxSinkName = 63

// parseLetter reads SINK/SEQUENCE.
func parseLetter(text string) (queue.DeadLetterID, error) {
	sink, number, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !isSinkName(sink) {
		return queue.DeadLetterID{}, badRequest("%q names no dead letter; write SINK/SEQUENCE, such as app/12", bounded(text, 100))
	}
	return queue.DeadLetterID{Sink: sink, Sequence: n}, nil
}

// IsDeadLetterName reports whether text is of the form SINK/SEQUENCE.
func IsDeadLetterName(text string) bool {
	_, err := parseLetter(text)
	return err == nil
}

func isSinkName(s string) bool {
	return s != "" && len(s) <= maxSinkName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// bounded cuts text for a message.
func bounded(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// wireLetter returns a dead letter as it is answered; full shows what it holds.
func (c *call) wireLetter(d *queue.DeadLetter, full bool) DeadLetter {
	out := DeadLetter{DeadLetter: letterName(d.DeadLetterID), Sink: d.Sink, Reason: strings.ToValidUTF8(d.Reason, "?"), Attempts: d.Attempts,
		DeadAt: d.DeadAt.UTC(), Size: d.Size, Unreadable: d.Event == nil}
	if e := d.Event; e != nil {
		out.ID, out.Source, out.Type, out.Subject, out.Time, out.DataContentType = e.ID, c.ep.Source, e.Type, e.Subject, e.Time, e.ContentType
		out.Hook, out.Attempt, out.ReceivedAt, out.Replay = e.Hook, e.Attempt, e.ReceivedAt.UTC(), e.Replay
		if !e.ReplayedAt.IsZero() {
			out.ReplayedAt = e.ReplayedAt.UTC()
		}
	}
	if full {
		out.show(d)
	}
	return out
}

// show adds what is there only when it is asked for.
func (l *DeadLetter) show(d *queue.DeadLetter) {
	if utf8.Valid(d.Answer) {
		l.Answer = string(d.Answer)
	} else {
		l.AnswerBase64 = d.Answer
	}
	if d.Event == nil {
		return
	}
	for _, h := range d.Event.Headers {
		l.Headers = append(l.Headers, Header(h))
	}
	l.DataBase64 = append([]byte{}, d.Event.Body...) // never nil: an empty body is one too
	switch {
	case json.Valid(d.Event.Body):
		l.Data = d.Event.Body
	case utf8.Valid(d.Event.Body):
		l.Text = string(d.Event.Body)
	}
}

// deadLetter answers GET /v1/deadletters/{sink}/{sequence}.
func (c *call) deadLetter() (any, error) {
	id, err := parseLetter(c.r.PathValue("sink") + "/" + c.r.PathValue("sequence"))
	if err != nil {
		return nil, err
	}
	d, err := c.ep.Store.DeadLetter(id)
	if err != nil {
		return nil, err
	}
	return c.wireLetter(d, true), nil
}

// parseLetters reads the ids of a POST, each once.
func parseLetters(texts []string) ([]queue.DeadLetterID, error) {
	if len(texts) == 0 || len(texts) > MaxIDs {
		return nil, badRequest("ids has %d entries; it must have from 1 to %d", len(texts), MaxIDs)
	}
	seen := map[queue.DeadLetterID]bool{}
	var ids []queue.DeadLetterID
	for _, t := range texts {
		id, err := parseLetter(t)
		if err != nil {
			return nil, err
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// replayDeadLetters answers POST /v1/deadletters/replay.
func (c *call) replayDeadLetters() (any, error) {
	var in ReplayDeadLetters
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ids, err := parseLetters(in.IDs)
	if err != nil {
		return nil, err
	}
	name, err := c.replayName(in.Replay)
	if err != nil {
		return nil, err
	}
	var sinks []string
	for _, id := range ids {
		sinks = append(sinks, id.Sink)
	}
	if err := c.checkSinks(sinks); err != nil {
		return nil, err
	}
	n, err := c.ep.Store.ReplayDeadLetters(c.ctx, ids, name)
	if err != nil {
		return nil, err
	}
	return Replayed{Replay: name, Replayed: n, Missing: len(ids) - n}, nil
}

// checkSinks refuses sinks that are not listed, by name. The queue would refuse
// them too, but does not say which.
func (c *call) checkSinks(names []string) error {
	var listed []string
	for name, s := range c.ep.Store.Stats().Sinks {
		if !s.Removed {
			listed = append(listed, name)
		}
	}
	for _, name := range names {
		if !slices.Contains(listed, name) {
			slices.Sort(listed)
			return problem(http.StatusConflict, "sink \""+bounded(name, maxSinkName)+"\" is not listed (any more); there are "+strings.Join(listed, ", ")+
				"; put it back into spec.sinks, or leave what is for it out (dead letters can be exported)")
		}
	}
	return nil
}

// dropDeadLetters answers POST /v1/deadletters/drop.
func (c *call) dropDeadLetters() (any, error) {
	var in DropDeadLetters
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ids, err := parseLetters(in.IDs)
	if err != nil {
		return nil, err
	}
	n, err := c.ep.Store.DropDeadLetters(c.ctx, ids)
	if err != nil {
		return nil, err
	}
	c.o.Logger.Warn("Dead letters were dropped by a person", "endpoint", c.ep.key(), "dropped", n)
	return Dropped{Dropped: n, Missing: len(ids) - n}, nil
}
