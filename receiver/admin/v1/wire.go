package v1

import (
	"encoding/json"
	"time"
)

// Bounds of requests and answers.
const (
	// DefaultLimit and MaxLimit bound the items of a page.
	DefaultLimit = 100
	MaxLimit     = 1000
	// MaxBody bounds the body of a POST, imports aside.
	MaxBody = 1 << 20
	// MaxIDs bounds what one POST names.
	MaxIDs = 1000
)

// Error is the body of every answer that is not a success.
type Error struct {
	// Error says what is wrong, and what to do.
	Error string `json:"error"`
	// Endpoints lists those of the process, where one of them must be named.
	Endpoints []string `json:"endpoints,omitempty"`
}

// Queue is what the queue of an endpoint holds.
type Queue struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Type is the queue's type, as the endpoint has it.
	Type                    string `json:"type"`
	QueuedBytes             int64  `json:"queuedBytes"`
	CapacityBytes           int64  `json:"capacityBytes"`
	DeadLetterBytes         int64  `json:"deadLetterBytes"`
	DeadLetterCapacityBytes int64  `json:"deadLetterCapacityBytes"`
	StoredEvents            int64  `json:"storedEvents"`
	StoredBytes             int64  `json:"storedBytes"`
	Quarantined             int64  `json:"quarantined"`
	QuarantinedBytes        int64  `json:"quarantinedBytes"`
	// FreeBytes is how much may be written before events are refused for want of
	// space; -1 if that is not known.
	FreeBytes int64 `json:"freeBytes"`
	// Unreadable counts the records that could not be read since the start.
	Unreadable int64 `json:"unreadable"`
	// Alerts lists what fills up: queue, deadLetters, disk.
	Alerts []string `json:"alerts"`
	Sinks  []Sink   `json:"sinks"`
}

