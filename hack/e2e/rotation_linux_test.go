package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
)

// The secrets of a rotation: what a Secret's entry is called, and its text.
const (
	newKey       = "z9y8x7wvutsr"
	newStream    = "not-a-real-stream-secret-after-rotation"
	newSocial    = "not-a-real-social-plus-secret-after-rotation"
	socialEntry  = "webhook"
	socialEntry2 = "webhook-2"
)

// rotation is one endpoint whose secret is rotated.
type rotation struct {
	*play
	// before and after are entries and secrets, as `ENTRY SECRET`.
	before, after string
	// straggler is a part of the provider that goes on signing with the old secret.
	straggler *player
	pulse     *pulse
}

// tryRotation holds that a signing secret is replaced without one refused event:
// both are good while both are in the Secret, and the old one is not any more when
// it is taken out.
func tryRotation(t *testing.T, r *rig) {
	w := newWorld(t, r, "e2e-rotation", "192.0.2.4", v1alpha1.QueueEphemeral)
	var all []*rotation
	pulse := newPulse(t)
	t.Cleanup(func() { pulse.end() })
	for _, p := range w.plays {
		o := &rotation{play: p, pulse: pulse, before: streamKey + " " + streamSecret, after: newKey + " " + newStream}
		if p.provider == socialPlus {
			o.before, o.after = socialEntry+" "+socialSecret, socialEntry2+" "+newSocial
		}
		o.straggler = newPlayer(t, p.host, p.provider, p.url, o.before)
		all = append(all, o)
	}
	for _, o := range all {
		o.begin(t, every)
		o.straggler.begin(t, 5*every)
	}
	both := func(do func(*rotation)) {
		for _, o := range all {
			do(o)
		}
	}
	r.must(t, "an entry is added to the Secret: receivers hold both, and nothing is refused", func(t *testing.T, line *row) {
		both(func(o *rotation) { o.more(t, 100) })
		both(func(o *rotation) { r.secret(t, o, o.before, o.after) })
		began := time.Now()
		both(func(o *rotation) {
			r.holds(t, o.k, o.before, o.after)
			line.note("%s: both held by both receivers after %s", o.provider, seconds(time.Since(began)))
		})
		both(func(o *rotation) { o.allTaken(t, o.player) })
	})
	r.must(t, "the provider goes over to the new secret, and some of it stays with the old: nothing is refused", func(t *testing.T, line *row) {
		both(func(o *rotation) { o.sign(t, o.after) })
		both(func(o *rotation) { o.more(t, 500); o.straggler.more(t, 100) })
		both(func(o *rotation) {
			o.allTaken(t, o.player)
			o.allTaken(t, o.straggler)
			r.used(t, o.k, o.before, o.after)
		})
		line.note("both entries used within the overlap")
	})
	var removed time.Time
	r.must(t, "the old entry is taken out: from then on it is refused with 401, and nothing of the new", func(t *testing.T, line *row) {
		both(func(o *rotation) { r.secret(t, o, o.after) })
		removed = time.Now()
		both(func(o *rotation) {
			r.holds(t, o.k, o.after)
			line.note("%s: held by no receiver after %s", o.provider, seconds(time.Since(removed)))
		})
		both(func(o *rotation) { o.straggler.more(t, 50) })
		both(func(o *rotation) { o.allTaken(t, o.player) })
	})
	r.step(t, "as sets: what was answered 200 is delivered, and nothing of what was refused", func(t *testing.T, line *row) {
		for _, o := range all {
			results, sum := o.end(t)
			old, oldSum := o.straggler.end(t)
			o.refusedOnly(t, line, old, removed)
			line.note("%s, both: %s", o.provider, said(sum))
			results = append(results, old...)
			b := w.account(t, o.play, results, oldSum)
			line.note("%s", b)
			unknown := 0 // those that were late may have been taken
			for _, r := range results {
				if late(&r) {
					unknown++
				}
			}
			if b.taken > unknown {
				t.Errorf("%s: %d events have arrived that were not answered 200, and only %d were late", o.provider, b.taken, unknown)
			}
		}
	})
}

