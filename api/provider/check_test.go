package provider_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// problems returns the paths of the fields that an error is about.
func problems(err error) []string {
	var list []string
	var walk func(error)
	walk = func(err error) {
		if p, is := err.(*provider.Problem); is { //nolint:errorlint // each error of the tree is looked at by itself
			list = append(list, p.Path)
		}
		switch u := err.(type) { //nolint:errorlint // as above
		case interface{ Unwrap() error }:
			walk(u.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return list
}

// refuses checks that Check finds something wrong at the path, and nothing
// elsewhere, once edit has been at a profile of stream-chat.
func refuses(t *testing.T, name, path string, edit func(*v1alpha1.WebhookProviderSpec)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		p := get(t, "stream-chat")
		edit(&p.Spec)
		provider.SetDefaults(p)
		err := provider.Check(p)
		got := problems(err)
		if err == nil || len(got) == 0 {
			t.Fatalf("Check() = %v, want a problem at %s", err, path)
		}
		for _, g := range got {
			if g != path && !strings.HasPrefix(g, path+".") {
				t.Errorf("Check() = %v, want problems at %s only", err, path)
			}
		}
	})
}

func TestCheckSignature(t *testing.T) {
	const path = "spec.signatures[0]"
	at := func(a v1alpha1.SigningTime) func(*v1alpha1.Signature) {
		return func(s *v1alpha1.Signature) { s.Content, s.SignedAt = "{timestamp}.{body}", &a }
	}
	content := func(text string) func(*v1alpha1.Signature) {
		return func(s *v1alpha1.Signature) { s.Content = text }
	}
	format := func(f v1alpha1.SignatureFormat) func(*v1alpha1.Signature) {
		return func(s *v1alpha1.Signature) { s.Format = &f }
	}
	credential := func(a v1alpha1.Algorithm, edit func(*v1alpha1.Signature)) func(*v1alpha1.Signature) {
		return func(s *v1alpha1.Signature) {
			*s = v1alpha1.Signature{Algorithm: a, Header: "Authorization", Secret: &v1alpha1.SecretFormat{}}
			edit(s)
		}
	}
	for name, tt := range map[string]struct {
		path string
		edit func(*v1alpha1.Signature)
	}{
		"no algorithm":               {".algorithm", func(s *v1alpha1.Signature) { s.Algorithm = "" }},
		"unknown algorithm":          {".algorithm", func(s *v1alpha1.Signature) { s.Algorithm = "md5" }},
		"no header":                  {".header", func(s *v1alpha1.Signature) { s.Header = "" }},
		"header with a space":        {".header", func(s *v1alpha1.Signature) { s.Header = "X Signature" }},
		"header with a line end":     {".header", func(s *v1alpha1.Signature) { s.Header = "X-A\n" }},
		"text signature":             {".encoding", func(s *v1alpha1.Signature) { s.Encoding = v1alpha1.EncodingText }},
		"no encoding":                {".encoding", func(s *v1alpha1.Signature) { s.Encoding = "" }},
		"unknown signed body":        {".signedBody", func(s *v1alpha1.Signature) { s.SignedBody = "Both" }},
		"no content":                 {".content", content("")},
		"content without the body":   {".content", content("v0")},
		"unknown placeholder":        {".content", content("{body}{path}")},
		"empty placeholder":          {".content", content("{body}{}")},
		"header without a name":      {".content", content("{body}{header:}")},
		"header with a bad name":     {".content", content("{body}{header:X A}")},
		"upper-case placeholder":     {".content", content("{body}{Body}")},
		"open brace":                 {".content", content("{body}{")},
		"closing brace":              {".content", content("}{body}")},
		"nested braces":              {".content", content("{{body}}")},
		"id from nowhere":            {".content", content("{id}{body}")},
		"time from nowhere":          {".content", content("{timestamp}{body}")},
		"long content":               {".content", content("{body}" + strings.Repeat("x", 256))},
		"bad id header":              {".idHeader", func(s *v1alpha1.Signature) { s.IDHeader = "X:A" }},
		"bad entry header":           {".entryHeader", func(s *v1alpha1.Signature) { s.EntryHeader = "X:A" }},
		"tolerance on unsigned time": {".signedAt", func(s *v1alpha1.Signature) { s.SignedAt = &v1alpha1.SigningTime{Header: "X-Time"} }},
		"time in no place":           {".signedAt", at(v1alpha1.SigningTime{})},
		"time in two places":         {".signedAt", at(v1alpha1.SigningTime{Header: "X-Time", JSONPath: "$.time"})},
		"time key without a list":    {".signedAt.key", at(v1alpha1.SigningTime{Key: "t"})},
		"time key of signatures": {".signedAt.key", func(s *v1alpha1.Signature) {
			at(v1alpha1.SigningTime{Key: "v1"})(s)
			format(v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{Key: "v1"}})(s)
		}},
		"bad time header":          {".signedAt.header", at(v1alpha1.SigningTime{Header: "X Time"})},
		"bad time path":            {".signedAt.jsonPath", at(v1alpha1.SigningTime{JSONPath: "$.a[0]"})},
		"time path without a root": {".signedAt.jsonPath", at(v1alpha1.SigningTime{JSONPath: "time"})},
		"unknown unit":             {".signedAt.unit", at(v1alpha1.SigningTime{Header: "X-Time", Unit: "h"})},
		"no past":                  {".signedAt.past", at(v1alpha1.SigningTime{Header: "X-Time", Past: "0s"})},
		"endless past":             {".signedAt.past", at(v1alpha1.SigningTime{Header: "X-Time", Past: "8760h"})},
		"future unreadable":        {".signedAt.future", at(v1alpha1.SigningTime{Header: "X-Time", Future: "soon"})},
		"future negative":          {".signedAt.future", at(v1alpha1.SigningTime{Header: "X-Time", Future: "-5m"})},
		"format of nothing":        {".format", format(v1alpha1.SignatureFormat{})},
		"format of two kinds":      {".format", format(v1alpha1.SignatureFormat{Prefix: "a", Versions: &v1alpha1.VersionFormat{Version: "v1"}})},
		"list without a key":       {".format.keyValues", format(v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{}})},
		"key with an equals sign":  {".format.keyValues", format(v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{Key: "v="}})},
		"key with a separator":     {".format.keyValues", format(v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{Key: "a,b"}})},
		"no version":               {".format.versions", format(v1alpha1.SignatureFormat{Versions: &v1alpha1.VersionFormat{}})},
		"separators alike":         {".format.versions", format(v1alpha1.SignatureFormat{Versions: &v1alpha1.VersionFormat{Version: "v1", Separator: ","}})},
		"unknown secret encoding":  {".secret.encoding", func(s *v1alpha1.Signature) { s.Secret.Encoding = "pem" }},
		"public key as text":       {".secret.encoding", func(s *v1alpha1.Signature) { s.Algorithm = v1alpha1.Ed25519 }},
		"token with content":       {"", credential(v1alpha1.StaticToken, content("{body}"))},
		"token with a time": {"", credential(v1alpha1.StaticToken, func(s *v1alpha1.Signature) {
			s.SignedAt = &v1alpha1.SigningTime{Header: "X-Time"}
		})},
		"token with an encoding": {".encoding", credential(v1alpha1.StaticToken, func(s *v1alpha1.Signature) { s.Encoding = v1alpha1.EncodingHex })},
		"token in a list":        {".format", credential(v1alpha1.StaticToken, format(v1alpha1.SignatureFormat{KeyValues: &v1alpha1.KeyValueFormat{Key: "k"}}))},
		"basic elsewhere":        {".header", credential(v1alpha1.BasicAuth, func(s *v1alpha1.Signature) { s.Header = "X-Auth" })},
		"basic with a format":    {".format", credential(v1alpha1.BasicAuth, format(v1alpha1.SignatureFormat{Prefix: "Basic "}))},
		"basic in base64":        {".secret.encoding", credential(v1alpha1.BasicAuth, func(s *v1alpha1.Signature) { s.Secret.Encoding = v1alpha1.EncodingBase64 })},
	} {
		refuses(t, name, path+tt.path, func(s *v1alpha1.WebhookProviderSpec) { tt.edit(&s.Signatures[0]) })
	}
}

