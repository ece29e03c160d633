package v1

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/filter"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const eventCursor = "e"

// eventFilter says which events are asked for.
type eventFilter struct {
	since, until    time.Time
	typ, sink, hook string
}

func (f *eventFilter) matches(e *queue.StoredEvent) bool {
	return (f.typ == "" || filter.Match(f.typ, e.Event.Type)) && (f.hook == "" || f.hook == e.Event.Hook) &&
		(f.sink == "" || slices.Contains(e.Sinks, f.sink))
}

// events answers GET /v1/events.
func (c *call) events() (any, error) {
	f := eventFilter{since: c.q.time("since"), until: c.q.time("until"), typ: c.q.text("type"), sink: c.q.text("sink"), hook: c.q.text("hook")}
	p := c.pager()
	after := c.q.number("after")
	if text := c.q.text("cursor"); text != "" {
		var err error
		if after, err = sequenceCursor(eventCursor, text); err != nil {
			return nil, err
		}
	}
	if c.q.err != nil {
		return nil, c.q.err
	}
	out := EventPage{Items: []Event{}}
	err := c.ep.Store.Events(after, f.since, f.until, func(e *queue.StoredEvent) bool {
		switch {
		case c.ctx.Err() != nil:
			return false
		case p.full():
			out.Next = newCursor(eventCursor, strconv.FormatUint(after, 10))
			return false
		}
		after = e.Sequence
		if f.matches(e) {
			p.items++
			out.Items = append(out.Items, wireEvent(e))
		}
		return true
	})
	if err == nil {
		err = c.ctx.Err()
	}
	return out, err
}

func wireEvent(s *queue.StoredEvent) Event {
	e := s.Event
	return Event{Sequence: s.Sequence, ID: e.ID, Type: e.Type, Subject: e.Subject, Time: e.Time, Hook: e.Hook, ReceivedAt: e.ReceivedAt.UTC(),
		Replay: e.Replay, Size: len(e.Body), Sinks: append([]string{}, s.Sinks...)}
}

// maxReplaySinks bounds the sinks of one event: an endpoint has no more.
const maxReplaySinks = 16

// replayEvents answers POST /v1/replays.
func (c *call) replayEvents() (any, error) {
	var in ReplayEvents
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	replays, sinks, err := readReplays(in.Events)
	if err != nil {
		return nil, err
	}
	name, err := c.replayName(in.Replay)
	if err != nil {
		return nil, err
	}
	if err := c.checkSinks(sinks); err != nil {
		return nil, err
	}
	n, err := c.ep.Store.Replay(c.ctx, replays, name)
	if err != nil {
		return nil, err
	}
	return Replayed{Replay: name, Replayed: n, Missing: len(replays) - n}, nil
}

// readReplays checks what is to be replayed, and lists the sinks.
func readReplays(in []EventReplay) (out []queue.EventReplay, sinks []string, err error) {
	if len(in) == 0 || len(in) > MaxIDs {
		return nil, nil, badRequest("events has %d entries; it must have from 1 to %d", len(in), MaxIDs)
	}
	seen := map[uint64]bool{}
	for _, r := range in {
		switch {
		case r.Sequence == 0 || seen[r.Sequence]:
			return nil, nil, badRequest("sequence %d is no event's, or stands twice", r.Sequence)
		case len(r.Sinks) == 0 || len(r.Sinks) > maxReplaySinks:
			return nil, nil, badRequest("event %d has %d sinks; name from 1 to %d", r.Sequence, len(r.Sinks), maxReplaySinks)
		}
		seen[r.Sequence] = true
		names := slices.Clone(r.Sinks)
		slices.Sort(names)
		names = slices.Compact(names)
		out = append(out, queue.EventReplay{Sequence: r.Sequence, Sinks: names})
		sinks = append(sinks, names...)
	}
	return out, sinks, nil
}

// replayName checks the name of a replay, or makes one up.
func (c *call) replayName(name string) (string, error) {
	if name == "" {
		var b [3]byte
		_, _ = rand.Read(b[:]) // it never fails
		return c.o.Now().UTC().Format("20060102-150405-") + hex.EncodeToString(b[:]), nil
	}
	if !IsReplayName(name) {
		return "", badRequest("replay is not a name of at most %d letters, digits, dots, dashes and underscores", event.MaxReplay)
	}
	return name, nil
}

// IsReplayName reports whether a replay may be called so.
func IsReplayName(s string) bool {
	return s != "" && len(s) <= event.MaxReplay &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}
