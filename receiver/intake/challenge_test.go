package intake_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/intake"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// challengeVectors is testdata/challenges/vectors.json.
type challengeVectors struct {
	Secret  string            `json:"secret"`
	Now     int64             `json:"now"`
	Vectors []challengeVector `json:"vectors"`
}

type challengeVector struct {
	Name     string            `json:"name"`
	Provider string            `json:"provider"`
	Method   string            `json:"method"`
	Query    string            `json:"query"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	WantType string            `json:"wantType"`
	Want     string            `json:"want"`
	Oracle   string            `json:"oracle"`
}

func readChallenges(t testing.TB) challengeVectors {
	t.Helper()
	data, err := os.ReadFile("testdata/challenges/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all challengeVectors
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// profileOf returns a built-in profile, or one of testdata.
func profileOf(t testing.TB, name string) *api.WebhookProvider {
	t.Helper()
	p, err := provider.Get(name)
	if err == nil {
		return p
	}
	data, err := os.ReadFile("testdata/challenges/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = provider.Parse(data); err != nil {
		t.Fatal(err)
	}
	return p
}

// challenged is a handler of the provider's, at the time of the vectors.
func challenged(t *testing.T, name string, edit func(*v1alpha1.Config)) *bench {
	t.Helper()
	all, p := readChallenges(t), profileOf(t, name)
	secret := all.Secret
	if p.Spec.Signatures[0].Secret.Encoding == api.EncodingHex {
		secret = hex.EncodeToString([]byte(secret))
	}
	b := newBench(t, "stream-chat", func(c *v1alpha1.Config) {
		c.Signatures, c.Event, c.Replies, c.Hooks, c.Challenges = p.Spec.Signatures, p.Spec.Event, p.Spec.Replies, p.Spec.Hooks, p.Spec.Challenges
		c.URL = "https://hooks.example.com/hooks"
		if edit != nil {
			edit(c)
		}
	})
	b.entries = []verify.Entry{{Name: "current", Value: []byte(secret)}}
	b.handler = intake.New(intake.Options{Append: b.append, Route: b.route, Observer: b, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(all.Now, 0) }})
	b.update()
	return b
}

func (v challengeVector) request(path string) *http.Request {
	r := httptest.NewRequest(v.Method, path+"?"+v.Query, strings.NewReader(v.Body))
	r.RemoteAddr = listed
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	return r
}

// Each challenge is answered as the provider wants it, at the paths of all hooks,
// while intake is suspended too, and nothing is stored for it.
func TestChallenges(t *testing.T) {
	for _, v := range readChallenges(t).Vectors {
		for name, edit := range map[string]func(*v1alpha1.Config){
			"":           nil,
			" suspended": func(c *v1alpha1.Config) { c.Suspend = api.SuspendIntake },
		} {
			t.Run(v.Name+name, func(t *testing.T) {
				b := challenged(t, v.Provider, edit)
				paths := []string{"/hooks", "/hooks/"}
				if len(b.config.Hooks) > 1 {
					paths = append(paths, "/hooks/asked")
				}
				for _, path := range paths {
					resp := b.send(v.request(path))
					got, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatal(err)
					}
					if resp.StatusCode != http.StatusOK || string(got) != v.Want || resp.Header.Get("Content-Type") != v.WantType {
						t.Errorf("%s is answered %d %q %q, want 200 %q %q", path, resp.StatusCode, resp.Header.Get("Content-Type"), got, v.WantType, v.Want)
					}
				}
				if len(b.stored) != 0 {
					t.Error("a challenge was stored")
				}
				if last := b.outcomes[len(b.outcomes)-1]; !strings.HasSuffix(last, " challenged") {
					t.Errorf("outcome %q, want challenged", last)
				}
				if diff := cmp.Diff("challenged "+b.config.Challenges[0].Name, b.notes[0]); diff != "" {
					t.Errorf("observed (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// signedBy signs a body as Zoom does, or as X does.
func signedBy(provider, secret, body string) map[string]string {
	m := hmac.New(sha256.New, []byte(secret))
	if provider == "x" {
		m.Write([]byte(body))
		return map[string]string{"X-Twitter-Webhooks-Signature": "sha256=" + base64.StdEncoding.EncodeToString(m.Sum(nil))}
	}
	m.Write([]byte("v0:1700000000:" + body))
	return map[string]string{"X-Zm-Signature": "v0=" + hex.EncodeToString(m.Sum(nil)), "X-Zm-Request-Timestamp": "1700000000"}
}

// What is no challenge is what it would be without challenges.
func TestNoChallenge(t *testing.T) {
	all := readChallenges(t)
	validation := func(token string) string {
		return `{"event":"endpoint.url_validation","payload":{"plainToken":` + token + `}}`
	}
	stranger := func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1" }
	suspended := func(c *v1alpha1.Config) { c.Suspend = api.SuspendIntake }
	for name, tt := range map[string]struct {
		provider, method, path, query, body string
		forged                              bool
		config                              func(*v1alpha1.Config)
		edit                                func(*http.Request)
		status                              int
		outcome                             string
	}{
		"forged POST":            {provider: "zoom", method: "POST", body: validation(`"abc"`), forged: true, status: 401, outcome: "events unauthenticated"},
		"unlisted POST":          {provider: "zoom", method: "POST", body: validation(`"abc"`), edit: stranger, status: 403, outcome: "events unlisted"},
		"other event":            {provider: "zoom", method: "POST", body: `{"event":"meeting.ended"}`, status: 200, outcome: "events accepted"},
		"event as a list":        {provider: "zoom", method: "POST", body: `{"event":["endpoint.url_validation"]}`, status: 200, outcome: "events accepted"},
		"not JSON":               {provider: "zoom", method: "POST", body: `["event","endpoint.url_validation"]`, status: 200, outcome: "events accepted"},
		"token missing":          {provider: "zoom", method: "POST", body: `{"event":"endpoint.url_validation"}`, status: 400, outcome: "events malformed"},
		"token a number":         {provider: "zoom", method: "POST", body: validation(`12`), status: 400, outcome: "events malformed"},
		"token empty":            {provider: "zoom", method: "POST", body: validation(`""`), status: 400, outcome: "events malformed"},
		"token with a quote":     {provider: "zoom", method: "POST", body: validation(`"a\"b"`), status: 400, outcome: "events malformed"},
		"token beyond ASCII":     {provider: "zoom", method: "POST", body: validation(`"é"`), status: 400, outcome: "events malformed"},
		"token of 512":           {provider: "zoom", method: "POST", body: validation(`"` + strings.Repeat("a", 512) + `"`), status: 200, outcome: "events challenged"},
		"token of 513":           {provider: "zoom", method: "POST", body: validation(`"` + strings.Repeat("a", 513) + `"`), status: 400, outcome: "events malformed"},
		"wrong path":             {provider: "zoom", method: "POST", path: "/other", body: validation(`"abc"`), status: 404, outcome: " not_found"},
		"suspended, other event": {provider: "zoom", method: "POST", body: `{"event":"meeting.ended"}`, config: suspended, status: 503, outcome: "events suspended"},
		"suspended, forged":      {provider: "zoom", method: "POST", body: validation(`"abc"`), forged: true, config: suspended, status: 401, outcome: "events unauthenticated"},
		"sync, other event":      {provider: "zoom", method: "POST", path: "/hooks/asked", body: `{"event":"meeting.ended"}`, status: 404, outcome: "asked not_found"},
		"GET of a POST's":        {provider: "zoom", method: "GET", status: 405, outcome: "events method_not_allowed"},
		"no query":               {provider: "x", method: "GET", status: 405, outcome: "events method_not_allowed"},
		"other query":            {provider: "x", method: "GET", query: "token=abc", status: 405, outcome: "events method_not_allowed"},
		"HEAD of a GET's":        {provider: "x", method: "HEAD", query: "crc_token=abc", status: 405, outcome: "events method_not_allowed"},
		"PUT":                    {provider: "x", method: "PUT", query: "crc_token=abc", status: 405, outcome: "events method_not_allowed"},
		"query twice":            {provider: "x", method: "GET", query: "crc_token=a&crc_token=b", status: 400, outcome: "events malformed"},
		"query empty":            {provider: "x", method: "GET", query: "crc_token=", status: 400, outcome: "events malformed"},
		"query of JSON":          {provider: "x", method: "GET", query: "crc_token=%7B%22type%22%3A1%7D", status: 400, outcome: "events malformed"},
		"query broken":           {provider: "x", method: "GET", query: "crc_token=a&b=%zz", status: 400, outcome: "events malformed"},
		"query of 513":           {provider: "x", method: "GET", query: "crc_token=" + strings.Repeat("a", 513), status: 400, outcome: "events malformed"},
		"unlisted GET":           {provider: "x", method: "GET", query: "crc_token=abc", edit: stranger, status: 403, outcome: "events unlisted"},
		"GET on a wrong path":    {provider: "x", method: "GET", path: "/other", query: "crc_token=abc", status: 404, outcome: " not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			v := challengeVector{Method: tt.method, Query: tt.query, Body: tt.body, Headers: signedBy(tt.provider, all.Secret, tt.body)}
			if tt.forged {
				v.Headers = signedBy(tt.provider, "another secret", tt.body)
			}
			if tt.path == "" {
				tt.path = "/hooks"
			}
			b, r := challenged(t, tt.provider, tt.config), v.request(tt.path)
			if tt.edit != nil {
				tt.edit(r)
			}
			if got := b.send(r).StatusCode; got != tt.status {
				t.Errorf("status = %d, want %d", got, tt.status)
			}
			if diff := cmp.Diff([]string{tt.outcome}, b.outcomes); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// Nobody can have us sign a body and then send it: what a challenge signs is no
// body that verifies.
func TestChallengeSignsNoBody(t *testing.T) {
	b := challenged(t, "x", nil)
	for _, body := range []string{"12345", "true", "a=b", "AAAA", strings.Repeat("7", 512)} {
		resp := b.send(challengeVector{Method: "GET", Query: "crc_token=" + body}.request("/hooks"))
		var answer struct {
			Token string `json:"response_token"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		headers := map[string]string{"X-Twitter-Webhooks-Signature": answer.Token}
		if got := b.send(challengeVector{Method: "POST", Body: body, Headers: headers}.request("/hooks")).StatusCode; got != 401 {
			t.Errorf("the body %q, signed by a challenge, is answered %d", body, got)
		}
	}
	if len(b.stored) != 0 {
		t.Errorf("%d forged events were stored", len(b.stored))
	}
	all := readChallenges(t)
	for _, body := range []string{`{"a":1}`, "[]", strings.Repeat("7", 513)} {
		v := challengeVector{Method: "POST", Body: body, Headers: signedBy("x", all.Secret, body)}
		if got := b.send(v.request("/hooks")).StatusCode; got != 200 {
			t.Errorf("the provider's body of %d bytes is answered %d", len(body), got)
		}
	}
}