func TestCheckSignatures(t *testing.T) {
	const path = "spec.signatures"
	with := func(prefixes ...string) func(*v1alpha1.WebhookProviderSpec) {
		return func(s *v1alpha1.WebhookProviderSpec) {
			public := s.Signatures[0]
			public.Algorithm = v1alpha1.Ed25519
			public.Secret = &v1alpha1.SecretFormat{Encoding: v1alpha1.EncodingBase64, Prefix: prefixes[1]}
			s.Signatures[0].Secret.Prefix = prefixes[0]
			s.Signatures = append(s.Signatures, public)
		}
	}
	refuses(t, "none", path, func(s *v1alpha1.WebhookProviderSpec) { s.Signatures = nil })
	refuses(t, "five", path, func(s *v1alpha1.WebhookProviderSpec) {
		for range 4 {
			s.Signatures = append(s.Signatures, s.Signatures[0])
		}
	})
	refuses(t, "public key without a prefix", path, with("whsec_", ""))
	refuses(t, "secret without a prefix", path, with("", "whpk_"))
	refuses(t, "one prefix for both", path, with("key_", "key_"))
}

func TestCheckEvent(t *testing.T) {
	const path = "spec.event"
	token := v1alpha1.Signature{Algorithm: v1alpha1.StaticToken, Header: "X-Token"}
	for name, tt := range map[string]struct {
		path string
		edit func(*v1alpha1.WebhookProviderSpec, *v1alpha1.EventFields)
	}{
		"no type": {".type", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.Type = nil }},
		"five places": {".id", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			e.ID = append(e.ID, e.ID[0], e.ID[0], e.ID[0], e.ID[0])
		}},
		"no place": {".id[0]", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.ID[0] = v1alpha1.FieldSource{} }},
		"two places in one": {".subject[0]", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			e.Subject[0] = v1alpha1.FieldSource{Header: "X-A", JSONPath: "$.a"}
		}},
		"bad path":   {".time[0].jsonPath", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.Time[0].JSONPath = "$..a" }},
		"bad header": {".attempt[0].header", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.Attempt[0].Header = "X A" }},
		"long value": {".type[0].value", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			e.Type[0] = v1alpha1.FieldSource{Value: strings.Repeat("x", 257)}
		}},
		"id from credentials": {".id[0].header", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.ID[0].Header = "Authorization" }},
		"id from a token": {".id[0].header", func(s *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			s.Signatures[0], e.ID[0].Header = token, "x-token"
		}},
		"bad prefix":       {".typePrefix", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.TypePrefix = "io/" }},
		"no dedup key":     {".dedup.key", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.Dedup.Key = "" }},
		"dedup without id": {".dedup.key", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.ID = nil }},
		"short window":     {".dedup.window", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.Dedup.Window = "10ms" }},
		"long window":      {".dedup.window", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) { e.Dedup.Window = "169h" }},
		"many headers": {".headers", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			e.Headers = nil
			for i := range 17 {
				e.Headers = append(e.Headers, v1alpha1.HeaderName(fmt.Sprintf("X-%d", i)))
			}
		}},
		"header twice": {".headers[1]", func(_ *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			e.Headers = []v1alpha1.HeaderName{"X-A", "x-a"}
		}},
		"token to sinks": {".headers[0]", func(s *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			s.Signatures[0], e.Headers = token, []v1alpha1.HeaderName{"X-TOKEN"}
		}},
		"basic to sinks": {".headers[0]", func(s *v1alpha1.WebhookProviderSpec, e *v1alpha1.EventFields) {
			s.Signatures[0] = v1alpha1.Signature{Algorithm: v1alpha1.BasicAuth, Header: "Authorization"}
			e.Headers = []v1alpha1.HeaderName{"Authorization"}
		}},
	} {
		refuses(t, name, path+tt.path, func(s *v1alpha1.WebhookProviderSpec) { tt.edit(s, &s.Event) })
	}
	for _, h := range []v1alpha1.HeaderName{
		"Authorization", "Cookie", "Host", "Content-Length", "Content-Type", "Content-Encoding", "Connection", "Keep-Alive",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
		"Forwarded", "X-Forwarded-For", "x-forwarded-proto", "ce-id", "CE-Type",
	} {
		refuses(t, "header "+string(h), path+".headers[0]", func(s *v1alpha1.WebhookProviderSpec) { s.Event.Headers = []v1alpha1.HeaderName{h} })
	}
}

