// Package queue is the durable log of events and of the state of their
// deliveries. This file is the contract; package embedded keeps it on a local
// disk, and queuetest checks any engine against it.
//
// # What is promised
//
//   - When Append returns Stored, the event, its dedup key and its deliveries are
//     synced to disk, in one atomic step. A crash at any moment before that leaves
//     either all of it or nothing, and the caller has not been told.
//   - When Append returns Duplicate, the event that it repeats is synced.
//   - A delivery is, for ever, in exactly one of these states: queued (which
//     includes leased and waiting for a retry), delivered, dead, dropped, or handed
//     over to another queue. As sets of ids and per sink:
//     accepted = delivered + dead + queued + dropped + handed over.
//   - A replay makes new deliveries, which are accepted like those of an event that
//     comes in. The dead letter that it was made from is gone, and stays counted as
//     dead.
//   - A lease is a promise of this process only. After a restart every delivery
//     that was not acked is leased again: delivery is at least once.
//   - An Ack, Nack or DeadLetter is applied in memory when it returns, and is on
//     disk with the next sync or after at most the engine's flush interval. A
//     crash in between repeats deliveries and attempts; it loses none.
//   - A sink's consumers see nothing of other sinks': no lease, ack or wait of one
//     holds up another.
//   - An engine whose disk fails to sync calls its Fatal function and never
//     returns Stored afterwards.
//
// Everything here may be called from many goroutines at once.
package queue

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

// Errors of Append. Each means that nothing was stored.
var (
	// ErrFull means that capacity, or that of the dead letters, is used up.
	ErrFull = errors.New("queue is full")
	// ErrNoSpace means that the disk is so full that the log might not be written.
	ErrNoSpace = errors.New("disk has too little free space")
	// ErrClosed means that the queue is closed or closing.
	ErrClosed = errors.New("queue is closed")
)

// ErrUnknownSink means that a sink was named that SetSinks did not list.
var ErrUnknownSink = errors.New("unknown sink")

// ErrNotFound means that there is no such dead letter, event or quarantined
// request (any more).
var ErrNotFound = errors.New("not found")

// Outcome is what Append did.
type Outcome int

const (
	// Stored means that the event is new and on disk.
	Stored Outcome = iota + 1
	// StoredSuffixed means Stored, under another id: the id was in use within the
	// window by an event with another body. The id got a suffix made of the body's
	// digest, so a repetition of this event is recognised too.
	StoredSuffixed
	// Duplicate means that the same event is on disk already.
	Duplicate
)

// Dedup says by what an event is recognised when it comes again.
type Dedup struct {
	// Key is what is compared; NoDedup stores every event.
	Key DedupKey
	// Window is how long an event is remembered, at least.
	Window time.Duration
}

// DedupKey is what is compared to recognise an event.
type DedupKey int

// The dedup keys.
const (
	NoDedup DedupKey = iota
	ByID             // same id and same body
	ByBody           // same body
)

// Limits bounds what is kept. It may be changed while the queue is in use.
type Limits struct {
	// Capacity bounds the bytes of queued deliveries, summed over the sinks, and,
	// apart from that, the bytes of all stored events: finished ones are evicted,
	// oldest first, when those exceed it.
	Capacity int64
	// Retention is how long finished events are kept.
	Retention time.Duration
	// DeadLetterCapacity bounds the bytes of dead letters.
	DeadLetterCapacity int64
	// DropOldestDeadLetter makes room for a new dead letter by dropping the oldest
	// ones; else Append refuses when dead letters are full.
	DropOldestDeadLetter bool
	// DropOldest lists the sinks whose oldest queued deliveries are dropped when
	// Capacity is reached, those of the sink with the most bytes first. Append
	// refuses when that makes too little room.
	DropOldest []string
	// BySubject lists the sinks that get events of the same hook and subject in the
	// order in which they were stored, retries included: a delivery is not leased
	// before every earlier one of its subject has ended. Events without a subject
	// are in no order.
	BySubject []string
	// Quarantine bounds what is kept of requests that failed verification.
	Quarantine QuarantineLimits
}

// QuarantineLimits bounds what is kept of requests that failed verification: the
// newest ones. All zero means that none is kept, and those that are kept go.
type QuarantineLimits struct {
	Requests int
	Bytes    int64
	Age      time.Duration
}

