package admin

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

// LetterFilter says which dead letters are meant; empty fields mean all.
type LetterFilter struct {
	Sink, Type, Reason   string
	OlderThan, NewerThan time.Duration
}

// Empty reports whether it lets everything through.
func (f LetterFilter) Empty() bool { return f == LetterFilter{} }

func (f LetterFilter) params() url.Values {
	p := url.Values{}
	set(p, "sink", f.Sink)
	set(p, "type", f.Type)
	set(p, "reason", f.Reason)
	if f.OlderThan > 0 {
		p.Set("olderThan", f.OlderThan.String())
	}
	if f.NewerThan > 0 {
		p.Set("newerThan", f.NewerThan.String())
	}
	return p
}

func set(p url.Values, name, value string) {
	if value != "" {
		p.Set(name, value)
	}
}

// EventFilter says which stored events are meant; empty fields mean all.
type EventFilter struct {
	Since, Until     time.Time
	Type, Sink, Hook string
	// After is the sequence behind which to begin.
	After uint64
}

func (f EventFilter) params() url.Values {
	p := url.Values{}
	set(p, "type", f.Type)
	set(p, "sink", f.Sink)
	set(p, "hook", f.Hook)
	for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			p.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	if f.After > 0 {
		p.Set("after", strconv.FormatUint(f.After, 10))
	}
	return p
}

// Status returns the receiver's status page, which its telemetry listener serves.
func (c *Client) Status(ctx context.Context) (*statusz.Page, error) {
	p, bounded := new(statusz.Page), *c
	bounded.most = maxStatus
	return p, bounded.get(ctx, "/statusz", nil, p)
}

// Queue returns what the receiver's queue holds.
func (c *Client) Queue(ctx context.Context) (*v1.Queue, error) {
	q := new(v1.Queue)
	return q, c.get(ctx, "/v1/queue", nil, q)
}

// DeadLetters calls f with the dead letters that match until it returns false;
// full asks for what they hold.
func (c *Client) DeadLetters(ctx context.Context, filter LetterFilter, full bool, f func(*v1.DeadLetter) bool) error {
	p := filter.params()
	if full {
		p.Set("full", "true")
	}
	return pages(p, func() (string, bool, error) {
		var page v1.DeadLetterPage
		err := c.get(ctx, "/v1/deadletters", p, &page)
		return page.Next, each(page.Items, f), err
	})
}

// DeadLetter returns one, with what it holds.
func (c *Client) DeadLetter(ctx context.Context, id string) (*v1.DeadLetter, error) {
	d := new(v1.DeadLetter)
	return d, c.get(ctx, "/v1/deadletters/"+id, nil, d)
}

// Events calls f with the stored events that match until it returns false.
func (c *Client) Events(ctx context.Context, filter EventFilter, f func(*v1.Event) bool) error {
	p := filter.params()
	return pages(p, func() (string, bool, error) {
		var page v1.EventPage
		err := c.get(ctx, "/v1/events", p, &page)
		return page.Next, each(page.Items, f), err
	})
}

// Quarantine calls f with the quarantined requests until it returns false.
func (c *Client) Quarantine(ctx context.Context, f func(*v1.Quarantined) bool) error {
	p := url.Values{}
	return pages(p, func() (string, bool, error) {
		var page v1.QuarantinePage
		err := c.get(ctx, "/v1/quarantine", p, &page)
		return page.Next, each(page.Items, f), err
	})
}

// Quarantined returns one quarantined request, with what it holds.
func (c *Client) Quarantined(ctx context.Context, sequence uint64) (*v1.Quarantined, error) {
	q := new(v1.Quarantined)
	return q, c.get(ctx, "/v1/quarantine/"+strconv.FormatUint(sequence, 10), nil, q)
}

func each[T any](items []T, f func(*T) bool) bool {
	for i := range items {
		if !f(&items[i]) {
			return false
		}
	}
	return true
}

// pages asks for page after page. Page returns the next cursor, and whether more
// is wanted.
func pages(p url.Values, page func() (next string, more bool, err error)) error {
	p.Set("limit", strconv.Itoa(v1.MaxLimit))
	for {
		next, more, err := page()
		if err != nil || !more || next == "" {
			return err
		}
		p.Del("after") // the cursor is behind it
		p.Set("cursor", next)
	}
}

// ReplayDeadLetters has deliveries of dead letters made again, all or none.
func (c *Client) ReplayDeadLetters(ctx context.Context, ids []string, name string) (*v1.Replayed, error) {
	r := new(v1.Replayed)
	return r, c.post(ctx, "/v1/deadletters/replay", v1.ReplayDeadLetters{IDs: ids, Replay: name}, r)
}

// DropDeadLetters forgets dead letters.
func (c *Client) DropDeadLetters(ctx context.Context, ids []string) (*v1.Dropped, error) {
	d := new(v1.Dropped)
	return d, c.post(ctx, "/v1/deadletters/drop", v1.DropDeadLetters{IDs: ids}, d)
}

// ReplayEvents has deliveries of stored events made again, all or none.
func (c *Client) ReplayEvents(ctx context.Context, events []v1.EventReplay, name string) (*v1.Replayed, error) {
	r := new(v1.Replayed)
	return r, c.post(ctx, "/v1/replays", v1.ReplayEvents{Replay: name, Events: events}, r)
}

// Reverify verifies quarantined requests again.
func (c *Client) Reverify(ctx context.Context, r v1.Reverify) (*v1.ReverifyPage, error) {
	p := new(v1.ReverifyPage)
	return p, c.post(ctx, "/v1/quarantine/reverify", r, p)
}
