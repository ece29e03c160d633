package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// maxManifest bounds what Parse reads: an API server takes no larger object.
const maxManifest = 1536 << 10

const kind = "WebhookProvider"

// Parse reads one WebhookProvider manifest, sets its defaults and checks it. An
// unknown or repeated field is an error, and so is a second document. The error
// joins a Problem for every field that is unknown or, if none is, that is wrong.
func Parse(data []byte) (*v1alpha1.WebhookProvider, error) {
	p, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	SetDefaults(p)
	if err := Check(p); err != nil {
		return nil, fmt.Errorf("checking profile %q: %w", p.Name, err)
	}
	return p, nil
}

func decode(data []byte) (*v1alpha1.WebhookProvider, error) {
	if len(data) > maxManifest {
		return nil, fmt.Errorf("it is longer than %d bytes", maxManifest)
	}
	if severalDocuments(data) {
		return nil, errors.New("it holds more than one document; write one profile to a file")
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, err
	}
	if err := checkFields(asJSON); err != nil {
		return nil, err
	}
	p := &v1alpha1.WebhookProvider{}
	if err := json.Unmarshal(asJSON, p); err != nil {
		return nil, err
	}
	if want := v1alpha1.GroupVersion.String(); p.APIVersion != want || p.Kind != kind {
		return nil, fmt.Errorf("it is %q of %q, not %s of %s", p.Kind, p.APIVersion, kind, want)
	}
	p.Status = nil // what some cluster found is no part of a profile
	return p, nil
}

// severalDocuments reports whether something but comments stands behind the first
// document. A line that begins with --- or ... at its first column always is a
// marker.
func severalDocuments(data []byte) bool {
	content, ended := false, false
	for line := range bytes.Lines(data) {
		if isMarker(line, "---") || isMarker(line, "...") {
			ended = content
			line = line[3:] // as in "--- {a: b}"
		}
		text := bytes.TrimSpace(line)
		switch {
		case len(text) == 0 || text[0] == '#' || (!content && text[0] == '%'):
		case ended:
			return true
		default:
			content = true
		}
	}
	return false
}

func isMarker(line []byte, marker string) bool {
	rest, found := bytes.CutPrefix(line, []byte(marker))
	return found && (len(rest) == 0 || bytes.ContainsAny(rest[:1], " \t\r\n"))
}

// checkFields refuses fields that the kind does not have, all with their paths.
// Case matters, unlike to encoding/json.
func checkFields(data []byte) error {
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if _, isObject := doc.(map[string]any); !isObject {
		return fmt.Errorf("it is not an object; a profile begins with apiVersion and kind: %s", kind)
	}
	var unknown []string
	findUnknown(doc, reflect.TypeFor[v1alpha1.WebhookProvider](), "", &unknown)
	slices.Sort(unknown)
	var errs []error
	for _, path := range unknown {
		errs = append(errs, &Problem{Path: path, Text: "there is no such field"})
	}
	return errors.Join(errs...)
}

// findUnknown adds the paths of fields in doc that t lacks. Values of another
// shape than t's are left to the decoder.
func findUnknown(doc any, t reflect.Type, path string, unknown *[]string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return
	}
	switch v := doc.(type) {
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return
		}
		fields := map[string]reflect.Type{}
		addFields(t, fields)
		for name, value := range v {
			sub := strings.TrimPrefix(path+"."+name, ".")
			if ft, known := fields[name]; known {
				findUnknown(value, ft, sub, unknown)
			} else {
				*unknown = append(*unknown, sub)
			}
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return
		}
		for i, value := range v {
			findUnknown(value, t.Elem(), fmt.Sprintf("%s[%d]", path, i), unknown)
		}
	}
}

// addFields adds the JSON names of t's fields, those of inlined structs included.
func addFields(t reflect.Type, fields map[string]reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			addFields(f.Type, fields)
		case name != "":
			fields[name] = f.Type
		}
	}
}
