package schema

import (
	"maps"
	"slices"
	"strings"
)

// strict returns v, a schema of OpenAPI, as one of JSON that forbids fields which it
// does not name.
func strict(s map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range s {
		switch key {
		case "properties", "patternProperties":
			out[key] = each(value)
		case "items", "additionalProperties", "not":
			out[key] = strictly(value)
		case "allOf", "anyOf", "oneOf":
			out[key] = all(value)
		case "format", "default", "example", "nullable":
		default:
			if !strings.HasPrefix(key, "x-") {
				out[key] = value
			}
		}
	}
	if _, named := out["properties"]; named && s["x-kubernetes-preserve-unknown-fields"] != true && out["additionalProperties"] == nil {
		out["additionalProperties"] = false
	}
	retype(s, out)
	return out
}

// strictly is strict for what may also be a boolean or a list.
func strictly(v any) any {
	if s, ok := v.(map[string]any); ok {
		return strict(s)
	}
	return v
}

// retype says the types that OpenAPI says otherwise than JSON's schemas do.
func retype(s, out map[string]any) {
	if s["format"] == "int-or-string" || s["x-kubernetes-int-or-string"] == true {
		out["type"] = []any{"integer", "string"}
	}
	if one, ok := out["type"].(string); ok && s["nullable"] == true {
		out["type"] = []any{one, "null"}
	}
}

func each(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	m = maps.Clone(m)
	for name, value := range m {
		m[name] = strictly(value)
	}
	return m
}

// all makes the members of an allOf or the like JSON schemas. They only narrow what
// stands beside them, which names all fields, so they forbid none.
func all(v any) any {
	l, ok := v.([]any)
	if !ok {
		return v
	}
	l = slices.Clone(l)
	for i, member := range l {
		l[i] = narrowing(member)
	}
	return l
}

func narrowing(v any) any {
	v = strictly(v)
	open(v)
	return v
}

// open undoes what strict forbids, in s and all schemas below it.
func open(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["additionalProperties"] == false {
			delete(v, "additionalProperties")
		}
		for _, child := range v {
			open(child)
		}
	case []any:
		for _, child := range v {
			open(child)
		}
	}
}
