// Package sinktest checks any sink against the contract of package sink. A new
// kind of sink needs one call of Run in its tests.
package sinktest

import (
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// Source and TypePrefix are what a Harness makes its sinks with.
const (
	Source     = "/namespaces/community/webhookendpoints/chat"
	TypePrefix = "dev.fairlead.test."
)

// Behaviour is how the system behind a sink treats events.
type Behaviour int

// The behaviours. A system begins with Accept.
const (
	Accept        Behaviour = iota // takes each event
	RefuseForNow                   // refuses in a way that asks for another attempt
	RefuseForGood                  // refuses in a way that no attempt could mend
	Hang                           // takes its time, until the test ends or the behaviour changes
	Gone                           // cannot be reached at all
)

// Harness makes sinks of one kind.
type Harness struct {
	// Open makes a sink with Source and TypePrefix, and the system behind it, and
	// takes both down when the test ends.
	Open func(t *testing.T) *Fixture
}

// Fixture is a sink and what a test needs to know of the system behind it.
type Fixture struct {
	Sink sink.Sink
	// Behave changes the system's behaviour for events that come from now on, and
	// reports whether this kind of system can behave so.
	Behave func(Behaviour) bool
	// Received returns the events that the system has taken, in any order.
	Received func() []Received
	// Secrets are what the sink was configured with and must not tell: its URL, its
	// host, the values of its headers.
	Secrets []string
}

// Received is an event as the system behind a sink read it, with a reader other
// than ours.
type Received struct {
	ID, Source, Type, Subject, ContentType string
	// Attempt and Replay are the extensions of these names; empty if they are absent.
	Attempt, Replay string
	Body            []byte
}

// Run checks the sinks of a harness.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *Fixture)
	}{
		{"exact bytes", exactBytes},
		{"odd attributes", oddAttributes},
		{"content types", contentTypes},
		{"attempt and replay", attemptAndReplay},
		{"event unchanged", unchanged},
		{"refused for now", refusedForNow},
		{"refused for good", refusedForGood},
		{"context ends", contextEnds},
		{"context ended before", contextEnded},
		{"works again", worksAgain},
		{"many at once", manyAtOnce},
		{"close", closes},
		{"no secret told", noSecretTold},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, h.Open(t)) })
	}
}
