package play

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// streamFixed lists the fields of a Stream message that an answer is not
// documented to change. What is neither here nor a custom field is text, i18n,
// show_in_channel, silent, type or attachments.
func streamFixed() []string {
	return []string{
		"args", "cid", "command", "created_at", "deleted_at", "deleted_reply_count", "html", "id", "latest_reactions", "mentioned_users",
		"own_reactions", "parent_id", "pin_expires", "pinned", "pinned_at", "pinned_by", "quoted_message", "quoted_message_id",
		"reaction_counts", "reaction_groups", "reaction_scores", "reply_count", "shadowed", "thread_participants", "updated_at", "user",
	}
}

// readStream judges the answer to a message that Stream asks about.
func readStream(sent, body []byte) Verdict {
	if len(bytes.TrimSpace(body)) == 0 {
		return Verdict{Effect: Passes, Why: "The answer is empty, so nothing is changed"}
	}
	var answer struct {
		Message map[string]json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Verdict{Effect: Unknown, Why: "The answer is no JSON object with a message; what Stream makes of that is not documented"}
	}
	if answer.Message == nil {
		return Verdict{Effect: Passes, Why: "The answer has no message, so nothing is changed"}
	}
	if text(answer.Message["type"]) == "error" {
		told := text(answer.Message["text"])
		return Verdict{Effect: Refused, Documented: true, Why: "Stream discards the message and tells its sender " + quoted(told), Text: told}
	}
	var asked struct {
		Message map[string]json.RawMessage `json:"message"`
	}
	_ = json.Unmarshal(sent, &asked) // without it all that is answered counts as changed
	return rewritten(asked.Message, answer.Message)
}

// rewritten compares a message with what was made of it.
func rewritten(sent, answered map[string]json.RawMessage) Verdict {
	var taken, left []string
	fixed := streamFixed()
	for _, name := range changed(sent, answered) {
		if slices.Contains(fixed, name) {
			left = append(left, name)
		} else {
			taken = append(taken, name)
		}
	}
	note := ""
	if len(left) > 0 {
		note = "; that an answer can change " + strings.Join(left, ", ") + " is not documented"
	}
	if len(taken) == 0 {
		return Verdict{Effect: Passes, Documented: note == "", Why: "The answer's message is the one that was sent" + note}
	}
	v := Verdict{Effect: Rewritten, Documented: true, Why: "Stream takes from the answer: " + strings.Join(taken, ", ")}
	if slices.Contains(taken, "text") {
		v.Text = text(answered["text"])
		v.Why += fmt.Sprintf(" (now %s)", quoted(v.Text))
	}
	v.Why += note
	return v
}

// changed lists the fields of b that a has not, or has with another value.
func changed(a, b map[string]json.RawMessage) []string {
	var all []string
	for name, value := range b {
		if old, ok := a[name]; !ok || !same(old, value) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// same reports whether two values are the same, however they are written.
func same(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := value(a)
	y, errY := value(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func value(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// text returns a JSON string's text; empty if it is none.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// quoted shows a text of somebody else's on one line.
func quoted(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	if s == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", s)
}
