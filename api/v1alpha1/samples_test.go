package v1alpha1_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// TestSamplesOnServer holds that an API server takes every object of every sample
// as it stands, without a warning.
func TestSamplesOnServer(t *testing.T) {
	s := server(t)
	s.warnings()
	for path, objects := range samples(t) {
		for _, u := range objects {
			s.namespace(t, cmp.Or(u.GetNamespace(), "default"))
			o := metav1.ApplyOptions{FieldManager: "kubectl", DryRun: []string{metav1.DryRunAll}}
			if _, err := s.resource(t, u).Apply(t.Context(), u.GetName(), u, o); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if w := s.warnings(); len(w) > 0 {
				t.Errorf("%s: %s %s: the API server warns of %q", path, u.GetKind(), u.GetName(), w)
			}
		}
	}
}

// TestDefaultsOnServer holds that an API server sets the defaults that are tested
// here without one, and that what stands in git does not drift from what it
// stored: to apply it again, in whatever way, changes nothing.
func TestDefaultsOnServer(t *testing.T) {
	s := server(t)
	all := samples(t)
	all["minimal endpoint"] = []*unstructured.Unstructured{{Object: object(t, minimalEndpoint)}}
	all["minimal provider"] = []*unstructured.Unstructured{{Object: object(t, minimalProvider)}}
	for path, objects := range all {
		for _, u := range objects {
			if u.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml")+" "+u.GetKind(), func(t *testing.T) { s.testDefaults(t, u) })
		}
	}
}

func (s *apiServer) testDefaults(t *testing.T, manifest *unstructured.Unstructured) {
	s.namespace(t, cmp.Or(manifest.GetNamespace(), "default"))
	r := s.resource(t, manifest)
	name := manifest.GetName()
	apply := func() (*unstructured.Unstructured, error) {
		return r.Apply(t.Context(), name, manifest, metav1.ApplyOptions{FieldManager: "kubectl"})
	}
	if _, err := apply(); err != nil {
		t.Fatal(err)
	}
	defer s.remove(t, manifest)
	stored, err := r.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := runtime.DeepCopyJSON(manifest.Object)
	schema(t, manifest.GetKind()).Default(want)
	if diff := gocmp.Diff(want, authored(stored)); diff != "" {
		t.Errorf("what is stored (-defaults +server):\n%s", diff)
	}
	// The default of the status is stored only with the next write of the object.
	// That is the operator's, which comes before anybody applies again.
	if err := unstructured.SetNestedField(stored.Object, int64(1), "status", "observedGeneration"); err != nil {
		t.Fatal(err)
	}
	if stored, err = r.UpdateStatus(t.Context(), stored, metav1.UpdateOptions{FieldManager: "operator"}); err != nil {
		t.Fatal(err)
	}
	for how, again := range map[string]func() (*unstructured.Unstructured, error){
		"server-side apply": apply,
		"update": func() (*unstructured.Unstructured, error) { // as kubectl replace
			u := manifest.DeepCopy()
			u.SetResourceVersion(stored.GetResourceVersion())
			return r.Update(t.Context(), u, metav1.UpdateOptions{FieldManager: "somebody"})
		},
		"patch": func() (*unstructured.Unstructured, error) { // as kubectl apply on the client's side
			data, err := utiljson.Marshal(manifest.Object)
			if err != nil {
				return nil, err
			}
			return r.Patch(t.Context(), name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: "somebody"})
		},
		"update of all": func() (*unstructured.Unstructured, error) { // as a controller that reads and writes back
			return r.Update(t.Context(), stored.DeepCopy(), metav1.UpdateOptions{FieldManager: "somebody"})
		},
	} {
		got, err := again()
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if got.GetResourceVersion() != stored.GetResourceVersion() || got.GetGeneration() != 1 {
			t.Errorf("%s changed something; generation %d (-before +after):\n%s", how, got.GetGeneration(), gocmp.Diff(stored.Object, got.Object))
		}
	}
}

// authored returns an object without what the API server adds to its metadata.
func authored(u *unstructured.Unstructured) map[string]any {
	u = u.DeepCopy()
	for _, f := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	return u.Object
}

// samples returns the objects of each sample, by its path.
func samples(t *testing.T) map[string][]*unstructured.Unstructured {
	t.Helper()
	all := map[string][]*unstructured.Unstructured{}
	for _, pattern := range []string{"*.yaml", "cluster/*.yaml"} {
		paths, err := filepath.Glob("../../config/samples/" + pattern)
		if err != nil || len(paths) < 3 {
			t.Fatalf("found %q: %v", paths, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for doc := range strings.SplitSeq(string(data), "\n---\n") {
				u := &unstructured.Unstructured{Object: object(t, doc)}
				if u.GetNamespace() == "" && u.GetKind() != providerKind {
					u.SetNamespace("default") // as kubectl does
				}
				all[path] = append(all[path], u)
			}
		}
	}
	return all
}
