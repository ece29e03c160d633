package intake

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// A challenge is a provider's question whether a URL is the customer's. It is
// answered at every path at which a hook is served, a hook without a responder
// and an endpoint whose intake is suspended included: nothing is stored for it,
// and a provider that gets no answer switches the webhook off. It never becomes
// an event.
//
// A GET is not signed. Where the answer holds {hmac}, whoever may send gets a
// text of their own choosing signed with the secret that signs webhooks: that
// would be every body's signature. So a token has at most maxToken bytes of a few
// characters, in which no JSON object or list can be written; and while such a
// challenge is served, a body that could be a token is not taken for verified
// (see challenges.forgeable). Every signed content holds the body, so a body with
// one other character, or one byte more, cannot be signed in this way.
const maxToken = 512

// challenges are those of an endpoint, in the order of the profile.
type challenges struct {
	probes []*challenge // GET and HEAD
	posts  []*challenge
	signs  bool
}

// challenge is one, made ready.
type challenge struct {
	name   string
	method string
	query  string // empty: every request of the method is meant
	// match tells a POST: the text value at place.
	place, value string
	// inBody and inQuery are where the token is; both empty: there is none.
	inBody, inQuery string
	hmac            *api.ChallengeHMAC
	answer          v1alpha1.Reply
}

func newChallenges(list []v1alpha1.Challenge) challenges {
	var all challenges
	for i := range list {
		c := &list[i]
		ch := &challenge{name: c.Name, method: string(c.Method), query: c.Query, hmac: c.HMAC, answer: c.Answer}
		if c.Match != nil {
			ch.place, ch.value = pathOf(c.Match.JSONPath), c.Match.Value
		}
		if c.Token != nil {
			ch.inBody, ch.inQuery = pathOf(c.Token.JSONPath), c.Token.Query
		}
		all.signs = all.signs || c.HMAC != nil
		if c.Method == api.ChallengePOST {
			all.posts = append(all.posts, ch)
		} else {
			all.probes = append(all.probes, ch)
		}
	}
	return all
}

// pathOf is a JSONPath as the library writes it.
func pathOf(p api.JSONPath) string { return strings.TrimPrefix(string(p), "$.") }

// forgeable reports whether a body may have been signed by ourselves, as the
// token of a challenge.
func (c *challenges) forgeable(body []byte) bool {
	return c.signs && len(body) <= maxToken && allToken(string(body))
}

// isToken reports whether text may be given back, and signed. Nothing in it means
// anything in JSON, in HTML or in a header.
func isToken(text string) bool { return text != "" && len(text) <= maxToken && allToken(text) }

func allToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("-._~+/=", c) < 0 {
			return false
		}
	}
	return true
}

// probe answers a GET or HEAD that is a challenge; any other is errMethod. No
// signature tells who asks, so the request has passed the check of its address
// and counts against the limit of its source.
func (q *request) probe(known bool) error {
	probes := q.ep.challenges.probes
	if len(probes) == 0 || q.r.Method != http.MethodGet && q.r.Method != http.MethodHead {
		return errMethod
	}
	if known && !q.ep.allows(q.client, q.start) {
		return errRateLimited
	}
	query, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return errMalformed
	}
	for _, c := range probes {
		if c.method != q.r.Method || c.query != "" && !query.Has(c.query) {
			continue
		}
		token, ok := "", true
		if c.inQuery != "" {
			token, ok = single(query[c.inQuery])
		}
		return q.challenged(c, token, ok)
	}
	return errMethod
}

func single(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// post answers a verified POST that is a challenge; nil means that it is none.
func (q *request) post(body []byte) error {
	c := q.ep.challenges.posted(body)
	if c == nil {
		return nil
	}
	token, ok := "", true
	if c.inBody != "" {
		v := gjson.GetBytes(body, c.inBody)
		token, ok = v.Str, v.Type == gjson.String
	}
	return q.challenged(c, token, ok)
}

// posted finds the challenge that a verified body is; nil if it is none.
func (c *challenges) posted(body []byte) *challenge {
	for _, ch := range c.posts {
		if v := gjson.GetBytes(body, ch.place); v.Type == gjson.String && v.Str == ch.value && isObject(body) {
			return ch
		}
	}
	return nil
}

// challenged makes the answer to a challenge, and says so with errChallenge.
func (q *request) challenged(c *challenge, token string, found bool) error {
	if (c.inBody != "" || c.inQuery != "") && (!found || !isToken(token)) {
		return errMalformed
	}
	answer := c.answer
	if c.method == http.MethodHead {
		answer.Body = ""
	}
	mac := ""
	if c.hmac != nil && answer.Body != "" {
		sum, err := q.ep.keys.MAC(c.hmac.Algorithm, []byte(token))
		if err != nil {
			return err
		}
		mac = encode(sum, c.hmac.Encoding)
	}
	answer.Body = strings.NewReplacer("{token}", token, "{hmac}", mac).Replace(answer.Body)
	q.answer = newReply(answer)
	q.h.o.Observer.Challenged(c.name)
	return errChallenge
}

func encode(sum []byte, e api.Encoding) string {
	if e == api.EncodingBase64 {
		return base64.StdEncoding.EncodeToString(sum)
	}
	return hex.EncodeToString(sum)
}

// verify verifies a request, and takes no body for verified that somebody may have
// had signed by us.
func (ep *endpoint) verify(r verify.Request, at time.Time) (entry string, err error) {
	if ep.challenges.forgeable(r.Body) {
		return "", verify.ErrSignature
	}
	return ep.keys.Verify(r, at)
}

// closed says why a verified request at the path, if it is no challenge, is not
// stored.
func (q *request) closed() error {
	switch {
	case q.route.sync && !q.ep.responders.Answers(q.route.hook):
		return errNoResponder
	case q.ep.suspended:
		// Also where a responder would answer: nobody is asked while intake is
		// suspended, and to answer by onFailure would look as if somebody had been. What
		// this reply does is the provider's own way with a hook that fails.
		return errSuspended
	}
	return nil
}
