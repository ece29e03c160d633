package play_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

const (
	secret    = "0123456789abcdef0123456789abcdef"
	publicURL = "https://hooks.example.com/orders"
)

var now = time.Unix(1700000000, 0)

func clock() time.Time { return now }

func profile(t *testing.T, name string) *v1alpha1.WebhookProvider {
	t.Helper()
	p, err := provider.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// request returns the first request of a player.
func request(t *testing.T, p *v1alpha1.WebhookProvider, secret string, o play.Options) *play.Request {
	t.Helper()
	o.Now = clock
	player, err := play.New(p, []byte(secret), o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := player.Request(0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check asks the receiver's verifier for its opinion.
func check(t *testing.T, p *v1alpha1.WebhookProvider, entry string, r *play.Request) error {
	t.Helper()
	s, err := verify.New(p.Spec.Signatures, publicURL)
	if err != nil {
		t.Fatal(err)
	}
	keys, problems := s.Keys([]verify.Entry{{Name: "current", Value: []byte(entry)}})
	for _, problem := range problems {
		if problem.Fatal {
			t.Fatal(problem.Text)
		}
	}
	_, err = keys.Verify(verify.Request{Method: r.Method, Header: r.Header, Body: r.Signed}, now)
	return err
}

const (
	sample    = `{"type":"message.new","cid":"messaging:fun","message":{"id":"m1","text":"héllo 🚀 <b>&amp;</b>"},"created_at":"2020-03-30T07:54:46.295138Z"}` + "\n"
	hubSecret = "It's a Secret to Everybody"
)

// TestVectors holds the signer against signatures that others made.
func TestVectors(t *testing.T) {
	for name, tt := range map[string]struct {
		provider, secret, body, header, want string
		at                                   int64
		extra                                http.Header
	}{
		"stream-chat": {"stream-chat", "ssk_test_secret_0123456789", sample, "X-Signature",
			"ddf0c439a796dcd9e79894b13554e0ae4727839db803be94febdb528e0cc6cf2", 0, nil},
		"line end behind the secret": {"stream-chat", "ssk_test_secret_0123456789\r\n", sample, "X-Signature",
			"ddf0c439a796dcd9e79894b13554e0ae4727839db803be94febdb528e0cc6cf2", 0, nil},
		"social-plus": {"social-plus", "amity_webhook_secret", sample, "X-Amity-Signature",
			"VdvLIIYFOXNXSaiTGETxK559u3ySPWIkihebndjjRfg=", 0, nil},
		"stripe": {"stripe", "whsec_test_stripe", sample, "Stripe-Signature",
			"t=1700000000,v1=ac5b66a22302c05ceda62e8149d114f4a9bcdb4811593edc2f080683dec8ba58", 1700000000, nil},
		"github": {"github", hubSecret, "Hello, World!", "X-Hub-Signature-256",
			"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", 0, nil},
		"slack": {"slack", "8f742231b10e8888abcd99yyyzzz85a5", sample, "X-Slack-Signature",
			"v0=e22f4ccf74cfc84098e82636d06138bf976376dc6b0133aeb0252d433d793451", 1700000000, nil},
		"standard-webhooks": {"standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"test": 2432232314}`, "Webhook-Signature",
			"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", 1614265330, http.Header{"webhook-id": {"msg_p5jXN8AQM9LWM0D4loKWxJek"}}},
	} {
		t.Run(name, func(t *testing.T) {
			player, err := play.New(profile(t, tt.provider), []byte(tt.secret), play.Options{
				Body: []byte(tt.body), Header: tt.extra, Now: func() time.Time { return time.Unix(tt.at, 0) },
			})
			if err != nil {
				t.Fatal(err)
			}
			r, err := player.Request(0)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Header.Get(tt.header); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.header, got, tt.want)
			}
		})
	}
}

// TestVerified holds what is played against the receiver's verifier, for every
// built-in profile, and for algorithms and forms that none of them has.
func TestVerified(t *testing.T) {
	type sig = v1alpha1.Signature
	custom := func(s sig) *v1alpha1.WebhookProvider {
		p := profile(t, "stream-chat").DeepCopy()
		p.Name, p.Spec.Signatures = "acme", []sig{s}
		provider.SetDefaults(p)
		return p
	}
	for name, tt := range map[string]struct {
		p      *v1alpha1.WebhookProvider
		secret string
	}{
		"stream-chat":       {profile(t, "stream-chat"), secret},
		"social-plus":       {profile(t, "social-plus"), secret},
		"standard-webhooks": {profile(t, "standard-webhooks"), "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))},
		"github":            {profile(t, "github"), secret},
		"stripe":            {profile(t, "stripe"), secret},
		"slack":             {profile(t, "slack"), secret},
		"sha1, url, method": {custom(sig{Algorithm: v1alpha1.HMACSHA1, Header: "X-Sig", Encoding: v1alpha1.EncodingBase64, Content: "{method} {url} {body}"}), secret},
		"sha512, hex secret, other header": {custom(sig{Algorithm: v1alpha1.HMACSHA512, Header: "X-Sig", Encoding: v1alpha1.EncodingHex,
			Content: "{header:X-Webhook-Id}:{body}", Secret: &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingHex}}), secret},
		"time in the body": {custom(sig{Algorithm: v1alpha1.HMACSHA256, Header: "X-Sig", Encoding: v1alpha1.EncodingHex, Content: "{body}",
			SignedAt: &v1alpha1.SigningTime{JSONPath: "$.sent.at", Unit: v1alpha1.UnitMilliseconds}}), secret},
		"token": {custom(sig{Algorithm: v1alpha1.StaticToken, Header: "Authorization", Format: &v1alpha1.SignatureFormat{Prefix: "Bearer "}}), secret},
		"basic": {custom(sig{Algorithm: v1alpha1.BasicAuth, Header: "Authorization"}), "user:" + secret},
	} {
		t.Run(name, func(t *testing.T) {
			if err := check(t, tt.p, tt.secret, request(t, tt.p, tt.secret, play.Options{URL: publicURL, Key: "current"})); err != nil {
				t.Error(err)
			}
			forged := request(t, tt.p, tt.secret, play.Options{URL: publicURL, Forge: true})
			if err := check(t, tt.p, tt.secret, forged); !errors.Is(err, verify.ErrSignature) {
				t.Errorf("a forged request is judged %v, want %v", err, verify.ErrSignature)
			}
		})
	}
}

func TestPrivateKeys(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(curve.Public())
	if err != nil {
		t.Fatal(err)
	}
	sendgrid := profile(t, "stream-chat").DeepCopy()
	sendgrid.Spec.Signatures = []v1alpha1.Signature{{Algorithm: v1alpha1.ECDSAP256SHA256, Header: "X-Sig", Encoding: v1alpha1.EncodingBase64,
		Content: "{timestamp}{body}", SignedAt: &v1alpha1.SigningTime{Header: "X-Time"}, Secret: &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingBase64}}}
	provider.SetDefaults(sendgrid)
	for name, tt := range map[string]struct {
		p     *v1alpha1.WebhookProvider
		key   any
		entry string
	}{
		"ed25519": {profile(t, "standard-webhooks"), private, "whpk_" + base64.StdEncoding.EncodeToString(public)},
		"ecdsa":   {sendgrid, curve, base64.StdEncoding.EncodeToString(spki)},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := x509.MarshalPKCS8PrivateKey(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
			if err := check(t, tt.p, tt.entry, request(t, tt.p, text, play.Options{})); err != nil {
				t.Error(err)
			}
			if err := check(t, tt.p, tt.entry, request(t, tt.p, text, play.Options{Forge: true})); err == nil {
				t.Error("a forged request is verified")
			}
		})
	}
}

