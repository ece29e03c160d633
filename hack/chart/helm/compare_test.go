package helm

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// sameImages are the values by which the chart names what config/default names.
const sameImages = "{image: {registry: '', tag: devel}, receiver: {image: {registry: '', tag: devel}}}"

// TestSameAsKustomize holds that config/default and the chart's defaults are the
// same objects. Allowed differences: the Namespace, which Helm's user makes; names
// and tags of images, which are said here; Helm's labels, also where they select;
// and that CRDs outlive the release.
func TestSameAsKustomize(t *testing.T) {
	want := map[string]any{}
	for _, obj := range kustomized(t, "../../../config/default") {
		if obj.GetKind() != "Namespace" {
			want[key(obj)] = shared(obj)
		}
	}
	got := map[string]any{}
	for _, obj := range render(t, sameImages) {
		got[key(obj)] = shared(obj)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-config/default +chart):\n%s", diff)
	}
}

func kustomized(t *testing.T, dir string) objects {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := all.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	r, err := parse(map[string]string{dir: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	return r.objects
}

func key(obj *unstructured.Unstructured) string {
	return obj.GetKind() + " " + obj.GetNamespace() + "/" + obj.GetName()
}

// shared takes out of an object what is allowed to differ.
func shared(obj *unstructured.Unstructured) any {
	strip(obj.Object)
	return obj.Object
}

// strip removes Helm's labels and annotations wherever they stand, and maps that
// are empty then.
func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by",
			"app.kubernetes.io/part-of", "helm.sh/chart", "helm.sh/resource-policy"} {
			if _, isText := v[k].(string); isText {
				delete(v, k)
			}
		}
		for _, child := range v {
			strip(child)
		}
		maps.DeleteFunc(v, func(k string, child any) bool {
			m, isMap := child.(map[string]any)
			return isMap && len(m) == 0 && (k == "labels" || k == "annotations")
		})
	case []any:
		for _, child := range v {
			strip(child)
		}
	}
}
