package play

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// event is what a body is made of.
type event struct {
	number int
	id     string
	kind   string
	now    time.Time
	// text is what the user writes; empty means that it is made up.
	text string
	// command is what the user asks for, for hooks of commands.
	command string
}

// fields is a JSON object.
type fields = map[string]any

// The providers whose bodies and ways are known here.
const (
	streamChat = "stream-chat"
	socialPlus = "social-plus"
)

// ordinary returns a provider's most common type of event.
func ordinary(provider string) string {
	switch provider {
	case streamChat:
		return "message.new"
	case socialPlus:
		return "message.didCreate"
	}
	return "example.created"
}

// userAgent returns the User-Agent that a provider is known to send.
func userAgent(provider string) string {
	if provider == socialPlus {
		return "node-superagent/4.0.0"
	}
	return "fairlead-send"
}

// body makes the body of an event, with the time of signing in it if the profile
// wants it there.
func (p *Player) body(e *event, stamp string) ([]byte, error) {
	var f fields
	switch p.profile.Name {
	case streamChat:
		f = streamBody(e)
	case socialPlus:
		f = socialBody(e)
	default:
		f = p.generic(e)
	}
	if at := p.signer.SignedAt; at != nil && at.JSONPath != "" {
		put(f, at.JSONPath, json.Number(stamp))
	}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("making body: %w", err)
	}
	return data, nil
}

// generic makes a body that has a value wherever the profile looks for one.
func (p *Player) generic(e *event) fields {
	f := fields{"data": fields{"number": e.number, "text": written(e)}}
	from := &p.profile.Spec.Event
	for _, v := range []struct {
		sources []v1alpha1.FieldSource
		value   string
	}{
		{from.ID, e.id},
		{from.Type, e.kind},
		{from.Subject, "example-1"},
		{from.Time, stampOf(e.now)},
	} {
		for _, s := range v.sources {
			if s.JSONPath != "" {
				put(f, s.JSONPath, v.value)
				break
			}
		}
	}
	return f
}

// put sets the value at a path, and makes the objects on the way.
func put(f fields, path v1alpha1.JSONPath, value any) {
	steps := strings.Split(strings.TrimPrefix(string(path), "$."), ".")
	for _, step := range steps[:len(steps)-1] {
		next, ok := f[step].(fields)
		if !ok {
			next = fields{}
			f[step] = next
		}
		f = next
	}
	f[steps[len(steps)-1]] = value
}

// written is a message. One that is made up is such that a receiver which is
// careless with bytes would alter it.
func written(e *event) string {
	if e.text != "" {
		return e.text
	}
	return fmt.Sprintf("Number %d: héllo 🚀 <b>fish & chips</b> \u2028 1.0", e.number)
}

// stampOf writes a time as JSON does, to the microsecond.
func stampOf(t time.Time) string { return t.Format("2006-01-02T15:04:05.000000Z") }

// short makes an id of the provider's own from an event's.
func short(prefix string, e *event) string { return prefix + "-" + e.id[:8] }
