package handoff_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/handoff"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// Everything goes to the sister as it is, attempts and dead letters included, and
// is forgotten.
func TestHandOver(t *testing.T) {
	t.Parallel()
	q := full(700, "app", "audit")
	dead := queue.Transfer{Sequence: 9999, Event: &event.Event{ID: "dead", Body: []byte("x"), ReceivedAt: time.Unix(5, 6).UTC()},
		Deliveries: []queue.TransferDelivery{{Sink: "gone", Attempts: 20, Dead: &queue.Death{Reason: "attempts", Answer: []byte("no"), At: time.Unix(7, 8).UTC()}}}}
	q.left = append(q.left, dead)
	want := slices.Clone(q.left)
	s, c := listen(t, &fake{}, nil), newCounts()
	got, err := handOver(t, soon, options(q, c, s.addr))
	if err != nil || got != (handoff.Result{Deliveries: 1400, DeadLetters: 1}) {
		t.Errorf("HandOver = %+v, %v", got, err)
	}
	if rest := q.rest(); len(rest) > 0 {
		t.Errorf("%d deliveries are left", len(rest))
	}
	if diff := cmp.Diff(want, s.queue.got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
	// begin, three batches, the end
	if c.of("sent:acknowledged") != 5 || s.of("asked:") != 5 {
		t.Errorf("sender: %v, sister: %v", c.n, s.n)
	}
}

// An event over the usual size of a batch goes alone; one over the sister's limit
// stays, and holds up nothing.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	q := full(4, "app")
	q.left[0].Event.Body = bytes.Repeat([]byte("x"), 9<<20)
	q.left[1].Event.Body = bytes.Repeat([]byte("y"), 6<<20)
	s := listen(t, &fake{}, func(o *handoff.ReceiverOptions) { o.MaxBody = func() int64 { return 6 << 20 } })
	_, err := handOver(t, soon, options(q, newCounts(), s.addr))
	if !errors.Is(err, handoff.ErrNotTaken) {
		t.Errorf("err = %v, want ErrNotTaken", err)
	}
	if rest := q.rest(); !slices.Equal(rest, []string{"e-00000@app"}) {
		t.Errorf("left: %v", rest)
	}
}

// Sisters agree on a secret that both hold, while it is rotated.
func TestRotation(t *testing.T) {
	t.Parallel()
	q := full(3, "app")
	s := listen(t, &fake{}, nil)
	o := options(q, newCounts(), s.addr)
	o.Secrets = []handoff.Secret{other, secret}
	if _, err := handOver(t, soon, o); err != nil || len(q.rest()) > 0 {
		t.Errorf("HandOver: %v, left %v", err, q.rest())
	}
}

// Whatever keeps one sister from taking it, the next one is asked; what none
// takes is left.
func TestSistersThatDoNot(t *testing.T) {
	t.Parallel()
	refusing := func(err error) func(*handoff.ReceiverOptions) {
		return func(o *handoff.ReceiverOptions) {
			o.Receive = func(context.Context, []queue.Transfer) (int, error) { return 0, err }
		}
	}
	for name, tt := range map[string]struct {
		edit    func(*handoff.ReceiverOptions)
		prepare func(*sisterRig)
		counted string
	}{
		"draining":  {prepare: func(s *sisterRig) { s.receiver.Drain() }, counted: "asked:draining"},
		"not ready": {edit: func(o *handoff.ReceiverOptions) { o.NotReady = func() error { return errors.New("no") } }, counted: "asked:not-ready"},
		"full":      {edit: refusing(queue.ErrFull), counted: "asked:full"},
		"no space":  {edit: refusing(queue.ErrNoSpace), counted: "asked:full"},
		"closed":    {edit: refusing(queue.ErrClosed), counted: "asked:draining"},
		"failing":   {edit: refusing(errors.New("disk on fire")), counted: "asked:failed"},
		"not there": {prepare: func(s *sisterRig) { s.stop() }},
		"other secret": {edit: func(o *handoff.ReceiverOptions) {
			o.Secrets = func() []handoff.Secret { return []handoff.Secret{other} }
		}, counted: "asked:unproven"},
		"no secret": {edit: func(o *handoff.ReceiverOptions) { o.Secrets = func() []handoff.Secret { return nil } }, counted: "asked:not-ready"},
		"other endpoint": {edit: func(o *handoff.ReceiverOptions) { o.Endpoint.Name = "feed" },
			counted: "asked:foreign"},
		"clock behind": {edit: func(o *handoff.ReceiverOptions) {
			o.Now = func() time.Time { return time.Now().Add(-6 * time.Minute) }
		}, counted: "asked:stale"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := full(300, "app")
			bad := listen(t, &fake{}, tt.edit)
			if tt.prepare != nil {
				tt.prepare(bad)
			}
			if _, err := handOver(t, brief, options(q, newCounts(), bad.addr)); !errors.Is(err, handoff.ErrNoSister) && !errors.Is(err, handoff.ErrNotTaken) {
				t.Errorf("err = %v", err)
			}
			if n := len(q.rest()); n != 300 {
				t.Errorf("%d are left, want all", n)
			}
			good := listen(t, &fake{}, nil)
			if _, err := handOver(t, soon, options(q, newCounts(), bad.addr, good.addr)); err != nil || len(good.queue.received()) != 300 {
				t.Errorf("HandOver: %v; the good sister has %d", err, len(good.queue.received()))
			}
			if tt.counted != "" && bad.of(tt.counted) == 0 {
				t.Errorf("the sister counted %v", bad.n)
			}
			if len(bad.queue.received()) > 0 {
				t.Error("the bad sister stored something")
			}
		})
	}
}