func TestCheckIgnore(t *testing.T) {
	const path = "spec.ignore"
	rule := v1alpha1.IgnoreRule{Name: "old", Present: []v1alpha1.HeaderName{"X-Old"}}
	for name, tt := range map[string]struct {
		path  string
		rules []v1alpha1.IgnoreRule
	}{
		"no name":      {"[0].name", []v1alpha1.IgnoreRule{{Present: rule.Present}}},
		"name twice":   {"[1].name", []v1alpha1.IgnoreRule{rule, rule}},
		"everything":   {"[0].present", []v1alpha1.IgnoreRule{{Name: "all"}}},
		"bad header":   {"[0].present[0]", []v1alpha1.IgnoreRule{{Name: "a", Present: []v1alpha1.HeaderName{""}}}},
		"bad absent":   {"[0].absent[0]", []v1alpha1.IgnoreRule{{Name: "a", Present: rule.Present, Absent: []v1alpha1.HeaderName{"X A"}}}},
		"header twice": {"[0].present[1]", []v1alpha1.IgnoreRule{{Name: "a", Present: []v1alpha1.HeaderName{"X-Old", "x-old"}}}},
		"many rules":   {"", make([]v1alpha1.IgnoreRule, 9)},
	} {
		refuses(t, name, path+tt.path, func(s *v1alpha1.WebhookProviderSpec) {
			s.Ignore = tt.rules
			for i := range s.Ignore {
				if len(tt.rules) > 8 {
					s.Ignore[i] = v1alpha1.IgnoreRule{Name: fmt.Sprintf("r%d", i), Present: rule.Present}
				}
			}
		})
	}
}