// secret makes the endpoint's Secret hold these entries and no other.
func (r *rig) secret(t *testing.T, o *rotation, entries ...string) {
	t.Helper()
	var s corev1.Secret
	if err := r.kube.Get(t.Context(), key{Namespace: o.k.Namespace, Name: o.provider}, &s); err != nil {
		t.Fatal(err)
	}
	s.Data = map[string][]byte{}
	for _, e := range entries {
		name, secret, _ := strings.Cut(e, " ")
		s.Data[name] = []byte(secret)
	}
	if err := r.kube.Update(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
}

// entries are what each of the endpoint's receivers holds.
func (r *rig) entries(ctx context.Context, t *testing.T, k key, of func(used bool, name string) bool) ([][]string, error) {
	pages, err := r.statusPages(ctx, t, k)
	if err != nil {
		return nil, err
	}
	var all [][]string
	for _, page := range pages {
		for _, ep := range page.Endpoints {
			var names []string
			for _, e := range ep.Secret.Entries {
				if of(e.LastUsed != nil, e.Name) {
					names = append(names, e.Name)
				}
			}
			slices.Sort(names)
			all = append(all, names)
		}
	}
	return all, nil
}

func namesOf(entries []string) []string {
	var names []string
	for _, e := range entries {
		name, _, _ := strings.Cut(e, " ")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// holds waits until both receivers hold just these entries.
func (r *rig) holds(t *testing.T, k key, entries ...string) {
	t.Helper()
	want := namesOf(entries)
	eventually(t, takenUp, fmt.Sprintf("receivers of %s that hold %v", k, want), func(ctx context.Context) error {
		all, err := r.entries(ctx, t, k, func(bool, string) bool { return true })
		if err != nil {
			return err
		}
		for _, names := range all {
			if !slices.Equal(names, want) {
				return fmt.Errorf("one holds %v", names)
			}
		}
		if len(all) != 2 {
			return fmt.Errorf("there are %d receivers", len(all))
		}
		return nil
	})
}

// used waits until each of the entries has matched at a receiver.
func (r *rig) used(t *testing.T, k key, entries ...string) {
	t.Helper()
	eventually(t, soon, fmt.Sprintf("use of %v", namesOf(entries)), func(ctx context.Context) error {
		all, err := r.entries(ctx, t, k, func(used bool, _ string) bool { return used })
		if err != nil {
			return err
		}
		for _, name := range namesOf(entries) {
			if !slices.Contains(slices.Concat(all...), name) {
				return fmt.Errorf("%s is not used", name)
			}
		}
		return nil
	})
}

// allTaken fails the test if an event until now was refused, or its connection cut.
// One that was late was neither: on a busy machine some are, and the sets at the
// end account for them.
func (o *rotation) allTaken(t *testing.T, p *player) {
	t.Helper()
	all, err := p.done()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if !r.Success() && !late(&r) {
			t.Errorf("%s: an event that was sent %s was not taken: %s %d %s", p.provider, r.Started.Format("15:04:05.000"), r.Outcome, r.Status, r.Detail)
		}
	}
}

// refusedOnly notes when the old secret was first refused and last taken, and fails
// the test if anything was answered but 200 and 401, or was refused too early.
func (o *rotation) refusedOnly(t *testing.T, line *row, results []probe.Result, removed time.Time) {
	t.Helper()
	var first, last time.Time
	for _, r := range results {
		switch {
		case r.Success():
			last = r.Started
		case r.Outcome == probe.Answered && r.Status == http.StatusUnauthorized:
			if first.IsZero() {
				first = r.Started
			}
		case late(&r): // nobody knows what its answer was to be
		case broken([]probe.Result{r}, o.pulse.still()) > 0:
			t.Errorf("%s: an event with the old secret ended as %s %d", o.provider, r.Outcome, r.Status)
		}
	}
	if first.IsZero() || first.Before(removed.Add(-time.Second)) {
		t.Errorf("%s: the old secret was first refused at %s, and it was removed at %s", o.provider, first, removed)
	}
	line.note("%s: old secret first refused %s after its removal, last taken %s after", o.provider, seconds(first.Sub(removed)), seconds(last.Sub(removed)))
}