// Without a secret that is shared there is nothing to prove anything by, and that
// is said at once.
func TestNoSecret(t *testing.T) {
	t.Parallel()
	q := full(1, "app")
	for name, secrets := range map[string][]handoff.Secret{"none": nil, "empty": {{Name: "x"}}} {
		o := options(q, newCounts())
		o.Secrets = secrets
		if _, err := handOver(t, soon, o); !errors.Is(err, handoff.ErrNoSecret) {
			t.Errorf("%s: err = %v, want ErrNoSecret", name, err)
		}
	}
}

// A sister with little room gets as much as she has room for; the others get the
// rest.
func TestLittleRoom(t *testing.T) {
	t.Parallel()
	q := full(256, "app")
	small := listen(t, &fake{}, nil)
	small.queue.err = func(batch []queue.Transfer) error {
		if len(small.queue.got)+len(batch) > 100 {
			return queue.ErrFull
		}
		return nil
	}
	if _, err := handOver(t, brief, options(q, newCounts(), small.addr)); !errors.Is(err, handoff.ErrNoSister) {
		t.Errorf("err = %v, want ErrNoSister", err)
	}
	large := listen(t, &fake{}, nil)
	if _, err := handOver(t, soon, options(q, newCounts(), small.addr, large.addr)); err != nil {
		t.Error(err)
	}
	if a, b := len(small.queue.received()), len(large.queue.received()); a != 100 || b != 156 {
		t.Errorf("the sisters have %d and %d", a, b)
	}
}

// What is for a sink that the sister does not know is found out and stays; with a
// sister that knows it, it goes.
func TestUnknownSink(t *testing.T) {
	t.Parallel()
	q := full(600, "app", "audit", "new", "third")
	c := newCounts()
	old := listen(t, &fake{sinks: []string{"app", "audit", "third"}}, nil)
	got, err := handOver(t, soon, options(q, c, old.addr))
	if !errors.Is(err, handoff.ErrNotTaken) || got.Deliveries != 1800 {
		t.Errorf("HandOver = %+v, %v", got, err)
	}
	if n := old.of("asked:unknown-sink"); n > 4 {
		t.Errorf("it took %d refusals to find out", n)
	}
	if rest := q.rest(); len(rest) != 600 || slices.ContainsFunc(rest, func(s string) bool { return !strings.HasSuffix(s, "@new") }) {
		t.Errorf("%d are left", len(rest))
	}
	q2 := full(100, "app", "new")
	young := listen(t, &fake{sinks: []string{"app", "new"}}, nil)
	if _, err := handOver(t, soon, options(q2, c, old.addr, young.addr)); err != nil || len(q2.rest()) > 0 {
		t.Errorf("HandOver: %v, %d left", err, len(q2.rest()))
	}
}

// One transfer at which every sister fails holds up no other.
func TestPoison(t *testing.T) {
	t.Parallel()
	q := full(8, "app")
	s := listen(t, &fake{}, nil)
	s.queue.err = func(batch []queue.Transfer) error {
		if slices.ContainsFunc(batch, func(t queue.Transfer) bool { return t.Event.ID == "e-00003" }) {
			return errors.New("it cannot be written")
		}
		return nil
	}
	_, err := handOver(t, soon, options(q, newCounts(), s.addr))
	if !errors.Is(err, handoff.ErrNotTaken) || !slices.Equal(q.rest(), []string{"e-00003@app"}) {
		t.Errorf("HandOver: %v, left %v", err, q.rest())
	}
}

// A transfer whose event cannot be read any more stays; as a dead letter it goes.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	q := full(3, "app")
	q.left[1].Event = nil
	q.left = append(q.left, queue.Transfer{Sequence: 77, Deliveries: []queue.TransferDelivery{{Sink: "app", Dead: &queue.Death{Reason: "damaged"}}}})
	s := listen(t, &fake{}, nil)
	if _, err := handOver(t, soon, options(q, newCounts(), s.addr)); !errors.Is(err, handoff.ErrNotTaken) || len(s.queue.got) != 3 {
		t.Errorf("HandOver: %v, sister has %v", err, s.queue.got)
	}
}

// A sister that dies in the middle has what she acknowledged; another gets the
// rest.
func TestSisterDies(t *testing.T) {
	t.Parallel()
	q := full(2000, "app")
	dying, heir := listen(t, &fake{}, nil), listen(t, &fake{}, nil)
	var once sync.Once
	dying.seen = func(what string) {
		if dying.of("received:256") == 3 {
			once.Do(func() { go dying.stop() })
		}
	}
	gone := false
	o := options(q, newCounts())
	o.Sisters = func(context.Context) ([]netip.AddrPort, error) {
		if !gone {
			gone = true
			return []netip.AddrPort{dying.addr}, nil
		}
		return []netip.AddrPort{dying.addr, heir.addr}, nil
	}
	if _, err := handOver(t, soon, o); err != nil {
		t.Fatal(err)
	}
	all := slices.Compact(slices.Sorted(slices.Values(append(dying.queue.received(), heir.queue.received()...))))
	if len(all) != 2000 || len(heir.queue.received()) == 0 {
		t.Errorf("%d of 2000 have arrived, %d at the heir", len(all), len(heir.queue.received()))
	}
}

// Sessions are few, and are there again after they were left.
func TestManySenders(t *testing.T) {
	t.Parallel()
	s := listen(t, &fake{}, nil)
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			q := full(300, fmt.Sprint("sink-", i))
			if _, err := handOver(t, soon, options(q, newCounts(), s.addr)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(s.queue.received()); n != 24*300 {
		t.Errorf("received %d", n)
	}
}
