package helm

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const (
	folder    = "../../../charts/fairlead"
	release   = "fairlead"
	namespace = "fairlead-system"
	monitors  = "monitoring.coreos.com/v1/PodMonitor"
)

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values reads YAML, as a values file.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// objects are what a chart renders.
type objects []*unstructured.Unstructured

// rendering is what Helm makes of values, besides the objects.
type rendering struct {
	objects objects
	notes   string
}

// renderAs renders the chart for a release of a name, in a cluster with kinds.
func renderAs(t *testing.T, name, text string, kinds ...string) (rendering, error) {
	t.Helper()
	made, err := files(t, name, text, kinds...)
	if err != nil {
		return rendering{}, err
	}
	return parse(made)
}

// files returns what Helm 4 makes of the templates, by their paths.
func files(t *testing.T, name, text string, kinds ...string) (map[string]string, error) {
	t.Helper()
	caps := common.DefaultCapabilities.Copy()
	caps.APIVersions = slices.Concat(caps.APIVersions, kinds)
	caps.KubeVersion = common.KubeVersion{Version: "v1.37.2", Major: "1", Minor: "37"}
	c := load(t)
	options := common.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(c, values(t, text), options, caps)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// parse reads the objects of all files, in the order of their names.
func parse(files map[string]string) (rendering, error) {
	var r rendering
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(path, "NOTES.txt") {
			r.notes = files[path]
			continue
		}
		for doc := range strings.SplitSeq(files[path], "\n---\n") {
			obj, err := decode([]byte(strings.TrimPrefix(doc, "---\n")))
			if err != nil {
				return r, fmt.Errorf("%s: %w in\n%s", path, err, doc)
			}
			if obj != nil {
				r.objects = append(r.objects, obj)
			}
		}
	}
	return r, nil
}

var errNoKind = errors.New("an object has no kind or name")

// decode reads one object, or nil. A key that stands twice is an error.
func decode(doc []byte) (*unstructured.Unstructured, error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil, nil
	}
	var content map[string]any
	if err := yaml.UnmarshalStrict(doc, &content); err != nil || len(content) == 0 {
		return nil, err
	}
	obj := &unstructured.Unstructured{Object: content}
	if obj.GetKind() == "" || obj.GetName() == "" {
		return nil, errNoKind
	}
	return obj, nil
}

// render renders a release with the usual name, in a cluster without PodMonitors.
func render(t *testing.T, text string) objects {
	t.Helper()
	r, err := renderAs(t, release, text)
	if err != nil {
		t.Fatalf("%v with values\n%s", err, text)
	}
	return r.objects
}

// find returns the object of a kind and name, or nil.
func (o objects) find(kind, name string) *unstructured.Unstructured {
	for _, obj := range o {
		if obj.GetKind() == kind && obj.GetName() == name {
			return obj
		}
	}
	return nil
}

// kind returns the names of all objects of a kind, NAMESPACE/NAME where they are in
// one.
func (o objects) kind(kind string) []string {
	var names []string
	for _, obj := range o {
		if obj.GetKind() == kind {
			names = append(names, strings.TrimPrefix(obj.GetNamespace()+"/"+obj.GetName(), "/"))
		}
	}
	return names
}

// as returns the object of a kind and name, typed; a field that the type does not
// have fails the test.
func as[T any](t *testing.T, all objects, kind, name string) T {
	t.Helper()
	var typed T
	obj := all.find(kind, name)
	if obj == nil {
		t.Fatalf("there is no %s %s among %v", kind, name, all.kind(kind))
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(obj.Object, &typed, true); err != nil {
		t.Fatalf("%s %s: %v", kind, name, err)
	}
	return typed
}
