package v1alpha1_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// exampleFile is a configuration in which every field of a schema is set.
func exampleFile(schema int) string {
	return filepath.Join("testdata", "schema-"+config.SchemaName(schema)+".json")
}

// TestEarlierSchemas holds that a configuration of every schema so far is read: an
// operator finds the last good one of its predecessor, and a receiver may be newer
// than what wrote its file. Whoever takes a field away has to read it all the same.
func TestEarlierSchemas(t *testing.T) {
	if _, fixed := released[config.Schema]; *update && !fixed {
		writeExample(t)
	}
	for schema := 1; schema <= config.Schema; schema++ {
		data, err := os.ReadFile(exampleFile(schema))
		if err != nil {
			t.Errorf("schema %d has no example; run the test with -update: %v", schema, err)
			continue
		}
		c, err := config.Decode(data)
		if err != nil {
			t.Errorf("a configuration of schema %d is not read: %v", schema, err)
			continue
		}
		if c.Schema != schema {
			t.Errorf("the example of schema %d has schema %d", schema, c.Schema)
		}
		allSet(t, schema, data)
	}
}

// allSet holds that the example of a schema has a value for each of its fields.
func allSet(t *testing.T, schema int, example []byte) {
	t.Helper()
	list, err := os.ReadFile(fieldsFile(schema))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(example, &v); err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	paths("", v, set)
	for line := range strings.Lines(string(list)) {
		if path, _, _ := strings.Cut(line, " "); !set[path] {
			t.Errorf("the example of schema %d does not set %s", schema, path)
		}
	}
}

// paths lists the fields that are set, as fields lists those that there are.
func paths(path string, v any, set map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		set[path] = true
		for name, e := range v {
			paths(path+"."+name, e, set)
		}
	case []any:
		for _, e := range v {
			paths(path+"[]", e, set)
		}
	default:
		set[path] = true
	}
}

// writeExample writes the example of this schema: every field is set, those that are
// checked to what is allowed.
func writeExample(t *testing.T) {
	t.Helper()
	var c config.Config
	fill(t, reflect.ValueOf(&c).Elem())
	c.APIVersion, c.Kind, c.Schema, c.Path = config.APIVersion, config.Kind, config.Schema, "/"
	c.Suspend, c.Sources.Mode = v1alpha1.SuspendNone, v1alpha1.SourceEnforce
	c.Queue.DeadLetters.WhenFull = v1alpha1.WhenFullReject
	sink := &c.Sinks[0]
	sink.WhenFull, sink.Delivery.Ordering = v1alpha1.WhenFullDropOldest, v1alpha1.OrderingNone
	printed := *sink
	sink.Stdout, printed.HTTP, printed.Name = nil, nil, "printed"
	c.Sinks = append(c.Sinks, printed)
	asked := &c.Responders[0]
	asked.OnFailure = v1alpha1.FailureDeny
	byDefault := *asked
	byDefault.Name, byDefault.Filter = "default", ""
	c.Responders = append(c.Responders, byDefault)
	data, err := json.MarshalIndent(&c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exampleFile(config.Schema), append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill sets every field to something.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Addr().Interface().(type) {
	case *metav1.Duration:
		v.Set(reflect.ValueOf(metav1.Duration{Duration: time.Minute}))
		return
	case *netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.String:
		v.SetString("some")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	default:
		t.Fatalf("this test does not know how to set a %s", v.Type())
	}
}