func TestCheckReplies(t *testing.T) {
	for name, tt := range map[string]struct {
		path string
		edit func(*v1alpha1.Replies)
	}{
		"no accepted":              {"accepted", func(r *v1alpha1.Replies) { r.Accepted = v1alpha1.Reply{} }},
		"no duplicate":             {"duplicate", func(r *v1alpha1.Replies) { r.Duplicate = v1alpha1.Reply{} }},
		"no ignored":               {"ignored", func(r *v1alpha1.Replies) { r.Ignored = v1alpha1.Reply{} }},
		"no suspended":             {"suspended", func(r *v1alpha1.Replies) { r.Suspended = v1alpha1.Reply{} }},
		"no unauthenticated":       {"unauthenticated", func(r *v1alpha1.Replies) { r.Unauthenticated = v1alpha1.Reply{} }},
		"no unlisted":              {"unlisted", func(r *v1alpha1.Replies) { r.Unlisted = v1alpha1.Reply{} }},
		"no tooLarge":              {"tooLarge", func(r *v1alpha1.Replies) { r.TooLarge = v1alpha1.Reply{} }},
		"no malformed":             {"malformed", func(r *v1alpha1.Replies) { r.Malformed = v1alpha1.Reply{} }},
		"no rateLimited":           {"rateLimited", func(r *v1alpha1.Replies) { r.RateLimited = v1alpha1.Reply{} }},
		"no overloaded":            {"overloaded", func(r *v1alpha1.Replies) { r.Overloaded = v1alpha1.Reply{} }},
		"no failed":                {"failed", func(r *v1alpha1.Replies) { r.Failed = v1alpha1.Reply{} }},
		"no misrouted":             {"misrouted", func(r *v1alpha1.Replies) { r.Misrouted = v1alpha1.Reply{Body: "{}"} }},
		"accepted with an error":   {"accepted.status", func(r *v1alpha1.Replies) { r.Accepted.Status = 400 }},
		"accepted with a redirect": {"accepted.status", func(r *v1alpha1.Replies) { r.Accepted.Status = 302 }},
		"failed with 4xx":          {"failed", func(r *v1alpha1.Replies) { r.Failed.Status = 400 }},
		"failed with 500":          {"failed", func(r *v1alpha1.Replies) { r.Failed.Status = 500 }},
		"failed without a time":    {"failed", func(r *v1alpha1.Replies) { r.Failed.RetryAfterSeconds = 0 }},
		"refused with success":     {"unauthenticated.status", func(r *v1alpha1.Replies) { r.Unauthenticated.Status = 200 }},
		"misrouted with success":   {"misrouted.status", func(r *v1alpha1.Replies) { r.Misrouted.Status = 204; r.Misrouted.Body = "" }},
		"status 199":               {"accepted.status", func(r *v1alpha1.Replies) { r.Accepted.Status = 199 }},
		"status 600":               {"unlisted.status", func(r *v1alpha1.Replies) { r.Unlisted.Status = 600 }},
		"body with 204":            {"accepted.body", func(r *v1alpha1.Replies) { r.Accepted.Status = 204 }},
		"long body":                {"accepted.body", func(r *v1alpha1.Replies) { r.Accepted.Body = strings.Repeat("x", 4097) }},
		"bad content type":         {"accepted.contentType", func(r *v1alpha1.Replies) { r.Accepted.ContentType = "a\r\nb" }},
		"retry at once":            {"failed", func(r *v1alpha1.Replies) { r.Failed.RetryAfterSeconds = 0 }},
		"retry next week":          {"failed.retryAfterSeconds", func(r *v1alpha1.Replies) { r.Failed.RetryAfterSeconds = 86401 }},
	} {
		refuses(t, name, "spec.replies."+tt.path, func(s *v1alpha1.WebhookProviderSpec) { tt.edit(&s.Replies) })
	}
}

