package manifest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
)

const samples = "../../../config/samples"

// now is the time at which tests resolve.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// minimal is the smallest endpoint; tests edit it by replacing text.
const minimal = `apiVersion: fairlead.dev/v1alpha1
kind: WebhookEndpoint
metadata:
  name: chat
spec:
  provider: stream-chat
  secretRef: {name: signing}
  sinks:
  - name: app
    http: {url: "http://app.shop.svc/hooks"}
`

func load(t *testing.T, text string) (*manifest.File, error) {
	t.Helper()
	return manifest.Load([]string{"-"}, strings.NewReader(text))
}

func TestSamples(t *testing.T) {
	f, err := manifest.Load([]string{samples}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Skipped) > 0 {
		t.Errorf("samples hold objects of other kinds: %q", f.Skipped)
	}
	all, err := f.Resolve(now)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 3 || len(f.Providers) == 0 {
		t.Errorf("samples hold %d endpoints and %d providers; want one for each part of the manual", len(all), len(f.Providers))
	}
	for _, r := range all {
		if len(r.Warnings) > 0 {
			t.Errorf("sample %q is warned of: %q", r.Endpoint.Name, r.Warnings)
		}
	}
}

func TestLoad(t *testing.T) {
	f, err := load(t, minimal+`
---
# nothing but a comment
---
apiVersion: v1
kind: Secret
metadata: {name: signing}
data: {old: b2xkLW9sZC1vbGQtb2xkLW9sZA==, both: eA==}
stringData: {both: new-new-new-new-new}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: app}
`)
	if err != nil {
		t.Fatal(err)
	}
	ep := f.Endpoints[0]
	if ep.Namespace != "default" || ep.Spec.Sources.Mode != v1alpha1.SourceEnforce || ep.Spec.Sinks[0].Delivery.MaxAttempts != 20 {
		t.Errorf("the defaults are not set: %+v", ep)
	}
	want := map[string][]byte{"old": []byte("old-old-old-old-old"), "both": []byte("new-new-new-new-new")}
	if diff := cmp.Diff(want, f.Secret("default", "signing").Data); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	skipped := []string{"Deployment app (standard input, document 4)", "Service app (standard input, document 5)"}
	if diff := cmp.Diff(skipped, f.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

func TestLoadJSON(t *testing.T) {
	f, err := load(t, `
{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "v"}}
{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b", "namespace": "c"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Secrets) != 2 || f.Secret("c", "b") == nil || f.Secret("default", "b") != nil {
		t.Errorf("got %d Secrets, want a and b", len(f.Secrets))
	}
}

func TestLoadDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": minimal, "b.yml": strings.Replace(minimal, "chat", "other", 1), "c.txt": "}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := manifest.Load([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Endpoints) != 2 {
		t.Errorf("got %d endpoints, want 2", len(f.Endpoints))
	}
	if _, err := manifest.Load([]string{t.TempDir()}, nil); err == nil {
		t.Error("an empty directory is accepted")
	}
}

// TestLoadProblems compares whole messages: they are what the user gets.
func TestLoadProblems(t *testing.T) {
	edit := func(old, text string) string { return strings.Replace(minimal, old, text, 1) }
	const in, chat = "standard input, document 1: ", "standard input, document 1: WebhookEndpoint chat: "
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"not YAML":        {"a: [", []string{in + "reading YAML: yaml: line 1: did not find expected node content"}},
		"no object":       {"- a\n", []string{in + "it is not an object; a manifest begins with apiVersion and kind"}},
		"repeated key":    {"a: 1\na: 2\n", []string{in + "reading YAML: yaml: unmarshal errors:\n  line 2: key \"a\" already set in map"}},
		"no kind":         {"apiVersion: v1\n", []string{in + "kind: it is missing; a manifest begins with apiVersion and kind"}},
		"no name":         {edit("  name: chat", "  labels: {}"), []string{in + "WebhookEndpoint: metadata.name: it is missing; give the object a name"}},
		"unknown kind":    {edit("kind: WebhookEndpoint", "kind: WebhookRoute"), []string{in + "WebhookRoute chat: fairlead.dev/v1alpha1 WebhookRoute is unknown; fairlead knows WebhookEndpoint and WebhookProvider of fairlead.dev/v1alpha1"}},
		"unknown version": {edit("v1alpha1", "v2"), []string{chat + "fairlead.dev/v2 WebhookEndpoint is unknown; fairlead knows WebhookEndpoint and WebhookProvider of fairlead.dev/v1alpha1"}},
		"duplicate":       {minimal + "---\n" + minimal, []string{"standard input, document 2: WebhookEndpoint chat: it stands in standard input, document 1 already; keep one of the two"}},
		"unknown field": {edit("provider:", "provder: x\n  provider:"), []string{
			chat + "spec.provder: unknown field"}},
		"unknown field in metadata": {edit("metadata:", "metadata:\n  nmae: x"), []string{
			chat + "metadata.nmae: unknown field"}},
		"long name": {edit("name: chat", "name: "+strings.Repeat("a", 41)), []string{
			in + "WebhookEndpoint " + strings.Repeat("a", 41) + ": metadata.name must be at most 40 characters of a-z, 0-9 and '-', begin with a letter and end with a letter or digit: objects and DNS names are made from it"}},
		"two sinks in one": {edit("    http:", "    stdout: {}\n    http:"), []string{
			chat + "spec.sinks[0]: exactly one of the fields in [http stdout] must be set"}},
		"wrong type": {edit("name: app", "name: 5"), []string{
			chat + `spec.sinks[0].name: must be of type string: "integer"`}},
		"wrong member": {edit("  provider:", "  suspend: All\n  provider:"), []string{
			chat + `spec.suspend: All is not one of the values: "None", "Deliveries", "Intake"`}},
		"missing": {edit("  secretRef: {name: signing}\n", ""), []string{
			chat + "spec.secretRef: it is missing"}},
		"sinks of one name": {minimal + "  - name: app\n    stdout: {}\n", []string{
			chat + "spec.sinks[1]: it stands in the list twice"}},
		"namespaced provider": {"apiVersion: fairlead.dev/v1alpha1\nkind: WebhookProvider\nmetadata: {name: p, namespace: shop}\n", []string{
			in + "WebhookProvider p: metadata.namespace: a WebhookProvider has no namespace; leave it out"}},
		"secret not base64": {"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: hunter2!}\n", []string{
			in + "Secret s: data[k]: it is not base64; write plain text under stringData"}},
		"secret a number": {"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: 12345}\n", []string{
			in + "Secret s: stringData[k]: it must be text; put the value into quotes"}},
		"secret as wrong type": {"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: !!int hunter2}\n", []string{
			in + "reading YAML: a value is not of the type that its tag says"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := load(t, tt.text)
			if err == nil || f != nil {
				t.Fatal("it is accepted")
			}
			var got []string
			for _, p := range manifest.Problems(err) {
				got = append(got, p.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoadBounds holds that small files cannot stand for large ones.
func TestLoadBounds(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for _, s := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		last := "*a" + string(s[0]-1)
		bomb += "a" + s + ": &a" + s + " [" + strings.Repeat(last+", ", 9) + last + "]\n"
	}
	for name, text := range map[string]string{
		"aliases":         bomb,
		"long alias":      "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [*a, *a, *a, *a, *a]\n",
		"alias of itself": "a: &a {b: *a}\n",
		"large file":      strings.Repeat("#", 4<<20) + "\n",
		"many documents":  strings.Repeat("---\na: b\n", 1001),
		"deep":            strings.Repeat("[", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, text); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}

func TestAliases(t *testing.T) {
	_, err := load(t, "x-url: &url {url: 'http://app.shop.svc/hooks'}\n"+minimal)
	if err == nil || !strings.Contains(err.Error(), "x-url: unknown field") {
		t.Errorf("error is %v, want only an unknown field: anchors may be used", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(minimal)
	f.Add("a: &a [*a]\n---\n{}\n")
	f.Add(`{"apiVersion": "v1", "kind": "List", "items": [{"kind": 1}]} {}`)
	f.Add("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: eA==}\n")
	f.Add("apiVersion: fairlead.dev/v1alpha1\nkind: WebhookProvider\nmetadata: {name: s}\nspec: {regions: null}\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := manifest.Load([]string{"-"}, strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := file.Resolve(now); err == nil {
			return
		} else if len(manifest.Problems(err)) == 0 {
			t.Errorf("error %v names no place", err)
		}
	})
}

func BenchmarkLoadSample(b *testing.B) {
	for b.Loop() {
		if _, err := manifest.Load([]string{filepath.Join(samples, "stream-chat.yaml")}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
