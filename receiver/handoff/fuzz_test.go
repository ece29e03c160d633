package handoff

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// FuzzBatch reads whatever comes as a batch: it is refused, or it is what its
// contents are written as.
func FuzzBatch(f *testing.F) {
	e := &event.Event{ID: "id", Hook: "push", Type: "t", Subject: "s", Time: "2026-01-02T03:04:05Z", Attempt: 2, ContentType: "application/json",
		Headers: []event.Header{{Name: "X-A", Value: "b"}}, ReceivedAt: time.Unix(1, 2).UTC(), Replay: "r", ReplayedAt: time.Unix(3, 4).UTC(), Body: []byte("{}")}
	alive := []queue.TransferDelivery{{Sink: "app", Attempts: 3}, {Sink: "audit"}}
	dead := []queue.TransferDelivery{{Sink: "app", Attempts: 20, Dead: &queue.Death{Reason: "attempts", Answer: []byte("no"), At: time.Unix(3, 4).UTC()}}}
	for _, batch := range [][]queue.Transfer{nil, {{Event: e, Deliveries: alive}}, {{Event: e, Deliveries: dead}, {Sequence: 9, Deliveries: dead}, {Event: &event.Event{ID: "x"}, Deliveries: alive}}} {
		b := encode(batch)
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(b, 0))
	}
	f.Add([]byte{format, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, err := decode(bytes.Clone(b))
		if err != nil {
			return
		}
		again, err := decode(encode(batch))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(batch, again); diff != "" {
			t.Error(diff)
		}
		total := 0
		for i := range batch {
			total += size(&batch[i])
		}
		if n := len(encode(batch)); n > total+16 {
			t.Errorf("%d bytes, estimated %d", n, total)
		}
	})
}
