package v1alpha1_test

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

var update = flag.Bool("update", false, "write the fields of a schema that is not in use yet")

// digests are of the files in testdata that tell of a schema.
type digests struct{ fields, example string }

// released are the schemas that receivers somewhere read by, with the digests of
// their files. They stay as they are for good: a schema is added here when the first
// version that writes it is in use, and none is ever changed.
var released = map[int]digests{
	1: {
		fields:  "9328883ee6fcebb808c41aca44c732cbc4edfee96563a7df0192f883e8b7e701",
		example: "1423e6bda8a1047cea37eff8c53368e3c1f8234f21129def8dbb6ab3ceb71c2e",
	},
}

// fieldsFile lists the fields of a schema.
func fieldsFile(schema int) string {
	return filepath.Join("testdata", "schema-"+config.SchemaName(schema)+".txt")
}

// TestSchema holds that the fields of the configuration are those of its schema.
// Receivers refuse fields that they do not know, so a receiver of another version
// must not be given them under the same schema.
func TestSchema(t *testing.T) {
	got := strings.Join(fields(t, reflect.TypeFor[config.Config](), "", nil), "\n") + "\n"
	file := fieldsFile(config.Schema)
	_, fixed := released[config.Schema]
	if *update && !fixed {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("schema %d has no list of its fields; run the test with -update: %v", config.Schema, err)
	}
	diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n"))
	switch {
	case diff != "" && fixed:
		t.Errorf("the fields of the configuration have changed, and receivers are in use that read schema %d and refuse what they do not know. "+
			"Bump the schema: make Schema in schema.go %d and run this test with -update (-schema +fields):\n%s", config.Schema, config.Schema+1, diff)
	case diff != "":
		t.Errorf("the fields of the configuration have changed, and schema %d is not in use yet: run this test with -update (-schema +fields):\n%s", config.Schema, diff)
	}
}

// TestReleasedSchemas holds that nobody edits what tells of a schema that is in use,
// and that no schema is left out.
func TestReleasedSchemas(t *testing.T) {
	for schema := 1; schema < config.Schema; schema++ {
		if _, ok := released[schema]; !ok {
			t.Errorf("schema %d is in use, as there is schema %d; list it in released", schema, config.Schema)
		}
	}
	for schema, want := range released {
		got := digests{fields: digestOf(t, fieldsFile(schema)), example: digestOf(t, exampleFile(schema))}
		if got != want {
			t.Errorf("a file of schema %d has been edited, and receivers are in use that read it: the digests are %+v, want %+v. Put it back, and bump the schema instead", schema, got, want)
		}
	}
}

func digestOf(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// TestNewerSchema holds that a receiver that is given the configuration of a later
// one says so, and not that some field is unknown.
func TestNewerSchema(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"later":               {fmt.Sprintf(`{"apiVersion": %q, "schema": %d, "colour": "red"}`, config.APIVersion, config.Schema+1), true},
		"ours":                {fmt.Sprintf(`{"apiVersion": %q, "schema": %d, "colour": "red"}`, config.APIVersion, config.Schema), false},
		"without a number":    {strings.Replace(before, `"path"`, `"colour": "red", "path"`, 1), false},
		"of something else":   {`{"apiVersion": "v1", "schema": 99}`, false},
		"what is no document": {`{"apiVersion`, false},
	} {
		_, err := config.Decode([]byte(tt.text))
		if err == nil || errors.Is(err, config.ErrNewerSchema) != tt.want {
			t.Errorf("%s: err = %v, want ErrNewerSchema: %v", name, err, tt.want)
		}
	}
}

// fields lists every field that a type is written with, as "path type". A type
// that writes itself is one field.
func fields(t *testing.T, typ reflect.Type, path string, above []reflect.Type) []string {
	t.Helper()
	if slices.Contains(above, typ) {
		t.Fatalf("%s holds itself, at %s", typ, path)
	}
	switch {
	case writesItself(typ):
		return []string{path + " " + typ.String()}
	case typ.Kind() == reflect.Pointer:
		return fields(t, typ.Elem(), path, above)
	case typ.Kind() == reflect.Slice:
		return fields(t, typ.Elem(), path+"[]", above)
	case typ.Kind() == reflect.Map:
		return fields(t, typ.Elem(), path+"{"+typ.Key().Kind().String()+"}", above)
	case typ.Kind() != reflect.Struct:
		return []string{path + " " + typ.Kind().String()}
	}
	out := []string{path + " object"}
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if f.Anonymous && name == "" {
			t.Fatalf("%s is embedded in %s: this test does not know how that is written", f.Name, typ)
		}
		out = append(out, fields(t, f.Type, path+"."+name, append(above, typ))...)
	}
	return out
}

// writesItself reports whether a type has a form of its own in JSON.
func writesItself(typ reflect.Type) bool {
	for _, marshaler := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if typ.Implements(marshaler) || reflect.PointerTo(typ).Implements(marshaler) {
			return true
		}
	}
	return false
}
