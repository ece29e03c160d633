package helm

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/hack/chart/helm/schema"
)

const root = "../../.."

// TestKubeconform has kubeconform check all that is given to a cluster, strictly,
// against several versions of Kubernetes: what the chart makes of each case, the
// kustomizations, the samples, and what the operator makes of endpoints.
func TestKubeconform(t *testing.T) {
	all := given(t)
	custom := customKinds(t)
	for _, version := range slices.Sorted(maps.Keys(supported)) {
		t.Run(version, func(t *testing.T) {
			builtIn, err := schema.FromOpenAPI(supported[version].file(t, "api/openapi-spec/swagger.json"))
			if err != nil {
				t.Fatal(err)
			}
			v := newValidator(t, version, kinds(all), builtIn, custom)
			conform(t, v, all)
			ungated(t, builtIn, all)
			seesVersion(t, v, version)
		})
	}
}

// newValidator returns kubeconform with the schemas of some kinds.
func newValidator(t *testing.T, version string, of []runtimeschema.GroupVersionKind, sets ...*schema.Set) validator.Validator {
	t.Helper()
	dir := t.TempDir()
	for _, set := range sets {
		if err := set.Write(dir, of...); err != nil {
			t.Fatal(err)
		}
	}
	v, err := validator.New([]string{filepath.Join(dir, schema.Location)}, validator.Opts{Strict: true, KubernetesVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// seesVersion holds that a field is only valid in the versions that have it: the
// resources of a whole pod came with 1.32.
func seesVersion(t *testing.T, v validator.Validator, version string) {
	t.Helper()
	doc := fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {}, template: {spec: %s}}}",
		"{containers: [{name: a}], resources: {limits: {cpu: 1}}}")
	want := validator.Valid
	if version < "1.32" {
		want = validator.Invalid
	}
	if got := v.Validate("a newer field", io.NopCloser(strings.NewReader(doc))); got[0].Status != want {
		t.Errorf("a field of 1.32 has status %v, want %v: %v", got[0].Status, want, got[0].Err)
	}
}

// given are the objects that clusters get, by where they are from.
func given(t *testing.T) map[string]objects {
	t.Helper()
	all := map[string]objects{}
	var endpoints []string
	for _, name := range cases(t) {
		r, err := renderAs(t, release, valuesOf(t, name), monitors)
		if err != nil {
			t.Fatal(err)
		}
		all["the chart's case "+name] = r.objects
	}
	for _, dir := range []string{"config/default", "config/namespaced"} {
		all[dir] = kustomized(t, filepath.Join(root, dir))
	}
	for _, pattern := range []string{"config/samples/*.yaml", "config/samples/*/*.yaml", "controllers/desired/testdata/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: found %d files: %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(data, []byte("\nkind: ")) { // some have only parts of objects
				all[path] = parsed(t, path, data)
			}
			if bytes.Contains(data, []byte("\nkind: WebhookEndpoint\n")) {
				endpoints = append(endpoints, path)
			}
		}
	}
	ofSamples(t, all, endpoints)
	return all
}

func parsed(t *testing.T, path string, data []byte) objects {
	t.Helper()
	r, err := parse(map[string]string{path: string(data)})
	if err != nil {
		t.Fatal(err)
	}
	return r.objects
}

// ofSamples adds what the operator would make of the endpoints in each file.
func ofSamples(t *testing.T, all map[string]objects, paths []string) {
	t.Helper()
	tool := program(t, "./cmd/fairlead")
	for _, path := range paths {
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), tool, "render", "--pod-monitors", "-f", path)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("fairlead render -f %s: %v: %s", path, err, &stderr)
		}
		all["fairlead render -f "+path] = parsed(t, path, out)
	}
}

// program builds a program of the main module, and returns its path.
func program(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(folder))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, folder)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v: %s", folder, err, out)
	}
	return path
}

// customKinds are ours and those of others.
func customKinds(t *testing.T) *schema.Set {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "config/crd/*_*.yaml"))
	if err != nil || len(paths) != 2 {
		t.Fatalf("found %d CRDs: %v", len(paths), err)
	}
	var docs [][]byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, data)
	}
	for _, o := range others {
		docs = append(docs, o.published.file(t, o.file))
	}
	set, err := schema.FromCRDs(docs...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func kinds(all map[string]objects) []runtimeschema.GroupVersionKind {
	found := map[runtimeschema.GroupVersionKind]bool{}
	for _, some := range all {
		for _, obj := range some {
			found[obj.GroupVersionKind()] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}

// conform fails for each object that kubeconform does not find valid. An object
// whose kind has no schema is one of them.
func conform(t *testing.T, v validator.Validator, all map[string]objects) {
	t.Helper()
	valid := 0
	for from, some := range all {
		for _, obj := range some {
			doc, err := yaml.Marshal(obj.Object)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range v.Validate(from, io.NopCloser(bytes.NewReader(doc))) {
				if r.Status == validator.Valid {
					valid++
				} else {
					t.Errorf("%s: %s: status %v: %v", from, key(obj), r.Status, r.Err)
				}
			}
		}
	}
	t.Logf("%d objects of %d kinds are valid", valid, len(kinds(all)))
}

// gated finds, in a field's description, that a cluster may have it switched off.
var gated = regexp.MustCompile(`(?i)\balpha\b|feature[- ]?gate|requires enabling|requires the [A-Za-z]+ (feature|to be enabled)`)

// open are the fields whose description speaks of a gate that is open to everybody,
// or that is not for how the field is used here.
var open = map[string]string{
	"PodDisruptionBudget.spec.unhealthyPodEvictionPolicy":   "the gate is open since 1.27, and gone since 1.31",
	"StatefulSet.spec.persistentVolumeClaimRetentionPolicy": "the gate is open since 1.27",
	"HorizontalPodAutoscaler.spec.minReplicas":              "the gate is for 0",
	"HorizontalPodAutoscaler.spec.metrics[].type":           "the gate is for ContainerResource",
	"Deployment.spec.template.spec.tolerations[].operator":  "the gate is for Lt and Gt",
	"WebhookEndpoint.spec.receiver.tolerations[].operator":  "the gate is for Lt and Gt",
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// ungated fails for each field that a cluster may drop without a word, because it is
// behind a feature gate there that is not open to everybody. What CRDs may have is
// TestRulesOfOldest's.
func ungated(t *testing.T, set *schema.Set, all map[string]objects) {
	t.Helper()
	for from, some := range all {
		for _, obj := range some {
			if obj.GetKind() == "CustomResourceDefinition" {
				continue
			}
			for path, text := range set.Fields(obj) {
				field := obj.GetKind() + index.ReplaceAllString(path, "[]")
				if _, known := open[field]; !known && gated.MatchString(text) {
					t.Errorf("%s: %s: %s may be off: %s", from, key(obj), field, text)
				}
			}
		}
	}
}
