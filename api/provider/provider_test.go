package provider_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

func builtIn(t testing.TB) []*v1alpha1.WebhookProvider {
	t.Helper()
	list, err := provider.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func get(t testing.TB, name string) *v1alpha1.WebhookProvider {
	t.Helper()
	p, err := provider.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltIn(t *testing.T) {
	var names []string
	for _, p := range builtIn(t) {
		names = append(names, p.Name)
		if err := provider.Check(p); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if diff := cmp.Diff(p, get(t, p.Name)); diff != "" {
			t.Errorf("Get(%q) differs from BuiltIn: %s", p.Name, diff)
		}
	}
	want := []string{"github", "slack", "social-plus", "standard-webhooks", "stream-chat", "stripe"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names: %s", diff)
	}
}

// TestFileNames holds that a profile stands in the file of its name.
func TestFileNames(t *testing.T) {
	for _, p := range builtIn(t) {
		if _, err := os.Stat(filepath.Join("profiles", p.Name+".yaml")); err != nil {
			t.Errorf("profile %q: %v", p.Name, err)
		}
	}
}

func TestGetUnknown(t *testing.T) {
	for _, name := range []string{"", "stream", "../profiles/stream-chat", "stream-chat.yaml"} {
		if p, err := provider.Get(name); !errors.Is(err, provider.ErrUnknown) || p != nil {
			t.Errorf("Get(%q) = %v, %v, want ErrUnknown", name, p, err)
		}
	}
}

func TestGetIsTheCallers(t *testing.T) {
	get(t, "stream-chat").Spec.Signatures[0].Header = "changed"
	if h := get(t, "stream-chat").Spec.Signatures[0].Header; h != "X-Signature" {
		t.Errorf("header = %q after a caller changed his profile", h)
	}
}

func TestRegions(t *testing.T) {
	for name, tt := range map[string]struct {
		regions []string
		ranges  int
	}{
		"stream-chat": {[]string{"us-east", "eu-west", "sydney", "mumbai", "singapore", "ohio", "canada", "oregon"}, 25},
		"social-plus": {[]string{"singapore", "frankfurt", "north-virginia"}, 12},
		"github":      {[]string{"global"}, 6},
		"stripe":      {nil, 0}, // published, but changing
		"slack":       {nil, 0}, // publishes none
	} {
		var regions []string
		ranges := map[netip.Prefix]bool{}
		for _, r := range get(t, name).Spec.Regions {
			regions = append(regions, r.Name)
			for _, rg := range r.Ranges {
				ranges[netip.MustParsePrefix(string(rg.CIDR))] = true
			}
		}
		if diff := cmp.Diff(tt.regions, regions); diff != "" || len(ranges) != tt.ranges {
			t.Errorf("%s: %d different ranges, want %d; regions %s", name, len(ranges), tt.ranges, diff)
		}
	}
}

// TestReplies holds what the built-in profiles promise to providers: trouble of
// ours is never a 4xx, and bodies are JSON that tells an attacker nothing.
func TestReplies(t *testing.T) {
	for _, p := range builtIn(t) {
		data, err := json.Marshal(p.Spec.Replies)
		if err != nil {
			t.Fatal(err)
		}
		var replies map[string]v1alpha1.Reply
		if err := json.Unmarshal(data, &replies); err != nil {
			t.Fatal(err)
		}
		want := map[string]int32{
			"accepted": 200, "duplicate": 200, "ignored": 200, "suspended": 503, "unauthenticated": 401, "unlisted": 403,
			"tooLarge": 413, "malformed": 400, "rateLimited": 429, "overloaded": 503, "failed": 503, "misrouted": 404,
		}
		got := map[string]int32{}
		for name, r := range replies {
			got[name] = r.Status
			checkBody(t, p.Name+"."+name, r)
			if s := r.RetryAfterSeconds; s > 5 {
				t.Errorf("%s.%s: retryAfterSeconds = %d, want 1 to 5", p.Name, name, s)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
	}
}

func checkBody(t *testing.T, name string, r v1alpha1.Reply) {
	t.Helper()
	var body map[string]string
	switch err := json.Unmarshal([]byte(r.Body), &body); {
	case err != nil:
		t.Errorf("%s: body is not JSON: %v", name, err)
	case r.Status < 300 && r.Body != "{}":
		t.Errorf("%s: body = %s, want {}", name, r.Body)
	case r.Status >= 300 && (len(body) != 1 || len(body["error"]) < 10 || len(body["error"]) > 100):
		t.Errorf("%s: body = %s, want one short error", name, r.Body)
	}
}

// TestMatch holds which requests of one hook are told from those of another.
func TestMatch(t *testing.T) {
	for name, tt := range map[string]struct{ provider, body, want string }{
		"push":                     {"stream-chat", `{"type":"message.new","message":{"id":"m"},"user":{"id":"u"},"channel":{"id":"c"}}`, ""},
		"before message send":      {"stream-chat", `{"message":{"text":"hi","type":"regular"},"user":{"id":"u"},"channel":{"cid":"c"},"request_info":{}}`, "before-message-send"},
		"command on its way":       {"stream-chat", `{"message":{"text":"hi","command":"giphy"},"user":{"id":"u"},"channel":{"cid":"c"}}`, "before-message-send"},
		"custom command":           {"stream-chat", `{"message":{"command":"ticket","args":"x"},"user":{"id":"u"},"form_data":{"action":"submit"}}`, "custom-commands"},
		"custom command, no form":  {"stream-chat", `{"message":{"command":"ticket","args":"x"},"user":{"id":"u"}}`, "custom-commands"},
		"pending message":          {"stream-chat", `{"message":{"text":"hi"},"metadata":{"a":"b"},"request_info":{}}`, ""},
		"social.plus event":        {"social-plus", `{"event":"message.didCreate","data":{}}`, ""},
		"social.plus pre-hook":     {"social-plus", `{"eventName":"message.shouldCreate","data":{"id":"m"},"actor":{"id":"u"}}`, "pre-hook"},
		"something else of theirs": {"social-plus", `{"a":1}`, ""},
	} {
		var body any
		if err := json.Unmarshal([]byte(tt.body), &body); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, h := range get(t, tt.provider).Spec.Hooks {
			if h.Match != nil && hasShape(body, h.Match) {
				got += h.Name
			}
		}
		if got != tt.want {
			t.Errorf("%s: matches %q, want %q", name, got, tt.want)
		}
	}
}

func hasShape(body any, s *v1alpha1.BodyShape) bool {
	has := func(p v1alpha1.JSONPath) bool {
		at := body
		for _, step := range strings.Split(string(p), ".")[1:] {
			object, _ := at.(map[string]any)
			at = object[step]
		}
		return at != nil
	}
	return !slices.ContainsFunc(s.Present, func(p v1alpha1.JSONPath) bool { return !has(p) }) && !slices.ContainsFunc(s.Absent, has)
}

func TestRevision(t *testing.T) {
	p := get(t, "stream-chat")
	before := p.DeepCopy()
	rev := provider.Revision(p)
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(rev) {
		t.Errorf("Revision() = %q", rev)
	}
	if diff := cmp.Diff(before, p); diff != "" {
		t.Errorf("Revision changed the profile: %s", diff)
	}
	p.Labels = map[string]string{"a": "b"}
	p.Spec.Event.Dedup.Window = ""
	if got := provider.Revision(p); got != rev {
		t.Errorf("Revision() = %q with a label and without a default, want no change", got)
	}
	p.Spec.Regions[0].Ranges[0].CIDR = "203.0.113.7/32"
	if provider.Revision(p) == rev {
		t.Error("Revision() did not change with a range")
	}
}

// TestDefaults compares with the defaults of the generated CRD.
func TestDefaults(t *testing.T) {
	data, err := os.ReadFile("../../config/crd/fairlead.dev_webhookproviders.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("profiles/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d profiles: %v", len(files), err)
	}
	for _, file := range append(files, "testdata/every-default.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := yaml.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		crd.Spec.Versions[0].Schema.OpenAPIV3Schema.fill(doc)
		want, got := &v1alpha1.WebhookProvider{}, &v1alpha1.WebhookProvider{}
		convert(t, doc, want)
		if err := yaml.Unmarshal(data, got); err != nil {
			t.Fatal(err)
		}
		provider.SetDefaults(got)
		if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
			t.Errorf("%s: SetDefaults differs from the CRD: %s", file, diff)
		}
		again := got.DeepCopy()
		provider.SetDefaults(again)
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("%s: SetDefaults changes what it made: %s", file, diff)
		}
	}
}

func convert(t testing.TB, from, to any) {
	t.Helper()
	data, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}

// schema is as much of a CRD's schema as defaults need.
type schema struct {
	Default    any               `json:"default"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
}

// fill sets the defaults of doc as an API server does.
func (s schema) fill(doc any) {
	switch v := doc.(type) {
	case map[string]any:
		for name, property := range s.Properties {
			if _, set := v[name]; !set && property.Default != nil {
				v[name] = property.copyOfDefault()
			}
			property.fill(v[name])
		}
	case []any:
		for _, e := range v {
			if s.Items != nil {
				s.Items.fill(e)
			}
		}
	}
}

func (s schema) copyOfDefault() any {
	if object, isObject := s.Default.(map[string]any); isObject {
		return maps.Clone(object)
	}
	return s.Default
}

// TestVectorsAreLegal holds that the schemes of the signing vectors pass Check.
func TestVectorsAreLegal(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors/schemes.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name       string               `json:"name"`
		Signatures []v1alpha1.Signature `json:"signatures"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		p := get(t, "stream-chat")
		p.Spec.Signatures = v.Signatures
		provider.SetDefaults(p)
		if err := provider.Check(p); err != nil {
			t.Errorf("vector %q: %v", v.Name, err)
		}
	}
}

func marshal(t testing.TB, p *v1alpha1.WebhookProvider) []byte {
	t.Helper()
	data, err := yaml.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
