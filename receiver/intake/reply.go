package intake

import (
	"net/http"
	"strconv"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

// reply is an answer with its header values made ahead: setting them costs no
// allocation per request.
type reply struct {
	status      int
	body        []byte
	contentType []string
	length      []string
	retryAfter  []string
}

var closeValue = []string{"close"}

func newReply(r v1alpha1.Reply) *reply {
	out := newRawReply(int(r.Status), []byte(r.Body))
	if r.Body != "" {
		out.contentType = []string{r.ContentType}
	}
	if r.RetryAfterSeconds > 0 {
		out.retryAfter = []string{strconv.Itoa(int(r.RetryAfterSeconds))}
	}
	return out
}

func newRawReply(status int, body []byte) *reply {
	return &reply{status: status, body: body, length: []string{strconv.Itoa(len(body))}}
}

func (r *reply) write(w http.ResponseWriter, closing bool) {
	h := w.Header()
	if r.contentType != nil {
		h["Content-Type"] = r.contentType
	}
	if r.retryAfter != nil {
		h["Retry-After"] = r.retryAfter
	}
	if closing {
		h["Connection"] = closeValue
	}
	if r.status != http.StatusNoContent {
		h["Content-Length"] = r.length
	}
	w.WriteHeader(r.status)
	if len(r.body) > 0 {
		_, _ = w.Write(r.body) // the client is gone if this fails; nothing is owed to it any more
	}
}

// replies holds the answer to each outcome.
type replies [Outcomes]*reply

func newReplies(p v1alpha1.Replies) replies {
	var out replies
	for o, r := range map[Outcome]v1alpha1.Reply{
		Accepted: p.Accepted, Duplicate: p.Duplicate, Ignored: p.Ignored, Suspended: p.Suspended,
		Unauthenticated: p.Unauthenticated, Unlisted: p.Unlisted, TooLarge: p.TooLarge, Malformed: p.Malformed,
		RateLimited: p.RateLimited, Overloaded: p.Overloaded, Failed: p.Failed, Misrouted: p.Misrouted,
	} {
		out[o] = newReply(r)
	}
	out[NotFound] = newReply(v1alpha1.Reply{Status: http.StatusNotFound, ContentType: "application/json",
		Body: `{"error":"no webhook is served at this path; compare it with the endpoint's"}`})
	out[MethodNotAllowed] = newReply(v1alpha1.Reply{Status: http.StatusMethodNotAllowed, ContentType: "application/json",
		Body: `{"error":"webhooks are sent with POST"}`})
	return out
}
