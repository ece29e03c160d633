package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

// brief are the events that have arrived at a path, without their bodies.
func (s *sink) brief(ctx context.Context, path string) ([]record.Event, error) {
	var all []record.Event
	for since := 0; ; {
		var p record.Page
		if err := getJSON(ctx, fmt.Sprintf("%s/events?brief=1&path=%s&since=%d", s.address, path, since), &p); err != nil {
			return nil, fmt.Errorf("asking sink %q: %w", s.name, err)
		}
		all = append(all, p.Events...)
		if p.Next <= since {
			return all, nil
		}
		since = p.Next
	}
}

// books are the sets of one provider's run. Events are told apart by the digest of
// their bodies, of which no two are alike: so equal sets are equal bytes.
type books struct {
	results map[string]probe.Result
	summary *probe.Summary
	// arrived counts arrivals, by sink and digest.
	arrived map[string]map[string]int
	// again are deliveries beyond the first; late those of earlier runs' events.
	again, late int
	// taken counts the events without an answer that arrived nevertheless.
	taken int
}

// missing lists what was answered with success and has not arrived at every sink.
func (b *books) missing() []string {
	var out []string
	for digest, r := range b.results {
		for name, at := range b.arrived {
			if r.Success() && at[digest] == 0 {
				out = append(out, fmt.Sprintf("%s at %s (sent %s)", r.ID, name, r.Started.Format("15:04:05.000")))
			}
		}
	}
	slices.Sort(out)
	return out
}

// account waits until all that was answered with success is at every sink of the
// endpoint, and checks the rest: that nothing has come that was never sent, and that
// nothing is left or given up.
func (w *world) account(t *testing.T, p *play, results []probe.Result, s *probe.Summary) *books {
	t.Helper()
	b := &books{results: map[string]probe.Result{}, summary: s}
	for _, r := range results {
		b.results[r.SHA256] = r
	}
	eventually(t, long, "every event that was answered 2xx at the sinks of "+p.k.String(), func(ctx context.Context) error {
		if err := w.fill(ctx, t, p, b); err != nil {
			return err
		}
		if m := b.missing(); len(m) > 0 {
			return fmt.Errorf("%d are missing, such as %s", len(m), strings.Join(m[:min(5, len(m))], ", "))
		}
		return nil
	})
	eventually(t, long, "empty queues of "+p.k.String(), func(ctx context.Context) error { return w.left(ctx, t, p) })
	if err := w.fill(t.Context(), t, p, b); err != nil {
		t.Fatal(err)
	}
	b.taken = b.arrivedOf(0)
	for digest := range b.results {
		p.sent[digest] = true
	}
	return b
}

// arrivedOf counts the events that were answered with a status, or by 0 not at all,
// and have arrived somewhere.
func (b *books) arrivedOf(status int) (n int) {
	for digest, r := range b.results {
		if r.Status == status && slices.ContainsFunc(slices.Collect(maps.Values(b.arrived)), func(at map[string]int) bool { return at[digest] > 0 }) {
			n++
		}
	}
	return n
}

// fill reads what has arrived. It is an error, and the test's end, if something was
// never sent.
func (w *world) fill(ctx context.Context, t *testing.T, p *play, b *books) error {
	t.Helper()
	b.arrived, b.again, b.late = map[string]map[string]int{}, 0, 0
	for _, name := range sinkNames() {
		all, err := w.sink.brief(ctx, p.pathOf(name))
		if err != nil {
			return err
		}
		at := map[string]int{}
		b.arrived[name] = at
		for _, e := range all {
			r, now := b.results[e.SHA256]
			switch {
			case now && p.provider == streamChat && e.ID != r.ID:
				t.Fatalf("event %q has arrived at %s as %q", r.ID, name, e.ID)
			case now:
				at[e.SHA256] += e.Arrivals
				b.again += e.Arrivals - 1
			case p.sent[e.SHA256]:
				b.late += e.Arrivals
			default:
				t.Fatalf("event %q, that has arrived at %s, was never sent", e.ID, name)
			}
		}
	}
	return nil
}

// left is an error unless the receivers' queues are empty, without a dead letter.
func (w *world) left(ctx context.Context, t *testing.T, p *play) error {
	pages, err := w.r.statusPages(ctx, t, p.k)
	if err != nil {
		return err
	}
	for _, page := range pages {
		for _, ep := range page.Endpoints {
			for _, s := range ep.Sinks {
				if s.Queued > 0 || s.DeadLetters > 0 || s.Dropped > 0 {
					return fmt.Errorf("sink %s has %d queued, %d dead letters, %d dropped", s.Name, s.Queued, s.DeadLetters, s.Dropped)
				}
			}
		}
	}
	return nil
}

// String is a line for the table.
func (b *books) String() string {
	text := fmt.Sprintf("%s: %s, half within %.0f ms and 99 %% within %.0f ms; every 200 delivered at both sinks", b.summary.Provider, said(b.summary), b.summary.P50, b.summary.P99)
	if b.taken > 0 {
		text += fmt.Sprintf("; %d of the unanswered were taken", b.taken)
	}
	return text + fmt.Sprintf("; %d delivered again", b.again+b.late)
}