func TestCheckHooks(t *testing.T) {
	hook := func(i int, edit func(*v1alpha1.Hook)) func(*v1alpha1.WebhookProviderSpec) {
		return func(s *v1alpha1.WebhookProviderSpec) { edit(&s.Hooks[i]) }
	}
	path := func(text string) func(*v1alpha1.WebhookProviderSpec) {
		return hook(1, func(h *v1alpha1.Hook) { h.Paths[0].Path = text })
	}
	for name, tt := range map[string]struct {
		path string
		edit func(*v1alpha1.WebhookProviderSpec)
	}{
		"none": {"", func(s *v1alpha1.WebhookProviderSpec) { s.Hooks = nil }},
		"synchronous only": {"", func(s *v1alpha1.WebhookProviderSpec) {
			s.Hooks = s.Hooks[1:3]
		}},
		"name twice":           {"[1].name", hook(1, func(h *v1alpha1.Hook) { h.Name = "push" })},
		"bad name":             {"[1].name", hook(1, func(h *v1alpha1.Hook) { h.Name = "Before" })},
		"unknown mode":         {"[3].mode", hook(3, func(h *v1alpha1.Hook) { h.Mode = "Later" })},
		"no paths":             {"[1].paths", hook(1, func(h *v1alpha1.Hook) { h.Paths = nil })},
		"path of another hook": {"[1].paths[0].path", path("/")},
		"path twice": {"[3].paths[1].path", hook(3, func(h *v1alpha1.Hook) {
			h.Paths[1].Path = h.Paths[0].Path
		})},
		"relative path":        {"[1].paths[0].path", path("check")},
		"slash at the end":     {"[1].paths[0].path", path("/check/")},
		"two slashes":          {"[1].paths[0].path", path("//check")},
		"dot segment":          {"[1].paths[0].path", path("/a/../b")},
		"path with a query":    {"[1].paths[0].path", path("/a?b=c")},
		"path with an escape":  {"[1].paths[0].path", path("/a%2fb")},
		"long path":            {"[1].paths[0].path", path("/" + strings.Repeat("a", 128))},
		"long type":            {"[1].paths[0].eventType", hook(1, func(h *v1alpha1.Hook) { h.Paths[0].EventType = strings.Repeat("x", 257) })},
		"bad deadline":         {"[0].deadline", hook(0, func(h *v1alpha1.Hook) { h.Deadline = "soon" })},
		"no time at all":       {"[0].deadline", hook(0, func(h *v1alpha1.Hook) { h.Deadline = "0s" })},
		"no deadline":          {"[1]", hook(1, func(h *v1alpha1.Hook) { h.Deadline = "" })},
		"no allow":             {"[1]", hook(1, func(h *v1alpha1.Hook) { h.Allow = nil })},
		"no deny":              {"[1]", hook(1, func(h *v1alpha1.Hook) { h.Deny = nil })},
		"allow without status": {"[1].allow.status", hook(1, func(h *v1alpha1.Hook) { h.Allow.Status = 0 })},
		"deny with status 99":  {"[1].deny.status", hook(1, func(h *v1alpha1.Hook) { h.Deny.Status = 99 })},
		"shape of anything":    {"[1].match.present", hook(1, func(h *v1alpha1.Hook) { h.Match.Present = nil })},
		"bad shape":            {"[1].match.present[0]", hook(1, func(h *v1alpha1.Hook) { h.Match.Present[0] = "message" })},
		"bad absence":          {"[1].match.absent[0]", hook(1, func(h *v1alpha1.Hook) { h.Match.Absent[0] = "$" })},
		"shape of nothing":     {"[1].match", hook(1, func(h *v1alpha1.Hook) { h.Match.Absent[0] = h.Match.Present[0] })},
	} {
		refuses(t, name, "spec.hooks"+tt.path, tt.edit)
	}
}

