package manifest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// maxSecret is how much a Secret may hold, as in the API server.
const maxSecret = corev1.MaxSecretSize

// object is a document before it has become one of our types.
type object struct {
	place                             string
	content                           map[string]any
	apiVersion, kind, namespace, name string
}

// identify reads what every object must have.
func (o *object) identify() error {
	for _, f := range []struct {
		name string
		from map[string]any
		into *string
	}{
		{"apiVersion", o.content, &o.apiVersion},
		{"kind", o.content, &o.kind},
	} {
		s, ok := f.from[f.name].(string)
		if !ok || s == "" {
			return o.problem(f.name, "it is missing; a manifest begins with apiVersion and kind")
		}
		*f.into = s
	}
	meta, ok := o.content["metadata"].(map[string]any)
	if !ok {
		return o.problem("metadata.name", "it is missing; give the object a name")
	}
	if o.name, ok = meta["name"].(string); !ok || o.name == "" {
		return o.problem("metadata.name", "it is missing; give the object a name")
	}
	switch ns := meta["namespace"].(type) {
	case nil:
	case string:
		o.namespace = ns
	default:
		return o.problem("metadata.namespace", "it must be text; put the value into quotes")
	}
	return nil
}

// setNamespace is called after identify: there is a metadata.
func (o *object) setNamespace(ns string) {
	o.content["metadata"].(map[string]any)["namespace"] = ns
}

func (o *object) problem(field, format string, args ...any) *Problem {
	p := &Problem{Place: o.place, Object: o.kind, Field: field, Message: fmt.Sprintf(format, args...)}
	if o.name != "" {
		p.Object += " " + o.name
	}
	return p
}

// secret reads a Secret. Its entries are data, overlaid by stringData; errors
// name an entry and never show it.
func (l *loader) secret(o *object) {
	s := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: o.apiVersion, Kind: o.kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: cmp.Or(o.namespace, defaultNamespace), Name: o.name},
		Data:       map[string][]byte{},
	}
	before := len(l.problems)
	for _, msg := range validation.IsDNS1123Subdomain(o.name) {
		l.add(o, "metadata.name", "%s", msg)
	}
	l.entries(o, "data", s, func(v string) ([]byte, error) { return base64.StdEncoding.DecodeString(v) })
	l.entries(o, "stringData", s, func(v string) ([]byte, error) { return []byte(v), nil })
	size := 0
	for _, v := range s.Data {
		size += len(v)
	}
	if size > maxSecret {
		l.add(o, "data", "its entries hold more than %d bytes together, which no cluster takes", maxSecret)
	}
	if len(l.problems) == before {
		l.file.Secrets = append(l.file.Secrets, s)
	}
}

func (l *loader) entries(o *object, field string, s *corev1.Secret, decode func(string) ([]byte, error)) {
	if o.content[field] == nil {
		return
	}
	m, ok := o.content[field].(map[string]any)
	if !ok {
		l.add(o, field, "it must be a map of names to text")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		path := fmt.Sprintf("%s[%s]", field, key)
		for _, msg := range validation.IsConfigMapKey(key) {
			l.add(o, path, "%s", msg)
		}
		text, ok := m[key].(string)
		if !ok {
			l.add(o, path, "it must be text; put the value into quotes")
			continue
		}
		v, err := decode(text)
		if err != nil { // the cause would show a part of the value
			l.add(o, path, "it is not base64; write plain text under stringData")
			continue
		}
		s.Data[key] = v
	}
}
