package provider_test

import (
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// post and probe are challenges that are good.
func post() v1alpha1.Challenge {
	return v1alpha1.Challenge{
		Name: "validation", Method: v1alpha1.ChallengePOST,
		Match:  &v1alpha1.ChallengeMatch{JSONPath: "$.event", Value: "endpoint.url_validation"},
		Token:  &v1alpha1.ChallengeToken{JSONPath: "$.payload.plainToken"},
		HMAC:   &v1alpha1.ChallengeHMAC{Algorithm: v1alpha1.HMACSHA256, Encoding: v1alpha1.EncodingHex},
		Answer: v1alpha1.Reply{Status: 200, Body: `{"plainToken":"{token}","encryptedToken":"{hmac}"}`},
	}
}

func probe() v1alpha1.Challenge {
	return v1alpha1.Challenge{
		Name: "probe", Method: v1alpha1.ChallengeGET, Query: "check",
		Token: &v1alpha1.ChallengeToken{Query: "check"}, Answer: v1alpha1.Reply{Status: 200, Body: "{token}"},
	}
}

func TestCheckChallenge(t *testing.T) {
	const at = "spec.challenges[0]"
	public := []v1alpha1.Signature{{Algorithm: v1alpha1.Ed25519, Header: "X-Signature", Encoding: v1alpha1.EncodingHex, Content: "{body}",
		Secret: &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingHex}}}
	for name, tt := range map[string]struct {
		path string
		of   v1alpha1.Challenge
		edit func(*v1alpha1.Challenge)
	}{
		"good POST":                 {"", post(), func(*v1alpha1.Challenge) {}},
		"good GET":                  {"", probe(), func(*v1alpha1.Challenge) {}},
		"good HEAD":                 {"", v1alpha1.Challenge{Name: "head", Method: v1alpha1.ChallengeHEAD, Answer: v1alpha1.Reply{Status: 200}}, func(*v1alpha1.Challenge) {}},
		"no name":                   {".name", probe(), func(c *v1alpha1.Challenge) { c.Name = "" }},
		"no method":                 {".method", probe(), func(c *v1alpha1.Challenge) { c.Method = "" }},
		"unknown method":            {".method", probe(), func(c *v1alpha1.Challenge) { c.Method = "PUT" }},
		"POST without match":        {"", post(), func(c *v1alpha1.Challenge) { c.Match = nil }},
		"POST with query":           {"", post(), func(c *v1alpha1.Challenge) { c.Query = "check" }},
		"GET with match":            {"", probe(), func(c *v1alpha1.Challenge) { c.Match = post().Match }},
		"bad query":                 {".query", probe(), func(c *v1alpha1.Challenge) { c.Query = "a b" }},
		"bad match path":            {".match.jsonPath", post(), func(c *v1alpha1.Challenge) { c.Match.JSONPath = "event" }},
		"match of nothing":          {".match.value", post(), func(c *v1alpha1.Challenge) { c.Match.Value = "" }},
		"long match":                {".match.value", post(), func(c *v1alpha1.Challenge) { c.Match.Value = strings.Repeat("x", 257) }},
		"token in no place":         {".token", post(), func(c *v1alpha1.Challenge) { c.Token = &v1alpha1.ChallengeToken{} }},
		"token in two places":       {".token", post(), func(c *v1alpha1.Challenge) { c.Token.Query = "check" }},
		"POST with token in query":  {".token", post(), func(c *v1alpha1.Challenge) { c.Token = probe().Token }},
		"GET with token in body":    {".token", probe(), func(c *v1alpha1.Challenge) { c.Token = post().Token }},
		"bad token path":            {".token.jsonPath", post(), func(c *v1alpha1.Challenge) { c.Token.JSONPath = "$.a[0]" }},
		"bad token query":           {".token.query", probe(), func(c *v1alpha1.Challenge) { c.Token.Query = "a&b" }},
		"token from nowhere":        {".answer", probe(), func(c *v1alpha1.Challenge) { c.Token = nil }},
		"unsigned hmac":             {".answer", post(), func(c *v1alpha1.Challenge) { c.HMAC = nil }},
		"unknown placeholder":       {".answer.body", probe(), func(c *v1alpha1.Challenge) { c.Answer.Body = "{tokn}" }},
		"no status":                 {".answer.status", probe(), func(c *v1alpha1.Challenge) { c.Answer.Status = 0 }},
		"body of 204":               {".answer.body", probe(), func(c *v1alpha1.Challenge) { c.Answer.Status = 204 }},
		"hmac of a token algorithm": {".hmac.algorithm", post(), func(c *v1alpha1.Challenge) { c.HMAC.Algorithm = v1alpha1.StaticToken }},
		"hmac as text":              {".hmac.encoding", post(), func(c *v1alpha1.Challenge) { c.HMAC.Encoding = v1alpha1.EncodingText }},
	} {
		edit := func(s *v1alpha1.WebhookProviderSpec) {
			c := *tt.of.DeepCopy()
			tt.edit(&c)
			s.Challenges = []v1alpha1.Challenge{c}
		}
		if strings.HasPrefix(name, "good") {
			p := get(t, "stream-chat")
			edit(&p.Spec)
			if err := provider.Check(p); err != nil {
				t.Errorf("%s: Check() = %v, want nil", name, err)
			}
			continue
		}
		refuses(t, name, at+tt.path, edit)
	}
	refuses(t, "name twice", "spec.challenges[1].name", func(s *v1alpha1.WebhookProviderSpec) {
		s.Challenges = []v1alpha1.Challenge{probe(), probe()}
	})
	refuses(t, "too many", "spec.challenges", func(s *v1alpha1.WebhookProviderSpec) {
		for i := range 9 {
			c := probe()
			c.Name += strings.Repeat("x", i)
			s.Challenges = append(s.Challenges, c)
		}
	})
	refuses(t, "hmac with a public key", at+".hmac", func(s *v1alpha1.WebhookProviderSpec) {
		s.Signatures, s.Challenges = public, []v1alpha1.Challenge{post()}
	})
}