// Queue is one receiver's queue.
type Queue interface {
	DeadLetters
	Events
	Transfers
	Quarantine

	// Append stores an event for the named sinks; no sinks at all is allowed (the
	// event is finished at once). It returns after the sync. It keeps no reference
	// to e or e.Body. ctx bounds the wait of the caller only: on its end the
	// outcome is unknown, as with a lost connection.
	Append(ctx context.Context, e *event.Event, d Dedup, sinks []string) (Outcome, error)

	// SetSinks says which sinks there are. A new one starts with events that are
	// appended from now on. What is queued for one that is no longer listed is
	// dropped and counted as such.
	SetSinks(names []string) error

	// SetLimits replaces the limits.
	SetLimits(Limits)

	// Consumer returns the sink's side of the queue: the same one every time.
	Consumer(sink string) (Consumer, error)

	// Stats returns what the queue holds, by sink.
	Stats() Stats

	// Close syncs and closes. Leases that are out are given back. Append and Lease
	// return ErrClosed from then on.
	Close() error
}

// Consumer takes one sink's deliveries. Any number of goroutines may lease.
type Consumer interface {
	// Lease waits for a delivery that is due and takes it: of new ones the oldest, of
	// retries the one that is due longest. Where both wait, at most half of the leases
	// are for retries, so that neither keeps the other from going on. No other Lease
	// gets it until it is nacked or released. It returns ctx's error or ErrClosed.
	Lease(ctx context.Context) (*Delivery, error)

	// Ack ends a leased delivery as delivered.
	Ack(*Delivery)

	// Nack gives a leased delivery back: it is leased again at until or soon after,
	// with Attempts one higher. reason is kept with it (bounded to 512 bytes).
	Nack(d *Delivery, until time.Time, reason string)

	// Release gives a leased delivery back as it was: this was no attempt.
	Release(*Delivery)

	// DeadLetter ends a leased delivery as dead: it is kept with the reason and the
	// sink's last answer (bounded to 512 and 2048 bytes), and is not leased again.
	DeadLetter(d *Delivery, reason string, answer []byte)
}

// Delivery is one event bound for one sink, leased.
type Delivery struct {
	Event *event.Event
	// Sequence is the event's place in the log, from 1, increasing.
	Sequence uint64
	// Attempts is how many attempts were made before this one, in other queues
	// included.
	Attempts int
}

// Stats is what a queue holds.
type Stats struct {
	// Events and Bytes count the stored events, finished ones included.
	Events, Bytes int64
	// Queued counts the bytes of queued deliveries over all sinks.
	QueuedBytes int64
	// Capacity is the limit of QueuedBytes.
	Capacity int64
	// DeadLetterBytes and DeadLetterCapacity are the same for dead letters.
	DeadLetterBytes, DeadLetterCapacity int64
	// Quarantined and QuarantinedBytes count the requests that are kept although
	// they failed verification.
	Quarantined, QuarantinedBytes int64
	// QuarantineMissed counts the requests that were not kept since the queue was
	// opened, because too many waited to be written or they were too large.
	QuarantineMissed int64
	// FreeBytes is how many bytes may be written before Append returns ErrNoSpace;
	// -1 if that is not known.
	FreeBytes int64
	// MinFree is the free space that Append leaves; FreeBytes is what is above it.
	MinFree int64
	// TornLogBytes counts the bytes at the end of the log, or of its list of tables,
	// that could not be read when the queue was opened: what a power cut cut off, or
	// damage. Synced events are in it only if the disk is damaged.
	TornLogBytes int64
	// BackgroundErrors counts what the engine could not write in the background since
	// the queue was opened, and tries again.
	BackgroundErrors int64
	// Unreadable counts the records that could not be read since the queue was
	// opened. A delivery of one that is known to be for a sink becomes a dead letter;
	// where not even that can be read, it is counted as dropped.
	Unreadable int64
	// Sinks holds the figures of each sink that ever was.
	Sinks map[string]SinkStats
}

// SinkStats is one sink's ledger. The first six count deliveries since the data
// directory was made: Accepted = Delivered + Dead + Dropped + HandedOver + Queued.
type SinkStats struct {
	Accepted, Delivered, Dead, Dropped, HandedOver, Queued int64
	// Replayed counts those of Accepted that a replay made, and Received those that
	// came from another queue.
	Replayed, Received int64
	// QueuedBytes is the size of the queued deliveries.
	QueuedBytes int64
	// Retrying counts the queued deliveries that have failed at least once.
	Retrying int64
	// DeadLetters and DeadLetterBytes count the dead letters that are kept.
	DeadLetters, DeadLetterBytes int64
	// DeadLettersDropped counts those that made room for newer ones or were dropped
	// by a person, DeadLettersReplayed those that were replayed, and
	// DeadLettersHandedOver those that went to another queue. In the ledger all of
	// them stay dead.
	DeadLettersDropped, DeadLettersReplayed, DeadLettersHandedOver int64
	// OldestQueued is when the oldest queued event was received or, if that was later,
	// replayed; zero if none is.
	OldestQueued time.Time
	// Removed means that the sink is no longer listed.
	Removed bool
}
