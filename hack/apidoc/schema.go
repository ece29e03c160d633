package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"
)

// kind is one version of one kind.
type kind struct {
	Name, APIVersion, Scope string
	ShortNames              []string
	Schema                  *schema
}

// schema is the part of an OpenAPI schema that the reference speaks of.
type schema struct {
	Description string             `json:"description"`
	Type        string             `json:"type"`
	Format      string             `json:"format"`
	Default     json.RawMessage    `json:"default"`
	Enum        []json.RawMessage  `json:"enum"`
	Pattern     string             `json:"pattern"`
	Required    []string           `json:"required"`
	Properties  map[string]*schema `json:"properties"`
	Additional  *schema            `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	MinLength   *int64             `json:"minLength"`
	MaxLength   *int64             `json:"maxLength"`
	MinItems    *int64             `json:"minItems"`
	MaxItems    *int64             `json:"maxItems"`
	Minimum     *float64           `json:"minimum"`
	Maximum     *float64           `json:"maximum"`
	IntOrString bool               `json:"x-kubernetes-int-or-string"`
	ListType    string             `json:"x-kubernetes-list-type"`
	MapKeys     []string           `json:"x-kubernetes-list-map-keys"`
	Rules       []rule             `json:"x-kubernetes-validations"`
}

// rule is one CEL rule: its message says what to do when it is broken.
type rule struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

// crd is the part of a CustomResourceDefinition that is read.
type crd struct {
	Kind string `json:"kind"`
	Spec struct {
		Group string `json:"group"`
		Scope string `json:"scope"`
		Names struct {
			Kind       string   `json:"kind"`
			ShortNames []string `json:"shortNames"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				OpenAPI *schema `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// parse reads one CRD: a kind for each of its versions.
func parse(data []byte) ([]kind, error) {
	var c crd
	if err := yaml.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("parsing YAML: %w", err)
	}
	if c.Kind != "CustomResourceDefinition" {
		return nil, fmt.Errorf("it is a %q, not a CustomResourceDefinition", c.Kind)
	}
	kinds := make([]kind, 0, len(c.Spec.Versions))
	for _, v := range c.Spec.Versions {
		if v.Schema.OpenAPI == nil {
			return nil, errors.New("version " + v.Name + " has no schema")
		}
		kinds = append(kinds, kind{
			Name:       c.Spec.Names.Kind,
			APIVersion: c.Spec.Group + "/" + v.Name,
			Scope:      c.Spec.Scope,
			ShortNames: c.Spec.Names.ShortNames,
			Schema:     v.Schema.OpenAPI,
		})
	}
	return kinds, nil
}

// object returns the object that a field holds, alone, as list items or as map
// values, and how that is written in a path; nil if it holds none.
func (s *schema) object() (*schema, string) {
	switch {
	case s.Items != nil:
		o, suffix := s.Items.object()
		return o, "[]" + suffix
	case s.Additional != nil:
		o, suffix := s.Additional.object()
		return o, ".*" + suffix
	case len(s.Properties) > 0:
		return s, ""
	default:
		return nil, ""
	}
}
