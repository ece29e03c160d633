package queue

import (
	"context"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

// DeadLetterID names a dead letter.
type DeadLetterID struct {
	Sink     string
	Sequence uint64
}

// DeadLetter is a delivery that ended as dead, and is kept.
type DeadLetter struct {
	DeadLetterID
	// Event is the event; nil if its record could not be read.
	Event *event.Event
	// Attempts is how many attempts had been made before the last.
	Attempts int
	// Reason says why it is dead, Answer how the sink's last answer began.
	Reason string
	Answer []byte
	// DeadAt is when it died.
	DeadAt time.Time
	// Size is how many bytes it takes.
	Size int64
}

// DeadLetters keeps deliveries that ended as dead until a person decides about
// them. Those of sinks that are no longer listed are kept too.
type DeadLetters interface {
	// DeadLetters calls f with the dead letters in the order of their sinks' names
	// and their sequences, from the first behind after on, until f returns false.
	// The zero id is before all. f may keep what it is given, and may call the queue.
	DeadLetters(after DeadLetterID, f func(*DeadLetter) bool) error

	// DeadLetter returns one, or ErrNotFound.
	DeadLetter(DeadLetterID) (*DeadLetter, error)

	// ReplayDeadLetters queues the events of dead letters again, for their sinks,
	// marked with replay and the time of now, and forgets the dead letters, in one
	// atomic step that is synced when it returns. Ids that are not there (any more), and dead letters
	// without an event, are left out; n is how many were not. The error is
	// ErrUnknownSink if a sink is no longer listed, ErrFull or ErrNoSpace if there is
	// no room for all of them; then nothing has changed.
	ReplayDeadLetters(ctx context.Context, ids []DeadLetterID, replay string) (n int, err error)

	// DropDeadLetters forgets dead letters. n is how many there were.
	DropDeadLetters(ctx context.Context, ids []DeadLetterID) (n int, err error)
}

// StoredEvent is an event that is still stored, finished or not.
type StoredEvent struct {
	Sequence uint64
	Event    *event.Event
	// Sinks are the names of those that it was stored for.
	Sinks []string
}

// EventReplay says for which sinks an event is to be replayed.
type EventReplay struct {
	Sequence uint64
	Sinks    []string
}

// Events gives access to what is stored, finished events included, as long as
// retention and capacity keep those.
type Events interface {
	// Events calls f with the events that were received at since or later and before
	// until (zero: no bound), in the order of their sequences from the first behind
	// after on, until f returns false. f may keep what it is given, and may call the
	// queue. Records that cannot be read are left out.
	Events(after uint64, since, until time.Time, f func(*StoredEvent) bool) error

	// Replay queues events again, marked with replay and the time of now, in one
	// atomic step that is synced when it returns. Events that are gone are left out; n is how many were
	// not. Errors are those of ReplayDeadLetters.
	Replay(ctx context.Context, replays []EventReplay, replay string) (n int, err error)
}

// Transfer is an event with those of its deliveries that go from one queue to
// another.
type Transfer struct {
	// Sequence is the event's place in the queue that it comes from.
	Sequence   uint64
	Event      *event.Event
	Deliveries []TransferDelivery
}

// TransferDelivery is one delivery on its way to another queue.
type TransferDelivery struct {
	Sink string
	// Attempts is how many attempts were made.
	Attempts int
	// Dead is set for a dead letter.
	Dead *Death
}

// Death says why a delivery is dead.
type Death struct {
	Reason string
	Answer []byte
	At     time.Time
}

// Transfers moves what is left in one queue to another one.
type Transfers interface {
	// Unfinished calls f with the events that have deliveries that are queued and
	// not leased, and then with dead letters, one each, until f returns false. f may
	// keep what it is given, and may call Forget.
	Unfinished(f func(*Transfer) bool) error

	// Forget ends deliveries as handed over, and forgets dead letters that were. It
	// returns when that is synced.
	Forget(context.Context, []Transfer) error

	// Receive stores transfers of another queue in one atomic step and returns after
	// the sync. One that was received before, within a day, is known and not stored
	// again: n is how many were stored. It is known by the event's id, body and
	// replay, its sinks, and the time of death of a dead letter. Dead letters are kept
	// for sinks that are not listed too. Errors are those of Append.
	Receive(ctx context.Context, transfers []Transfer) (n int, err error)
}

// Quarantined is a request that failed verification.
type Quarantined struct {
	// Sequence names it.
	Sequence uint64
	// ReceivedAt is when it came, Source the client's address.
	ReceivedAt time.Time
	Source     string
	// Hook is the hook at whose path it came; Method, Path and Query are the
	// request's own.
	Hook, Method, Path, Query string
	// Reason says what was wrong.
	Reason string
	// Headers are the request's, in a fixed order.
	Headers []event.Header
	// Body is the bytes as they came over the wire.
	Body []byte
}

// Quarantine keeps the newest requests that failed verification, within
// Limits.Quarantine, for a person to look at.
type Quarantine interface {
	// Isolate keeps a request. It returns before that is on disk, and drops it when
	// too many wait: what is quarantined was never accepted. It gives q.Sequence no
	// heed.
	Isolate(q *Quarantined)

	// Quarantined calls f with the requests behind after in their order until f
	// returns false. f may keep what it is given.
	Quarantined(after uint64, f func(*Quarantined) bool) error

	// DropQuarantined forgets requests.
	DropQuarantined(ctx context.Context, sequences []uint64) error
}
