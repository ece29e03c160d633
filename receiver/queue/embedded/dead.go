package embedded

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// DeadLetter is a delivery that ended as dead, and is kept.
type DeadLetter struct {
	// Sink is the sink's name.
	Sink string
	// Sequence is the event's place in the log; with Sink it names the dead letter.
	Sequence uint64
	// Event is the event; nil if its record could not be read.
	Event *event.Event
	// Attempts is how many attempts had been made before the last.
	Attempts int
	// Reason says why it is dead, Answer how the sink's last answer began.
	Reason string
	Answer []byte
	// DeadAt is when it died.
	DeadAt time.Time
}

// maxDeadLetters bounds what DeadLetters returns.
const maxDeadLetters = 1000

// DeadLetters returns a sink's dead letters in the order of their events, from the
// first one behind sequence after on: at most limit, and at most 1000.
func (q *Queue) DeadLetters(sink string, after uint64, limit int) ([]DeadLetter, error) {
	for _, s := range *q.sinks.Load() {
		if s.name == sink {
			return q.lettersOf(s, after, min(limit, maxDeadLetters))
		}
	}
	return nil, fmt.Errorf("listing dead letters of %q: %w", sink, queue.ErrUnknownSink)
}

func (q *Queue) lettersOf(s *sink, behind uint64, limit int) (list []DeadLetter, err error) {
	err = q.read(func() error {
		it, err := q.db.NewIter(&pebble.IterOptions{
			LowerBound: appendPairKey(nil, kindDead, s.ordinal, behind+1),
			UpperBound: after(appendSinkKey(nil, kindDead, s.ordinal)),
		})
		if err != nil {
			return err
		}
		for ok := it.First(); ok && len(list) < limit; ok = it.Next() {
			list = append(list, readLetter(s.name, it))
		}
		return it.Close()
	})
	if err != nil {
		return nil, fmt.Errorf("listing dead letters of %q: %w", s.name, err)
	}
	return list, nil
}

// readLetter reads the dead letter at it. One that cannot be read is listed all
// the same, with the reason why not.
func readLetter(sink string, it *pebble.Iterator) DeadLetter {
	var d DeadLetter
	raw, err := it.ValueAndErr()
	if err == nil {
		d, err = parseDeadLetter(raw)
	}
	if err != nil {
		d = DeadLetter{Reason: "dead letter cannot be read: " + err.Error()}
	}
	d.Sink, d.Sequence = sink, lastSequence(it.Key())
	return d
}
