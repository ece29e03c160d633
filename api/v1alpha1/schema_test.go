package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/config/crd"
)

const (
	endpointKind = "WebhookEndpoint"
	providerKind = "WebhookProvider"
)

func schema(t *testing.T, kind string) *crd.Schema {
	t.Helper()
	s, err := crd.Load(kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// object reads a manifest as the API server's decoder does: whole numbers are
// int64.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	obj := map[string]any{}
	if err := utiljson.Unmarshal(data, &obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

// set puts the value, in YAML, at a path such as spec.sinks[0].name, whose
// objects are made and whose lists are there; no value removes the field.
func set(t *testing.T, obj map[string]any, path, value string) {
	t.Helper()
	steps := strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		name, index, listed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		if listed {
			i, err := strconv.Atoi(index)
			if err != nil {
				t.Fatal(err)
			}
			obj = obj[name].([]any)[i].(map[string]any)
			continue
		}
		if obj[name] == nil {
			obj[name] = map[string]any{}
		}
		obj = obj[name].(map[string]any)
	}
	last := steps[len(steps)-1]
	delete(obj, last)
	if value != "" {
		obj[last] = object(t, "v: "+value)["v"]
	}
}

const minimalEndpoint = `
apiVersion: fairlead.dev/v1alpha1
kind: WebhookEndpoint
metadata: {name: chat, namespace: shop}
spec:
  provider: stream-chat
  secretRef: {name: signing}
  sinks:
  - name: app
    http: {url: "http://app.shop.svc/hooks"}
`

const minimalProvider = `
apiVersion: fairlead.dev/v1alpha1
kind: WebhookProvider
metadata: {name: acme}
spec:
  provenance: {documentation: "https://acme.example.com/docs", checked: "2026-11-22"}
  signatures:
  - {algorithm: hmac-sha256, header: X-Sig, encoding: hex, content: "{body}"}
  event: {type: [{jsonPath: $.type}], dedup: {key: ID}}
  replies:
    accepted: {status: 200}
    duplicate: {status: 200}
    ignored: {status: 200}
    suspended: {status: 503, retryAfterSeconds: 5}
    unauthenticated: {status: 401}
    unlisted: {status: 403}
    tooLarge: {status: 413}
    malformed: {status: 400}
    rateLimited: {status: 429}
    overloaded: {status: 503, retryAfterSeconds: 1}
    failed: {status: 503, retryAfterSeconds: 1}
    misrouted: {status: 404}
  hooks:
  - {name: push, mode: Async, paths: [{path: /}]}
  regions:
  - {name: west, ranges: [{cidr: 203.0.113.0/24}]}
`

// rule is a bound or rule with values on both sides of it.
type rule struct {
	path  string   // where the value stands; a rule of an object may need more, see with
	good  []string // YAML
	bad   []string
	want  string   // what the message of each bad one holds
	with  []string // path=value of what is set besides
	clear string   // a field to take out
}

func (r *rule) object(t *testing.T, minimal, value string) map[string]any {
	t.Helper()
	obj := object(t, minimal)
	if r.clear != "" {
		set(t, obj, r.clear, "")
	}
	for _, w := range r.with {
		path, v, _ := strings.Cut(w, "=")
		set(t, obj, path, v)
	}
	set(t, obj, r.path, value)
	return obj
}

// check returns what is said against an object; nothing: it is taken.
type check func(t *testing.T, obj map[string]any) []string

// bySchema checks with the CRD, as the tool does.
func bySchema(t *testing.T, kind string) check {
	s := schema(t, kind)
	return func(_ *testing.T, obj map[string]any) []string { return texts(s.Check(context.Background(), obj)) }
}

func texts(errs field.ErrorList) []string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	return all
}

// testRules holds rules to the CRD, and to an API server that has it.
func testRules(t *testing.T, kind, minimal string, rules []rule) {
	t.Run("schema", func(t *testing.T) { testRulesBy(t, bySchema(t, kind), 1, minimal, rules) })
	t.Run("API server", func(t *testing.T) { testRulesBy(t, byServer(t), 16, minimal, rules) })
}

// testRulesBy holds rules to one check, which may be asked so many at once.
func testRulesBy(t *testing.T, check check, atOnce int, minimal string, rules []rule) {
	if found := check(t, object(t, minimal)); len(found) > 0 {
		t.Fatalf("the minimal object: %v", found)
	}
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	each := func(r rule, value string, judge func(found []string) string) {
		obj := r.object(t, minimal, value)
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if wrong := judge(check(t, obj)); wrong != "" {
				t.Errorf("%s: %s: %s", r.path, shorten(value), wrong)
			}
		})
	}
	for _, r := range rules {
		for _, value := range r.good {
			each(r, value, taken)
		}
		for _, value := range r.bad {
			each(r, value, func(found []string) string { return refused(found, r.want) })
		}
	}
	all.Wait()
}

// taken says what is wrong unless nothing was said.
func taken(found []string) string {
	if len(found) == 0 {
		return ""
	}
	return fmt.Sprintf("it is refused: %q", found)
}

// refused says what is wrong unless it was said.
func refused(found []string, want string) string {
	if slices.ContainsFunc(found, func(text string) bool { return strings.Contains(text, want) }) {
		return ""
	}
	return fmt.Sprintf("got %q, want %q", found, want)
}

// testUpdate holds that a change is taken, or refused with a message, by the CRD
// and by an API server.
func testUpdate(t *testing.T, kind string, old, changed map[string]any, want string) {
	t.Helper()
	s := schema(t, kind)
	s.Default(old)
	for by, found := range map[string][]string{
		"schema":     texts(s.CheckUpdate(context.Background(), runtime.DeepCopyJSON(changed), old)),
		"API server": updateByServer(t, old, changed),
	} {
		wrong := taken(found)
		if want != "" {
			wrong = refused(found, want)
		}
		if wrong != "" {
			t.Errorf("%s: %s", by, wrong)
		}
	}
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// many writes a list of n members; each is the format with its number.
func many(n int, format string) string {
	var all []string
	for i := range n {
		all = append(all, strings.ReplaceAll(format, "#", strconv.Itoa(i)))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func long(n int) string { return strings.Repeat("a", n) }

// content returns an object as a decoder would.
func content(t *testing.T, obj any) map[string]any {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return object(t, string(data))
}
