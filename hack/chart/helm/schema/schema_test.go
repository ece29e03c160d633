package schema_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/yannh/kubeconform/pkg/validator"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metaschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/hack/chart/helm/schema"
)

// box is a document of OpenAPI with one kind of each way to say a type.
const box = `{"definitions": {
 "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
 "IntOrString": {"type": "string", "format": "int-or-string"},
 "Item": {"type": "object", "required": ["name"], "properties": {
   "name": {"type": "string", "description": "Name of the item."},
   "size": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
   "next": {"$ref": "#/definitions/Item"}}},
 "Box": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Box"}],
  "properties": {
   "apiVersion": {"type": "string"}, "kind": {"type": "string"},
   "metadata": {"type": "object"},
   "port": {"$ref": "#/definitions/IntOrString"},
   "labels": {"type": "object", "additionalProperties": {"type": "string"}},
   "items": {"type": "array", "description": "What is in it. An alpha field.", "items": {"$ref": "#/definitions/Item"}}}},
 "Options": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Options"}, {"group": "example.com", "version": "v1", "kind": "Options"}]}
}}`

// crate is the CRD of what box has by OpenAPI.
const crate = `---
kind: CustomResourceDefinition
spec:
  group: example.com
  names: {kind: Box}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
          labels: {type: object, additionalProperties: {type: string}}
          items:
            type: array
            items:
              type: object
              required: [name]
              properties:
                name: {type: string}
                size: {x-kubernetes-int-or-string: true}
                next: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {name: {type: string}}}
              oneOf:
              - required: [size]
                properties: {size: {not: {enum: [0]}}}
              - required: [next]
---
`

var boxKind = metaschema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Box"}

// check asks kubeconform, in its strict mode, what it thinks of a Box.
func check(t *testing.T, s *schema.Set, spec string) validator.Result {
	t.Helper()
	dir := t.TempDir()
	if err := s.Write(dir, boxKind, metaschema.GroupVersionKind{Version: "v1", Kind: "Unknown"}); err != nil {
		t.Fatal(err)
	}
	v, err := validator.New([]string{filepath.Join(dir, schema.Location)}, validator.Opts{Strict: true, KubernetesVersion: "1.31.0"})
	if err != nil {
		t.Fatal(err)
	}
	doc := "apiVersion: example.com/v1\nkind: Box\nmetadata: {name: a}\n" + spec
	results := v.Validate("box", readCloser{strings.NewReader(doc)})
	if len(results) != 1 {
		t.Fatalf("there are %d results", len(results))
	}
	return results[0]
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestStrict(t *testing.T) {
	open, err := schema.FromOpenAPI([]byte(box))
	if err != nil {
		t.Fatal(err)
	}
	crds, err := schema.FromCRDs([]byte(crate))
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]validator.Status{
		"items: [{name: a, size: 1}]":            validator.Valid,
		"items: [{name: a, size: 1Gi}]":          validator.Valid,
		"items: [{name: a, next: {name: b}}]":    validator.Valid,
		"port: http\nlabels: {a: b}":             validator.Valid,
		"port: 80":                               validator.Valid,
		"port: null":                             validator.Invalid,
		"port: 8.5":                              validator.Invalid,
		"ports: 80":                              validator.Invalid,
		"items: [{size: 1}]":                     validator.Invalid,
		"items: [{name: a, size: 1, colour: b}]": validator.Invalid,
		"items: {name: a}":                       validator.Invalid,
		"labels: {a: 1}":                         validator.Invalid,
		"port: 80\nport: 81":                     validator.Error, // stands twice
	} {
		for name, set := range map[string]*schema.Set{"OpenAPI": open, "CRD": crds} {
			if got := check(t, set, spec); got.Status != want {
				t.Errorf("%s: %q has status %v, want %v: %v", name, spec, got.Status, want, got.Err)
			}
		}
	}
	if got := check(t, crds, "items: [{name: a, next: {other: b}}]"); got.Status != validator.Valid {
		t.Errorf("what keeps unknown fields refuses one: %v", got.Err)
	}
	if got := check(t, crds, "items: [{name: a, size: 0}]"); got.Status != validator.Invalid {
		t.Errorf("a member of oneOf is not seen: %v", got.Status)
	}
}

func TestFields(t *testing.T) {
	s, err := schema.FromOpenAPI([]byte(box))
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte("{apiVersion: example.com/v1, kind: Box, items: [{name: a, next: {name: b}}]}"), &obj.Object); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{".items": "What is in it. An alpha field.", ".items[0].name": "Name of the item.", ".items[0].next.name": "Name of the item."}
	if diff := cmp.Diff(want, s.Fields(obj)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoKinds(t *testing.T) {
	if _, err := schema.FromOpenAPI([]byte(`{"definitions": {"A": {}}}`)); !errors.Is(err, schema.ErrNoKinds) {
		t.Errorf("OpenAPI: %v, want ErrNoKinds", err)
	}
	if _, err := schema.FromCRDs([]byte("kind: ConfigMap\n")); !errors.Is(err, schema.ErrNoKinds) {
		t.Errorf("CRDs: %v, want ErrNoKinds", err)
	}
}

// TestOnlyWhatIsAsked holds that what a set does not have makes no file.
func TestOnlyWhatIsAsked(t *testing.T) {
	s, err := schema.FromOpenAPI([]byte(box))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := s.Write(dir, metaschema.GroupVersionKind{Group: "example.com", Version: "v2", Kind: "Box"}); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("there are %v: %v", entries, err)
	}
}
