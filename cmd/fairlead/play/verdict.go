package play

import (
	"fmt"
	"time"
)

// Effect is what becomes of the action that a synchronous hook asks about: of a
// message that is to be sent, for example.
type Effect string

// The values of Effect.
const (
	// Passes: it goes on as it is.
	Passes Effect = "Passes"
	// Rewritten: it goes on as the answer has it.
	Rewritten Effect = "Rewritten"
	// Refused: it does not happen.
	Refused Effect = "Refused"
	// ByDefault: a setting at the provider decides.
	ByDefault Effect = "ByDefault"
	// Unknown: nothing is known here of what the provider does.
	Unknown Effect = "Unknown"
)

// Answer is what a request was answered.
type Answer struct {
	// Status is 0 if there was no answer.
	Status int
	Body   []byte
	Took   time.Duration
}

// Verdict says what a provider does with an answer.
type Verdict struct {
	Effect Effect `json:"effect"`
	// Why says it in a sentence.
	Why string `json:"why"`
	// Text is what is now written, or what the user is told, if the answer says so.
	Text string `json:"text,omitempty"`
	// Documented is whether the provider's documentation says so. Otherwise it is
	// what is to be expected from what it does say.
	Documented bool `json:"documented"`
	// Usable is whether the answer came in time and the provider acts on it. If not,
	// the effect is that of an answer which never came.
	Usable bool `json:"usable"`
}

// manners is what is known of how a provider takes the answers of a hook.
type manners struct {
	// failed is the verdict if no answer comes in time, or one with an error status.
	failed Verdict
	// read judges an answer with a success status.
	read func(sent, body []byte) Verdict
}

// mannersOf returns what is known of a provider's hook; nil means nothing.
func mannersOf(provider, hook string) *manners {
	switch {
	case provider == streamChat && hook == hookBeforeMessageSend:
		return &manners{read: readStream, failed: Verdict{Effect: Passes, Documented: true,
			Why: "Stream takes that for a failed hook and sends the message as it is"}}
	case provider == streamChat && hook == hookCustomCommands:
		return &manners{read: readStream, failed: Verdict{Effect: Passes, Documented: true,
			Why: "Stream takes that for a failed hook and sends the command's message as it is"}}
	case provider == socialPlus && hook == hookPreHook:
		return &manners{read: readSocial, failed: Verdict{Effect: ByDefault, Documented: true,
			Why: "social.plus does what the network's setting defaultAction says"}}
	}
	return nil
}

// Judge says what the provider does with the answer to a request of a synchronous
// hook.
func (p *Player) Judge(r *Request, a Answer) Verdict {
	m := mannersOf(p.profile.Name, p.Hook())
	if m == nil {
		return p.stranger(a)
	}
	if why := p.failure(a); why != "" {
		v := m.failed
		v.Why = why + ": " + v.Why
		return v
	}
	v := m.read(r.Signed, a.Body)
	v.Usable = true
	return v
}

// failure says why an answer is none to a provider; empty if it is one.
func (p *Player) failure(a Answer) string {
	switch d := p.Deadline(); {
	case a.Status == 0:
		return "There was no answer"
	case d > 0 && a.Took > d:
		return fmt.Sprintf("The answer came after %s, and the provider waits %s", short3(a.Took), d)
	case a.Status < 200 || a.Status > 299:
		return fmt.Sprintf("The answer's status is %d", a.Status)
	}
	return ""
}

// stranger is the verdict of a provider whose ways are not known here.
func (p *Player) stranger(a Answer) Verdict {
	v := Verdict{Effect: Unknown, Why: "What the provider does is not known here; its documentation may say it"}
	if d := p.profile.Spec.Provenance.Documentation; d != "" {
		v.Why += ": " + d
	}
	if why := p.failure(a); why != "" {
		v.Why = why + ". " + v.Why
		return v
	}
	v.Usable = true
	return v
}

// short3 writes a duration with about three digits.
func short3(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
