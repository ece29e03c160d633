package intake

import (
	"net/http"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// sampleTime bounds how long a sampled request's body is waited for.
const sampleTime = 2 * time.Second

// sample verifies a few of the requests that were refused for their address. A
// valid signature from an unlisted address is the early warning that the
// provider's list has changed, or that a load balancer hides the client. The
// answer has been sent already, and nothing is stored.
func (q *request) sample() {
	if q.route == nil || q.r.Method != http.MethodPost || q.r.ContentLength <= 0 || q.r.ContentLength > q.ep.maxBody ||
		q.r.Header.Get("Expect") != "" || !q.h.samples.AllowN(q.start, 1) {
		return
	}
	c := http.NewResponseController(q.w)
	if c.Flush() != nil || c.SetReadDeadline(time.Now().Add(sampleTime)) != nil {
		return
	}
	var m memory
	defer m.free(&q.h.bodies)
	body, err := q.read(&m)
	if err != nil {
		return
	}
	_, err = q.ep.verify(verify.Request{Method: q.r.Method, Header: q.r.Header, Body: body}, q.start)
	q.h.o.Observer.Unlisted(q.client, err == nil, q.start)
	if err == nil {
		q.located()
	}
}

// located tells from where a verified request came.
func (q *request) located() {
	if q.client.IsValid() {
		q.h.o.Observer.Verified(q.client, !q.unlisted, q.start)
	}
}
