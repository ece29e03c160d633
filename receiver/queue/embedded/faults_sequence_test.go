package embedded_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

// TestFaultRefusedReplay refuses a replay, and has a sink look past the place where
// it would have stood. An event that comes after a restart is delivered all the
// same.
func TestFaultRefusedReplay(t *testing.T) {
	fs := vfs.NewMem()
	q, c := ready(t, embedded.Options{Dir: "q", FS: fs})
	store(t, q, newEvent("first"), byID, queue.Stored)
	c.Ack(lease(t, c))
	store(t, q, newEvent("second"), byID, queue.Stored)
	q.SetLimits(queue.Limits{Capacity: 1})
	replays := []queue.EventReplay{{Sequence: 1, Sinks: []string{"app"}}}
	if _, err := q.Replay(t.Context(), replays, "again"); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("Replay = %v", err)
	}
	c.Ack(lease(t, c))
	q.SetLimits(queue.Limits{})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q, c = ready(t, embedded.Options{Dir: "q", FS: fs})
	store(t, q, newEvent("third"), byID, queue.Stored)
	if d := lease(t, c); d.Event.ID != "third" {
		t.Errorf("%q was leased", d.Event.ID)
	}
}
