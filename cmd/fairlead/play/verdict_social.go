package play

import "encoding/json"

// readSocial judges the answer to what social.plus asks about.
func readSocial(sent, body []byte) Verdict {
	var answer struct {
		Action  string          `json:"action"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Verdict{Effect: Unknown, Why: "The answer is no JSON object with an action; what social.plus makes of that is not documented"}
	}
	switch {
	case answer.Action == "deny":
		return Verdict{Effect: Refused, Documented: true, Why: "social.plus refuses it and tells the user " + quoted(answer.Message), Text: answer.Message}
	case answer.Action == "allow" && (len(answer.Data) == 0 || same(answer.Data, dataOf(sent))):
		return Verdict{Effect: Passes, Documented: true, Why: "The answer allows it and changes nothing"}
	case answer.Action == "allow":
		return Verdict{Effect: Rewritten, Documented: true, Why: "The answer allows it, and social.plus takes data from the answer"}
	}
	return Verdict{Effect: Unknown, Why: "The answer's action is neither allow nor deny; what social.plus makes of that is not documented"}
}

// dataOf returns what a request asks about.
func dataOf(sent []byte) json.RawMessage {
	var asked struct {
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(sent, &asked) != nil {
		return nil
	}
	return asked.Data
}
