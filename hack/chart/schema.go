package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"

	"go.yaml.in/yaml/v3"
)

//go:embed definitions.yaml
var definitions []byte

// schemaOf returns the JSON schema of the values. It is closed: a value that is not
// in values.yaml is refused, but where a line @schema says otherwise.
func schemaOf(settings []setting) ([]byte, error) {
	var defs map[string]any
	if err := yaml.Unmarshal(definitions, &defs); err != nil {
		return nil, fmt.Errorf("reading definitions of the schema: %w", err)
	}
	root := object(settings)
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "Values of the chart fairlead. Made by `make generate` from values.yaml; do not edit."
	root["definitions"] = defs
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("writing schema: %w", err)
	}
	return out.Bytes(), nil
}

// object is the schema of a mapping.
func object(settings []setting) map[string]any {
	properties := map[string]any{}
	for _, s := range settings {
		properties[s.path[len(s.path)-1]] = property(s)
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

// property is the schema of one value: what its default shows, overruled by what
// its line @schema says.
func property(s setting) map[string]any {
	p := map[string]any{}
	_, isReference := s.schema["$ref"] // beside which nothing counts
	_, isEnum := s.schema["enum"]
	switch {
	case isReference:
	case len(s.children) > 0:
		p = object(s.children)
	case !isEnum:
		p["type"] = typeOf(s.value)
	}
	maps.Copy(p, s.schema)
	if s.text != "" {
		p["description"] = s.text
	}
	return p
}

// typeOf names the type of a default in JSON schema's words.
func typeOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "object"
	case n.Kind == yaml.SequenceNode:
		return "array"
	case n.Tag == "!!int":
		return "integer"
	case n.Tag == "!!float":
		return "number"
	case n.Tag == "!!bool":
		return "boolean"
	default:
		return "string"
	}
}