// TestRefusals holds that no error shows the secret.
func TestRefusals(t *testing.T) {
	const marker = "hunter2"
	basic := profile(t, "github").DeepCopy()
	basic.Spec.Signatures = []v1alpha1.Signature{{Algorithm: v1alpha1.BasicAuth, Header: "Authorization"}}
	public := profile(t, "standard-webhooks").DeepCopy()
	public.Spec.Signatures = public.Spec.Signatures[1:]
	signsURL := profile(t, "github").DeepCopy()
	signsURL.Spec.Signatures[0].Content = "{url}{body}"
	for name, tt := range map[string]struct {
		p      *v1alpha1.WebhookProvider
		secret string
		o      play.Options
	}{
		"empty":                 {profile(t, "github"), "\n", play.Options{}},
		"not base64":            {profile(t, "standard-webhooks"), "whsec_" + marker + "!", play.Options{}},
		"only a prefix":         {profile(t, "standard-webhooks"), "whsec_", play.Options{}},
		"no user":               {basic, marker, play.Options{}},
		"no private key":        {public, marker, play.Options{}},
		"broken private key":    {public, "-----BEGIN PRIVATE KEY-----\n" + base64.StdEncoding.EncodeToString([]byte(marker)) + "\n-----END PRIVATE KEY-----\n", play.Options{}},
		"URL unknown":           {signsURL, marker, play.Options{}},
		"legacy without a twin": {profile(t, "github"), marker, play.Options{Legacy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := play.New(tt.p, []byte(tt.secret), tt.o)
			if err == nil || strings.Contains(err.Error(), marker) {
				t.Errorf("error is %v, want one without the secret", err)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	r := request(t, profile(t, "stream-chat"), secret, play.Options{Key: "key1", Header: http.Header{"x-webhook-attempt": {"2"}}})
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Api-Key": "key1", "X-Webhook-Attempt": "2", "X-Webhook-Id": r.ID,
	} {
		if got := r.Header.Get(name); got != want || got == "" {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	own := request(t, profile(t, "stream-chat"), secret, play.Options{Header: http.Header{"X-Webhook-Id": {"mine"}}})
	if own.ID != "mine" {
		t.Errorf("id is %q, want that of the header", own.ID)
	}
}

func TestLegacy(t *testing.T) {
	r := request(t, profile(t, "social-plus"), secret, play.Options{Legacy: true})
	if r.Header.Get("X-Eko-Signature") == "" || r.Header.Get("X-Amity-Signature") != "" {
		t.Errorf("headers are %v, want those of the legacy twin only", r.Header)
	}
}

func TestGzip(t *testing.T) {
	p := profile(t, "stream-chat")
	r := request(t, p, secret, play.Options{Gzip: true})
	z, err := gzip.NewReader(bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	inflated, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(inflated, r.Signed) || r.Header.Get("Content-Encoding") != "gzip" {
		t.Error("the body is not the signed one, compressed")
	}
	if err := check(t, p, secret, r); err != nil {
		t.Error(err)
	}
}

// TestBodies holds that each body is JSON, names its type, and differs from the
// next one in its id.
func TestBodies(t *testing.T) {
	for name, types := range map[string][]string{
		"stream-chat": {"", "message.new", "message.updated", "message.deleted", "reaction.new", "channel.created", "member.added",
			"user.banned", "user.flagged", "call.ended", "something"},
		"social-plus": {"", "message.didCreate", "channel.didUpdate", "post.didReact", "comment.didDelete", "user.didFlag", "v3.video-streaming.didStart"},
	} {
		for _, kind := range types {
			player, err := play.New(profile(t, name), []byte(secret), play.Options{Event: kind})
			if err != nil {
				t.Fatal(err)
			}
			first, err := player.Request(0)
			if err != nil {
				t.Fatal(err)
			}
			second, err := player.Request(1)
			if err != nil {
				t.Fatal(err)
			}
			var body struct{ Type, Event string }
			if err := json.Unmarshal(first.Body, &body); err != nil {
				t.Fatalf("%s %s: %v", name, kind, err)
			}
			if got := body.Type + body.Event; got != first.Type || (kind != "" && got != kind) {
				t.Errorf("%s %q: the body's type is %q, the request's %q", name, kind, got, first.Type)
			}
			if bytes.Equal(first.Body, second.Body) || (first.ID != "" && first.ID == second.ID) {
				t.Errorf("%s %s: two requests are the same event", name, kind)
			}
		}
	}
}

// TestHookShapes holds that requests of synchronous hooks have the shape by which
// a receiver knows them at the wrong path.
func TestHookShapes(t *testing.T) {
	for name, kind := range map[string]string{"stream-chat": "before_message_send", "social-plus": "message.shouldCreate"} {
		r := request(t, profile(t, name), secret, play.Options{Event: kind})
		var body map[string]any
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		if body["type"] != nil || body["event"] != nil {
			t.Errorf("%s %s: the body names a type of event", name, kind)
		}
	}
}
