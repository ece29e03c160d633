package queuetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

func checkDropOldestQueued(t *testing.T, b *bench) {
	b.setSinks(app, audit)
	l := roomy
	l.Capacity, l.DropOldest = 64<<10, []string{app}
	b.q.SetLimits(l)
	ids := numbered("e", 40)
	b.appendEvent(sized(ids[0], 4000), byID, queue.Stored, app)
	b.appendEvent(sized(ids[1], 4000), byID, queue.Stored, app)
	held := b.leaseID(app, ids[0])
	b.consumer(app).Nack(b.leaseID(app, ids[1]), time.Now().Add(time.Hour), "again")
	for _, id := range ids[2:] {
		b.appendEvent(sized(id, 4000), byID, queue.Stored, app)
	}
	if st := b.q.Stats(); st.QueuedBytes > st.Capacity || st.QueuedBytes < st.Capacity*3/4 {
		t.Errorf("%d of %d bytes are used", st.QueuedBytes, st.Capacity)
	}
	b.consumer(app).Ack(held)
	queued := int(b.q.Stats().Sinks[app].Queued)
	b.wantLedger(app, ledger{accepted: 40, delivered: 1, dropped: int64(39 - queued), queued: int64(queued)})
	b.restart()
	b.q.SetLimits(l)
	if diff := cmp.Diff(ids[40-queued:], b.rest(app)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	b.checkDropsNothingInVain(l)
}

// checkDropsNothingInVain fills the queue with what may not be dropped.
func (b *bench) checkDropsNothingInVain(l queue.Limits) {
	b.t.Helper()
	for n := 0; ; n++ {
		_, err := b.q.Append(b.t.Context(), sized(fmt.Sprintf("full-%d", n), 4000), queue.Dedup{}, []string{audit})
		if errors.Is(err, queue.ErrFull) {
			break
		}
		if err != nil || n > 100 {
			b.t.Fatalf("Append number %d: %v", n, err)
		}
	}
	before := b.q.Stats().Sinks
	if _, err := b.q.Append(b.t.Context(), sized("big", int(l.Capacity)), byID, []string{app}); !errors.Is(err, queue.ErrFull) {
		b.t.Errorf("Append of an event larger than the capacity: %v", err)
	}
	if diff := cmp.Diff(before, b.q.Stats().Sinks); diff != "" {
		b.t.Errorf("something was dropped in vain (-before +after):\n%s", diff)
	}
}

// checkRefused has the queue refuse events: nothing of them is kept, so that each
// is taken when it comes again, and comes once.
func checkRefused(t *testing.T, b *bench) {
	l := roomy
	l.Capacity = 16 << 10
	b.q.SetLimits(l)
	b.fill(4000, app)
	ids := numbered("refused", 20)
	for _, id := range ids {
		if _, err := b.q.Append(t.Context(), sized(id, 4000), byID, []string{app}); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("Append(%q) = %v, want ErrFull", id, err)
		}
	}
	before := b.q.Stats()
	b.restart()
	after := b.q.Stats()
	if after.Events != before.Events || after.Sinks[app].Accepted != before.Sinks[app].Accepted {
		t.Errorf("%d events and %d deliveries, and after a restart %d and %d", before.Events, before.Sinks[app].Accepted, after.Events, after.Sinks[app].Accepted)
	}
	b.rest(app)
	b.q.SetLimits(roomy)
	for _, id := range ids {
		b.appendEvent(sized(id, 4000), byID, queue.Stored, app)
	}
	if diff := cmp.Diff(ids, b.rest(app)); diff != "" {
		t.Errorf("what came (-want +got):\n%s", diff)
	}
}