// A probe counts against the limit of its source, and needs a secret only to sign.
func TestProbeLimits(t *testing.T) {
	b := challenged(t, "x", func(c *v1alpha1.Config) { c.Limits.RequestsPerSecondPerSource = 1 })
	probe := challengeVector{Method: "GET", Query: "crc_token=abc"}
	var got []int
	for range 3 {
		got = append(got, b.send(probe.request("/hooks")).StatusCode)
	}
	if diff := cmp.Diff([]int{200, 200, 429}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	for name, want := range map[string]int{"x": 503, "onfleet": 200} {
		b := challenged(t, name, nil)
		b.entries = nil
		b.update()
		v := challengeVector{Method: "GET", Query: "crc_token=abc&check=abc"}
		if got := b.send(v.request("/hooks")).StatusCode; got != want {
			t.Errorf("%s without a secret: status = %d, want %d", name, got, want)
		}
	}
}

// A challenge that is in quarantine is not made an event by verifying it again.
func TestReverifyChallenge(t *testing.T) {
	b, all := challenged(t, "zoom", nil), readChallenges(t)
	v := all.Vectors[1]
	kept := &queue.Quarantined{ReceivedAt: time.Unix(all.Now, 0), Hook: "events", Method: v.Method, Path: "/hooks", Body: []byte(v.Body)}
	for name, value := range v.Headers {
		kept.Headers = append(kept.Headers, event.Header{Name: name, Value: value})
	}
	if o, err := b.handler.Reverify(kept); o != intake.Ignored || err == nil {
		t.Errorf("Reverify() = %v, %v, want ignored", o, err)
	}
	if len(b.stored) != 0 {
		t.Error("a challenge was stored")
	}
	kept.Body = []byte("other")
	if o, err := b.handler.Reverify(kept); o != intake.Unauthenticated || !errors.Is(err, verify.ErrSignature) {
		t.Errorf("Reverify() = %v, %v, want unauthenticated", o, err)
	}
}

// FuzzToken holds that a token, however it is sent, comes back as it is, as a valid
// answer, or not at all.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"abc", "", "a\"b", "é", "{token}", "{hmac}", strings.Repeat("a", 513), "a b", "-._~+/="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		b := challenged(t, "zoom", nil)
		body, err := json.Marshal(map[string]any{"event": "endpoint.url_validation", "payload": map[string]string{"plainToken": token}})
		if err != nil {
			t.Fatal(err)
		}
		v := challengeVector{Method: "POST", Body: string(body), Headers: signedBy("zoom", readChallenges(t).Secret, string(body))}
		resp := b.send(v.request("/hooks"))
		var answer struct{ PlainToken, EncryptedToken string }
		err = json.NewDecoder(resp.Body).Decode(&answer)
		if resp.StatusCode == http.StatusOK && (err != nil || answer.PlainToken != token || len(answer.EncryptedToken) != 64) {
			t.Errorf("the token %q is answered %+v, %v", token, answer, err)
		}
	})
}
