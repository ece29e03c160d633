package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Location is where a file of Write stands in its folder, as kubeconform says it.
const Location = "{{ .Group }}/{{ .ResourceAPIVersion }}/{{ .ResourceKind }}.json"

// draft is the one whose exclusiveMinimum is a boolean, as in OpenAPI.
const draft = "http://json-schema.org/draft-04/schema#"

// quantity is the name of the definition of amounts, such as 100m and 1Gi.
const quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"

// Set has a schema for each kind, and what the schemas refer to by
// "#/definitions/NAME".
type Set struct {
	kinds       map[schema.GroupVersionKind]map[string]any
	definitions map[string]map[string]any
}

// ErrNoKinds says that what was read describes no kind.
var ErrNoKinds = errors.New("no kind is described")

// FromOpenAPI reads the document of OpenAPI 2 that an API server serves, and that
// Kubernetes has as api/openapi-spec/swagger.json.
func FromOpenAPI(doc []byte) (*Set, error) {
	var read struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(doc, &read); err != nil {
		return nil, fmt.Errorf("reading OpenAPI: %w", err)
	}
	s := &Set{kinds: map[schema.GroupVersionKind]map[string]any{}, definitions: map[string]map[string]any{}}
	for name, definition := range read.Definitions {
		made := strict(definition)
		s.definitions[name] = made
		for _, gvk := range kindsOf(definition) {
			s.kinds[gvk] = made
		}
	}
	if len(s.kinds) == 0 {
		return nil, fmt.Errorf("reading OpenAPI: %w", ErrNoKinds)
	}
	s.definitions[quantity] = map[string]any{"type": []any{"number", "string"}} // OpenAPI calls it a text
	return s, nil
}

// kindsOf returns the kinds that a definition says it is of. Those of several, such
// as DeleteOptions, are no objects.
func kindsOf(definition map[string]any) []schema.GroupVersionKind {
	said, _ := definition["x-kubernetes-group-version-kind"].([]any)
	if len(said) != 1 {
		return nil
	}
	m, _ := said[0].(map[string]any)
	group, _ := m["group"].(string)
	version, _ := m["version"].(string)
	kind, _ := m["kind"].(string)
	return []schema.GroupVersionKind{{Group: group, Version: version, Kind: kind}}
}

// Write makes a file for each of the kinds that the set has. A file stands for
// itself.
func (s *Set) Write(dir string, kinds ...schema.GroupVersionKind) error {
	for _, gvk := range kinds {
		kind, known := s.kinds[gvk]
		if !known {
			continue
		}
		group := gvk.Group
		if group == "" {
			group = gvk.Version
		}
		path := filepath.Join(dir, group, gvk.Version, strings.ToLower(gvk.Kind)+".json")
		data, err := json.Marshal(s.whole(gvk, kind))
		if err != nil {
			return fmt.Errorf("writing schema of %s: %w", gvk, err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("making folder of schemas: %w", err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return fmt.Errorf("writing schema of %s: %w", gvk, err)
		}
	}
	return nil
}

// whole is the schema of a kind with all that it refers to, and with the one value
// that its apiVersion and its kind can have. (That they are there is what the kind
// is found by.)
func (s *Set) whole(gvk schema.GroupVersionKind, kind map[string]any) map[string]any {
	out := maps.Clone(kind)
	out["$schema"] = draft
	properties := map[string]any{}
	if named, ok := kind["properties"].(map[string]any); ok {
		maps.Copy(properties, named)
	}
	properties["apiVersion"] = map[string]any{"enum": []any{gvk.GroupVersion().String()}}
	properties["kind"] = map[string]any{"enum": []any{gvk.Kind}}
	out["properties"] = properties
	if needed := s.needed(kind); len(needed) > 0 {
		out["definitions"] = needed
	}
	return out
}

// needed returns all definitions that v refers to, and those that they do.
func (s *Set) needed(v any) map[string]any {
	found := map[string]any{}
	var follow func(any)
	follow = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			name, ok := reference(v)
			if _, known := found[name]; ok && !known {
				found[name] = s.definitions[name]
				follow(s.definitions[name])
			}
			for _, child := range v {
				follow(child)
			}
		case []any:
			for _, child := range v {
				follow(child)
			}
		}
	}
	follow(v)
	return found
}

func reference(v map[string]any) (string, bool) {
	ref, _ := v["$ref"].(string) // a property of that name is no text
	return strings.CutPrefix(ref, "#/definitions/")
}

// FromCRDs reads the schemas of CustomResourceDefinitions, of one file or several.
func FromCRDs(docs ...[]byte) (*Set, error) {
	s := &Set{kinds: map[schema.GroupVersionKind]map[string]any{}}
	for doc := range bytes.SplitSeq(bytes.Join(docs, []byte("\n---\n")), []byte("\n---\n")) {
		if err := s.addCRD(doc); err != nil {
			return nil, err
		}
	}
	if len(s.kinds) == 0 {
		return nil, fmt.Errorf("reading CRDs: %w", ErrNoKinds)
	}
	return s, nil
}

// addCRD adds the versions of a CRD. What is none is left out.
func (s *Set) addCRD(doc []byte) error {
	var crd struct {
		Kind string `json:"kind"`
		Spec struct {
			Group string `json:"group"`
			Names struct {
				Kind string `json:"kind"`
			} `json:"names"`
			Versions []struct {
				Name   string `json:"name"`
				Schema struct {
					Open map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(doc, &crd); err != nil {
		return fmt.Errorf("reading CRD: %w", err)
	}
	if crd.Kind != "CustomResourceDefinition" {
		return nil
	}
	for _, v := range crd.Spec.Versions {
		gvk := schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}
		s.kinds[gvk] = strict(v.Schema.Open)
	}
	return nil
}
