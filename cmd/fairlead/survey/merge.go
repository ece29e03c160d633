package survey

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// Entry is one signing secret, and who holds which value of it.
type Entry struct {
	Name     string     `json:"name"`
	LastUsed *time.Time `json:"lastUsed,omitempty"`
	// Held lists the values by their fingerprints. More than one means that some
	// receivers have not taken a change yet.
	Held []Held `json:"held"`
	// Without lists the receivers that answered and do not hold it.
	Without []string `json:"without,omitempty"`
}

// Held is one value of a secret.
type Held struct {
	Fingerprint string   `json:"fingerprint"`
	Receivers   []string `json:"receivers"`
}

// Sink is what holds for a sink in all receivers: counts are sums.
type Sink struct {
	Name  string `json:"name"`
	State string `json:"state"` // the worst
	// Where lists the receivers whose sink is in that state, and Reason is of the
	// first of them.
	Where            []string   `json:"where"`
	Reason           string     `json:"reason,omitempty"`
	LastSuccess      *time.Time `json:"lastSuccess,omitempty"`
	Queued           int64      `json:"queued"`
	QueuedBytes      int64      `json:"queuedBytes"`
	Retrying         int64      `json:"retrying"`
	OldestAgeSeconds float64    `json:"oldestAgeSeconds"`
	DeadLetters      int64      `json:"deadLetters"`
	Dropped          int64      `json:"dropped"`
}

// Responder is what holds for a responder in all receivers: counts are sums.
type Responder struct {
	Name        string     `json:"name"`
	Hook        string     `json:"hook"`
	State       string     `json:"state"`
	Where       []string   `json:"where"`
	Reason      string     `json:"reason,omitempty"`
	LastSuccess *time.Time `json:"lastSuccess,omitempty"`
	Asked       int64      `json:"asked"`
	Failed      int64      `json:"failed"`
}

// mergeSecrets lists the entries in the order of their names.
func (s *Survey) mergeSecrets() {
	s.Secrets = []Entry{}
	var answered []string
	for i := range s.Receivers {
		r := &s.Receivers[i]
		if r.Page == nil {
			continue
		}
		answered = append(answered, r.Name)
		for _, e := range r.Page.Secret.Entries {
			of(&s.Secrets, func(x *Entry) bool { return x.Name == e.Name }, Entry{Name: e.Name}).hold(r.Name, e)
		}
	}
	for i := range s.Secrets {
		e := &s.Secrets[i]
		e.Without = slices.DeleteFunc(slices.Clone(answered), e.in)
		if len(e.Held) > 1 || len(e.Without) > 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("Receivers hold different values of secret entry %q: if it was changed just now, the kubelet may take 90 seconds", e.Name))
		}
	}
	slices.SortFunc(s.Secrets, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
}

func (e *Entry) hold(receiver string, held statusz.Entry) {
	e.LastUsed = later(e.LastUsed, held.LastUsed)
	h := of(&e.Held, func(x *Held) bool { return x.Fingerprint == held.Fingerprint }, Held{Fingerprint: held.Fingerprint})
	h.Receivers = append(h.Receivers, receiver)
}

// in reports whether a receiver holds the entry.
func (e *Entry) in(receiver string) bool {
	return slices.ContainsFunc(e.Held, func(h Held) bool { return slices.Contains(h.Receivers, receiver) })
}

// mergeSinks adds up the sinks, in the order in which the first receiver has them.
func (s *Survey) mergeSinks() {
	s.Sinks = []Sink{}
	for i := range s.Receivers {
		r := &s.Receivers[i]
		if r.Page == nil {
			continue
		}
		for j := range r.Page.Sinks {
			in := &r.Page.Sinks[j]
			of(&s.Sinks, func(x *Sink) bool { return x.Name == in.Name }, Sink{Name: in.Name}).add(r.Name, in)
		}
	}
}

func (x *Sink) add(receiver string, in *statusz.Sink) {
	worst(&x.State, &x.Reason, &x.Where, in.State, in.Reason, receiver)
	x.LastSuccess = later(x.LastSuccess, in.LastSuccess)
	x.Queued += in.Queued
	x.QueuedBytes += in.QueuedBytes
	x.Retrying += in.Retrying
	x.OldestAgeSeconds = max(x.OldestAgeSeconds, in.OldestAgeSeconds)
	x.DeadLetters += in.DeadLetters
	x.Dropped += in.Dropped
}

func (s *Survey) mergeResponders() {
	s.Responders = nil
	for i := range s.Receivers {
		r := &s.Receivers[i]
		if r.Page == nil {
			continue
		}
		for j := range r.Page.Responders {
			in := &r.Page.Responders[j]
			x := of(&s.Responders, func(x *Responder) bool { return x.Name == in.Name && x.Hook == in.Hook }, Responder{Name: in.Name, Hook: in.Hook})
			worst(&x.State, &x.Reason, &x.Where, in.State, in.Reason, r.Name)
			x.LastSuccess = later(x.LastSuccess, in.LastSuccess)
			x.Asked += in.Asked
			x.Failed += in.Failed
		}
	}
}

// of returns the element that is meant, which is added if it is not there.
func of[T any](all *[]T, is func(*T) bool, fresh T) *T {
	for i := range *all {
		if is(&(*all)[i]) {
			return &(*all)[i]
		}
	}
	*all = append(*all, fresh)
	return &(*all)[len(*all)-1]
}

// severity is how bad a state is; one that is not known is worse than those that
// are.
func severity(state string) int {
	order := []string{"", statusz.SinkOK, statusz.SinkStopped, statusz.SinkSuspended, statusz.SinkPending, statusz.SinkFailing}
	if i := slices.Index(order, state); i >= 0 {
		return i
	}
	return len(order)
}

// worst keeps the worse of two states, with who is in it.
func worst(state, reason *string, where *[]string, in, why, receiver string) {
	switch a, b := severity(*state), severity(in); {
	case b > a:
		*state, *reason, *where = in, why, []string{receiver}
	case b == a:
		*where = append(*where, receiver)
		if *reason == "" {
			*reason = why
		}
	}
}

func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
