package moderation

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// judge knows the rules.
type judge struct {
	mask, refuse words
	refusal      string
}

// The decisions, as they are logged.
const (
	passed    = "passed"
	rewritten = "rewritten"
	refused   = "refused"
)

type object = map[string]json.RawMessage

// message judges a message of Stream Chat that is to be sent: its text. What else
// it may say, in attachments for example, is for your own rules.
func (j *judge) message(body []byte) (answer, error) {
	m, err := streamMessage(body)
	if err != nil {
		return answer{}, err
	}
	text, err := field(m, "text")
	if err != nil {
		return answer{}, err
	}
	masked, changed := j.mask.masked(text)
	switch {
	case j.refuse.in(text):
		return j.streamRefusal(j.refusal), nil
	case changed:
		return streamRewrite(m, masked)
	}
	return answer{passed, object{}}, nil
}

// command answers /echo, which says what stands behind it. The command is taken
// from the body: the query's type, where Stream names it too, is not signed.
func (j *judge) command(body []byte) (answer, error) {
	m, err := streamMessage(body)
	if err != nil {
		return answer{}, err
	}
	name, err := field(m, "command")
	if err != nil {
		return answer{}, err
	}
	if name != "echo" {
		return j.streamRefusal("There is no such command."), nil
	}
	args, err := field(m, "args")
	if err != nil {
		return answer{}, err
	}
	if j.refuse.in(args) {
		return j.streamRefusal(j.refusal), nil
	}
	text, _ := j.mask.masked(args)
	return streamRewrite(m, text)
}

func streamMessage(body []byte) (object, error) {
	var request struct {
		Message object `json:"message"`
	}
	if json.Unmarshal(body, &request) != nil || request.Message == nil { // the cause might show what the user wrote
		return nil, fmt.Errorf("reading message: %w", errBody)
	}
	return request.Message, nil
}

// field returns a text of a message; one that is missing is empty.
func field(m object, name string) (string, error) {
	var s string
	if raw, ok := m[name]; ok && json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("reading field %q: %w", name, errBody)
	}
	return s, nil
}

func (j *judge) streamRefusal(text string) answer {
	return answer{refused, map[string]any{"message": map[string]string{"type": "error", "text": text}}}
}

// streamRewrite answers with the message as it came, but for its text. Stream
// makes the HTML anew.
func streamRewrite(m object, text string) (answer, error) {
	raw, err := json.Marshal(text)
	if err != nil {
		return answer{}, fmt.Errorf("writing text: %w", err)
	}
	m["text"] = raw
	delete(m, "html")
	return answer{rewritten, map[string]object{"message": m}}, nil
}

// preHook judges what social.plus asks about: every text in it, wherever it
// stands, because the data's shape differs from event to event.
func (j *judge) preHook(body []byte) (answer, error) {
	var request struct {
		EventName string          `json:"eventName"`
		Data      json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &request) != nil || request.EventName == "" {
		return answer{}, fmt.Errorf("reading pre-hook: %w", errBody)
	}
	if len(request.Data) == 0 {
		return answer{passed, map[string]string{"action": "allow"}}, nil
	}
	d := json.NewDecoder(bytes.NewReader(request.Data))
	d.UseNumber() // large numbers come back as they went
	var data any
	if d.Decode(&data) != nil {
		return answer{}, fmt.Errorf("reading data: %w", errBody)
	}
	w := walk{judge: j}
	data = w.value(data, "")
	switch {
	case w.refused:
		return answer{refused, map[string]string{"action": "deny", "message": j.refusal}}, nil
	case w.changed:
		return answer{rewritten, map[string]any{"action": "allow", "data": data}}, nil
	}
	return answer{passed, map[string]string{"action": "allow"}}, nil
}

// walk goes through a JSON value, masks its texts, and remembers what it found.
type walk struct {
	*judge
	changed, refused bool
}

// value returns v with its texts masked; name is that of the field in which it
// stands. Decoding has bounded how deep it goes.
func (w *walk) value(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = w.value(inner, k)
		}
	case []any:
		for i, inner := range v {
			v[i] = w.value(inner, name)
		}
	case string:
		if isText(name) {
			return w.text(v)
		}
	}
	return v
}

func (w *walk) text(s string) string {
	w.refused = w.refused || w.refuse.in(s)
	masked, changed := w.mask.masked(s)
	w.changed = w.changed || changed
	return masked
}

// isText reports whether users write into a field of that name.
func isText(name string) bool {
	switch name {
	case "text", "caption", "title", "displayName", "description":
		return true
	}
	return false
}