// Sink is one sink's ledger and state. The first six count deliveries since the
// data directory was made: accepted = delivered + dead + dropped + handedOver +
// queued.
type Sink struct {
	Name       string `json:"name"`
	Accepted   int64  `json:"accepted"`
	Delivered  int64  `json:"delivered"`
	Dead       int64  `json:"dead"`
	Dropped    int64  `json:"dropped"`
	HandedOver int64  `json:"handedOver"`
	Queued     int64  `json:"queued"`
	// Replayed and Received count those of accepted that a replay made, and that
	// came from another queue.
	Replayed int64 `json:"replayed"`
	Received int64 `json:"received"`

	QueuedBytes int64 `json:"queuedBytes"`
	// Retrying counts the queued deliveries that have failed.
	Retrying     int64      `json:"retrying"`
	OldestQueued *time.Time `json:"oldestQueued,omitempty"`

	// State is ok, failing, pending, suspended, stopped, or removed for a sink that is
	// no longer listed. Reason says why it is not ok.
	State        string     `json:"state"`
	Reason       string     `json:"reason,omitempty"`
	Breaker      string     `json:"breaker,omitempty"`
	BreakerUntil *time.Time `json:"breakerUntil,omitempty"`
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`

	DeadLetters           int64 `json:"deadLetters"`
	DeadLetterBytes       int64 `json:"deadLetterBytes"`
	DeadLettersDropped    int64 `json:"deadLettersDropped"`
	DeadLettersReplayed   int64 `json:"deadLettersReplayed"`
	DeadLettersHandedOver int64 `json:"deadLettersHandedOver"`
}

// Header is one header with its value.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// DeadLetter is a delivery that gets no more attempts, and is kept. It is also a
// line of an export. Attributes that CloudEvents have are named as there, with
// the type in the provider's words.
type DeadLetter struct {
	// DeadLetter names it, as SINK/SEQUENCE. An import gives it another sequence.
	DeadLetter string `json:"deadLetter"`
	Sink       string `json:"sink"`
	// Reason says why it is dead, Attempts how many attempts were made before the
	// last.
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	DeadAt   time.Time `json:"deadAt"`
	// Size is how many bytes it takes.
	Size int64 `json:"size,omitempty"`
	// Unreadable means that the event's record is damaged: all below is missing, and
	// it cannot be replayed.
	Unreadable bool `json:"unreadable,omitempty"`

	ID              string `json:"id,omitempty"`
	Source          string `json:"source,omitempty"`
	Type            string `json:"type,omitempty"`
	Subject         string `json:"subject,omitempty"`
	Time            string `json:"time,omitempty"`
	DataContentType string `json:"datacontenttype,omitempty"`
	Hook            string `json:"hook,omitempty"`
	// Attempt is the provider's count of attempts.
	Attempt    int       `json:"attempt,omitempty"`
	ReceivedAt time.Time `json:"receivedAt,omitzero"`
	// Replay names the replay that made the delivery, at ReplayedAt.
	Replay     string    `json:"replay,omitempty"`
	ReplayedAt time.Time `json:"replayedAt,omitzero"`

	// What follows is there only when it is asked for.

	// Headers are the provider's headers that go to sinks.
	Headers []Header `json:"headers,omitempty"`
	// Answer is how the sink's last answer began.
	Answer       string `json:"answer,omitempty"`
	AnswerBase64 []byte `json:"answer_base64,omitempty"`
	// DataBase64 is the body, byte for byte. Data is the same for reading, if it is
	// JSON, and Text if it is other text.
	Data       json.RawMessage `json:"data,omitempty"`
	Text       string          `json:"text,omitempty"`
	DataBase64 []byte          `json:"data_base64,omitzero"`
}

// DeadLetterPage is a page of dead letters.
type DeadLetterPage struct {
	Items []DeadLetter `json:"items"`
	// Next is the cursor of the next page, or empty behind the last. A page may be
	// empty and have a next one: a filter may pass over much.
	Next string `json:"next,omitempty"`
}

// ReplayDeadLetters asks for deliveries of dead letters to be made again.
type ReplayDeadLetters struct {
	IDs []string `json:"ids"`
	// Replay names the replay; one is made up if it is empty.
	Replay string `json:"replay,omitempty"`
}

// Replayed says what a replay did.
type Replayed struct {
	// Replay is the replay's name; sinks get it with each event.
	Replay   string `json:"replay"`
	Replayed int    `json:"replayed"`
	// Missing counts what was not there (any more).
	Missing int `json:"missing"`
}

// DropDeadLetters asks for dead letters to be forgotten.
type DropDeadLetters struct {
	IDs []string `json:"ids"`
}

// Dropped says what was forgotten.
type Dropped struct {
	Dropped int `json:"dropped"`
	Missing int `json:"missing"`
}

// Imported says what an import did. It is also the body of the answer when an
// import could not go on; Error says why, then.
type Imported struct {
	Error string `json:"error,omitempty"`
	// Lines counts the lines that were dealt with: when an import could not go on,
	// those behind them are to be sent again.
	Lines  int `json:"lines"`
	Stored int `json:"stored"`
	// Known counts the dead letters that were imported before, within a day.
	Known   int `json:"known"`
	Refused int `json:"refused"`
	// Errors says what is wrong with lines that were refused: the first hundred.
	Errors []LineError `json:"errors,omitempty"`
}

// LineError says what is wrong with a line, counted from 1.
type LineError struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// Event is what is told of a stored event.
type Event struct {
	Sequence   uint64    `json:"sequence"`
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	Subject    string    `json:"subject,omitempty"`
	Time       string    `json:"time,omitempty"`
	Hook       string    `json:"hook"`
	ReceivedAt time.Time `json:"receivedAt"`
	// Replay names the replay that stored it again.
	Replay string `json:"replay,omitempty"`
	// Size is that of the body.
	Size int `json:"size"`
	// Sinks are those that it was stored for.
	Sinks []string `json:"sinks"`
}

// EventPage is a page of events.
type EventPage struct {
	Items []Event `json:"items"`
	Next  string  `json:"next,omitempty"`
}

// ReplayEvents asks for deliveries of stored events to be made again.
type ReplayEvents struct {
	// Replay names the replay; one is made up if it is empty.
	Replay string        `json:"replay,omitempty"`
	Events []EventReplay `json:"events"`
}

// EventReplay says to which sinks an event is to be delivered again.
type EventReplay struct {
	Sequence uint64   `json:"sequence"`
	Sinks    []string `json:"sinks"`
}

// Quarantined is a request that failed verification.
type Quarantined struct {
	Sequence   uint64    `json:"sequence"`
	ReceivedAt time.Time `json:"receivedAt"`
	// Source is the client's address.
	Source string `json:"source"`
	Hook   string `json:"hook"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Reason string `json:"reason"`
	// Size is that of the body.
	Size int `json:"size"`

	// What follows is there only when one is asked for.

	Query   string   `json:"query,omitempty"`
	Headers []Header `json:"headers,omitempty"`
	// Hidden lists headers whose values are likely to be secrets.
	Hidden []string `json:"hidden,omitempty"`
	// BodyBase64 is the body as it came over the wire; Text is the same if it is text.
	BodyBase64 []byte `json:"body_base64,omitzero"`
	Text       string `json:"text,omitempty"`
}

// QuarantinePage is a page of quarantined requests.
type QuarantinePage struct {
	Items []Quarantined `json:"items"`
	Next  string        `json:"next,omitempty"`
}

// Reverify asks for requests to be verified again: these, or all from the cursor
// on.
type Reverify struct {
	Sequences []uint64 `json:"sequences,omitempty"`
	All       bool     `json:"all,omitempty"`
	Cursor    string   `json:"cursor,omitempty"`
}

// What became of a request that was verified again.
const (
	ReverifiedQueued    = "queued"    // its event is stored, and the request is no longer in quarantine
	ReverifiedDuplicate = "duplicate" // the event was stored already; it is no longer in quarantine
	ReverifiedFailing   = "failing"   // it stays
	ReverifiedMissing   = "missing"   // it is not there (any more)
	ReverifiedLater     = "later"     // it could not be stored now; try again
)

// Reverified says what became of one request.
type Reverified struct {
	Sequence uint64 `json:"sequence"`
	Result   string `json:"result"`
	Reason   string `json:"reason,omitempty"`
}

// ReverifyPage says what became of requests.
type ReverifyPage struct {
	Results []Reverified `json:"results"`
	// Next is the cursor with which to go on, if there are more.
	Next string `json:"next,omitempty"`
}
