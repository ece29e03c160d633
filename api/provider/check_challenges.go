package provider

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const maxChallenges = 8

// Placeholders of a challenge's answer.
const (
	tokenPlaceholder = "{token}"
	hmacPlaceholder  = "{hmac}"
)

var (
	queryShape = regexp.MustCompile(`^[-._~0-9A-Za-z]{1,63}$`)
	// answerPlaceholder is a word in braces: JSON has none, as its names stand in
	// quotes.
	answerPlaceholder = regexp.MustCompile(`\{[A-Za-z]+\}`)
)

func (c *checker) challenges(at string, spec *v1alpha1.WebhookProviderSpec) {
	c.size(at, len(spec.Challenges), 0, maxChallenges)
	names := map[string]bool{}
	for i := range spec.Challenges {
		ch, p := &spec.Challenges[i], fmt.Sprintf("%s[%d]", at, i)
		c.name(p+".name", ch.Name)
		c.once(p+".name", ch.Name, names)
		c.challenge(p, ch)
		c.challengeHMAC(p+".hmac", ch.HMAC, spec.Signatures)
	}
}

func (c *checker) challenge(at string, ch *v1alpha1.Challenge) {
	post := ch.Method == v1alpha1.ChallengePOST
	switch {
	case !oneOf(c, at+".method", ch.Method, v1alpha1.ChallengeGET, v1alpha1.ChallengeHEAD, v1alpha1.ChallengePOST):
	case post && (ch.Match == nil || ch.Query != ""):
		c.addf(at, "a challenge of method POST is told by match; take query out, or set method to GET")
	case !post && ch.Match != nil:
		c.addf(at, "a challenge of method %s is told by query; take match out, or set method to POST", ch.Method)
	}
	if ch.Query != "" && !queryShape.MatchString(ch.Query) {
		c.addf(at+".query", "must be the name of a query parameter")
	}
	if m := ch.Match; m != nil {
		c.jsonPath(at+".match.jsonPath", m.JSONPath)
		if m.Value == "" || len(m.Value) > maxText {
			c.addf(at+".match.value", "must have 1 to %d characters", maxText)
		}
	}
	c.challengeToken(at+".token", ch.Token, post)
	c.challengeAnswer(at+".answer", ch)
}

func (c *checker) challengeToken(at string, t *v1alpha1.ChallengeToken, post bool) {
	if t == nil {
		return
	}
	c.exactlyOne(at, "jsonPath, query", t.JSONPath != "", t.Query != "")
	if t.JSONPath != "" {
		c.jsonPath(at+".jsonPath", t.JSONPath)
	}
	if t.Query != "" && !queryShape.MatchString(t.Query) {
		c.addf(at+".query", "must be the name of a query parameter")
	}
	if post == (t.JSONPath == "") {
		c.addf(at, "the token of a POST is found by jsonPath, that of a GET by query")
	}
}

// challengeAnswer checks that all that the answer holds can be filled in.
func (c *checker) challengeAnswer(at string, ch *v1alpha1.Challenge) {
	c.reply(at, &ch.Answer)
	found := answerPlaceholder.FindAllString(ch.Answer.Body, -1)
	for _, f := range found {
		if f != tokenPlaceholder && f != hmacPlaceholder {
			c.addf(at+".body", "has the unknown placeholder %s; there are %s and %s", f, tokenPlaceholder, hmacPlaceholder)
		}
	}
	signs := slices.Contains(found, hmacPlaceholder)
	if (signs || slices.Contains(found, tokenPlaceholder)) && ch.Token == nil {
		c.addf(at, "the answer holds {token} or {hmac}; say with token where the token is found")
	}
	if signs && ch.HMAC == nil {
		c.addf(at, "the answer holds {hmac}; say with hmac how it is made")
	}
}

func (c *checker) challengeHMAC(at string, h *v1alpha1.ChallengeHMAC, sigs []v1alpha1.Signature) {
	if h == nil {
		return
	}
	oneOf(c, at+".algorithm", h.Algorithm, v1alpha1.HMACSHA1, v1alpha1.HMACSHA256, v1alpha1.HMACSHA512)
	oneOf(c, at+".encoding", h.Encoding, v1alpha1.EncodingHex, v1alpha1.EncodingBase64)
	if !slices.ContainsFunc(sigs, func(s v1alpha1.Signature) bool { return !isPublicKey(s.Algorithm) }) {
		c.addf(at, "a token is signed with a shared secret, and all signatures are made with keys that are public")
	}
}