func TestCheckRegions(t *testing.T) {
	cidr := func(text v1alpha1.CIDR) func(*v1alpha1.WebhookProviderSpec) {
		return func(s *v1alpha1.WebhookProviderSpec) { s.Regions[0].Ranges[0].CIDR = text }
	}
	early, late := metav1.NewTime(time.Unix(1000, 0)), metav1.NewTime(time.Unix(2000, 0))
	for name, tt := range map[string]struct {
		path string
		edit func(*v1alpha1.WebhookProviderSpec)
	}{
		"name twice":         {"[1].name", func(s *v1alpha1.WebhookProviderSpec) { s.Regions[1].Name = s.Regions[0].Name }},
		"bad name":           {"[0].name", func(s *v1alpha1.WebhookProviderSpec) { s.Regions[0].Name = "US" }},
		"no ranges":          {"[0].ranges", func(s *v1alpha1.WebhookProviderSpec) { s.Regions[0].Ranges = nil }},
		"range twice":        {"[0].ranges[1].cidr", func(s *v1alpha1.WebhookProviderSpec) { s.Regions[0].Ranges[1] = s.Regions[0].Ranges[0] }},
		"everybody":          {"[0].ranges[0].cidr", cidr("0.0.0.0/0")},
		"everybody by IPv6":  {"[0].ranges[0].cidr", cidr("::/0")},
		"everybody, written": {"[0].ranges[0].cidr", cidr("203.0.113.7/0")},
		"address":            {"[0].ranges[0].cidr", cidr("203.0.113.7")},
		"nothing":            {"[0].ranges[0].cidr", cidr("")},
		"name":               {"[0].ranges[0].cidr", cidr("example.com/32")},
		"mapped":             {"[0].ranges[0].cidr", cidr("::ffff:203.0.113.0/120")},
		"bits behind":        {"[0].ranges[0].cidr", cidr("203.0.113.7/24")},
		"prefix too long":    {"[0].ranges[0].cidr", cidr("203.0.113.7/33")},
		"times in disorder": {"[0].ranges[0]", func(s *v1alpha1.WebhookProviderSpec) {
			s.Regions[0].Ranges[0].ValidFrom, s.Regions[0].Ranges[0].ValidUntil = &late, &early
		}},
		"no time at all": {"[0].ranges[0]", func(s *v1alpha1.WebhookProviderSpec) {
			s.Regions[0].Ranges[0].ValidFrom, s.Regions[0].Ranges[0].ValidUntil = &late, &late
		}},
	} {
		refuses(t, name, "spec.regions"+tt.path, tt.edit)
	}
}

func TestCheckProvenance(t *testing.T) {
	refuses(t, "no page", "spec.provenance.documentation", func(s *v1alpha1.WebhookProviderSpec) { s.Provenance.Documentation = "" })
	refuses(t, "plain page", "spec.provenance.documentation", func(s *v1alpha1.WebhookProviderSpec) { s.Provenance.Documentation = "http://example.com" })
	refuses(t, "no date", "spec.provenance.checked", func(s *v1alpha1.WebhookProviderSpec) { s.Provenance.Checked = "" })
	refuses(t, "no such day", "spec.provenance.checked", func(s *v1alpha1.WebhookProviderSpec) { s.Provenance.Checked = "2026-02-30" })
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"", "Stream", "-a", "a_b", strings.Repeat("a", 64)} {
		p := get(t, "stream-chat")
		p.Name = name
		if got := problems(provider.Check(p)); len(got) != 1 || got[0] != "metadata.name" {
			t.Errorf("name %q: problems at %v, want metadata.name", name, got)
		}
	}
}

// TestCheckSaysAll holds that one look finds all that is wrong.
func TestCheckSaysAll(t *testing.T) {
	if got := problems(provider.Check(&v1alpha1.WebhookProvider{})); len(got) < 18 {
		t.Errorf("an empty profile has problems at %v only", got)
	}
}
