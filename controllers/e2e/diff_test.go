package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// manifest is a file of git, as it is for a namespace of its own.
type manifest struct {
	path, namespace string
	objects         []*unstructured.Unstructured
}

// inGit returns the samples, and what the chart makes of endpoints in its values:
// of each file what a cluster without anybody else's kinds takes.
func inGit(t *testing.T) []*manifest {
	t.Helper()
	var all []*manifest
	for _, pattern := range []string{"config/samples/*.yaml", "config/samples/*/*.yaml", "hack/chart/helm/testdata/everything.golden.yaml"} {
		paths, err := filepath.Glob("../../" + pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("there is no %s: %v", pattern, err)
		}
		for _, path := range paths {
			if m := read(t, path); len(m.objects) > 0 {
				all = append(all, m)
			}
		}
	}
	return all
}

// read takes the endpoints and providers of a file. Hosts and providers get names
// of their own: the files are not meant to be in one cluster, and of two endpoints
// with one URL the later gives way.
func read(t *testing.T, path string) *manifest {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifest{namespace: namespace(t)}
	var docs []string
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		u := &unstructured.Unstructured{}
		data, err := yaml.YAMLToJSON([]byte(doc))
		if err == nil {
			err = utiljson.Unmarshal(data, &u.Object) // numbers as the client reads them
		}
		if err != nil {
			t.Fatal(err)
		}
		if u.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
			continue
		}
		m.rename(t, u)
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		m.objects, docs = append(m.objects, u), append(docs, string(text))
	}
	m.path = filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(m.path, []byte(strings.Join(docs, "---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *manifest) rename(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	if u.GetKind() == "WebhookProvider" {
		u.SetName(m.namespace + "-" + u.GetName())
		return
	}
	u.SetNamespace(m.namespace)
	for field, prefix := range map[string]string{"exposure.host": m.namespace + ".", "provider": m.namespace + "-"} {
		path := append([]string{"spec"}, strings.Split(field, ".")...)
		is, ok, err := unstructured.NestedString(u.Object, path...)
		if err != nil {
			t.Fatal(err)
		}
		if !ok || field == "provider" && is != "acme" { // the others are built in
			continue
		}
		if err := unstructured.SetNestedField(u.Object, prefix+is, path...); err != nil {
			t.Fatal(err)
		}
	}
}

// endpoints returns the endpoints of the file as they are in the cluster.
func (m *manifest) endpoints(t *testing.T) (all []*v1alpha1.WebhookEndpoint) {
	t.Helper()
	for _, u := range m.objects {
		if u.GetKind() != "WebhookEndpoint" {
			continue
		}
		ep := &v1alpha1.WebhookEndpoint{}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(u), ep); err != nil {
			t.Fatal(err)
		}
		all = append(all, ep)
	}
	return all
}

// versions returns the resource version of each object of the file's endpoints, and
// of the endpoints.
func (m *manifest) versions(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, u := range m.objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(u.GroupVersionKind())
		if err := admin.Get(ctx, client.ObjectKeyFromObject(u), live); err != nil {
			return nil, err
		}
		out[u.GetKind()+"/"+u.GetName()] = live.GetResourceVersion()
		if u.GetKind() != "WebhookEndpoint" {
			continue
		}
		if seen, _, err := unstructured.NestedInt64(live.Object, "status", "observedGeneration"); err != nil || seen != live.GetGeneration() {
			return nil, fmt.Errorf("generation %d of %s is not observed", live.GetGeneration(), u.GetName())
		}
		if err := made(ctx, u, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// made adds the versions of what the operator has made for an endpoint.
func made(ctx context.Context, ep *unstructured.Unstructured, versions map[string]string) error {
	for _, ref := range desired.Possible(ep.GetName()) {
		obj := &unstructured.Unstructured{}
		obj.SetGroupVersionKind(ref.GroupVersionKind)
		err := admin.Get(ctx, client.ObjectKey{Namespace: ep.GetNamespace(), Name: ref.Name}, obj)
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		versions[ref.Kind+"/"+ref.Name] = obj.GetResourceVersion()
		if ref.Kind != "Deployment" {
			continue
		}
		wanted, _, _ := unstructured.NestedInt64(obj.Object, "spec", "replicas")
		if available, _, err := unstructured.NestedInt64(obj.Object, "status", "availableReplicas"); err != nil || available != wanted {
			return fmt.Errorf("%d of %d receivers are available", available, wanted) // which takes longer than all else
		}
	}
	return nil
}

// calm is how long nothing must have been written to call it steady.
const calm = 1500 * time.Millisecond

// steady waits until nobody writes to the objects of any file any more, and returns
// their versions, by namespace and name.
func steady(t *testing.T, files []*manifest) map[string]string {
	t.Helper()
	var last map[string]string
	var since time.Time
	until(t, "nothing is written any more", func(ctx context.Context) error {
		now := map[string]string{}
		for _, m := range files {
			of, err := m.versions(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(m.path), err)
			}
			for name, version := range of {
				now[filepath.Base(m.path)+" "+m.namespace+" "+name] = version
			}
		}
		if !maps.Equal(now, last) {
			last, since = now, time.Now()
		}
		if time.Since(since) < calm {
			return errors.New("something was written a moment ago")
		}
		return nil
	})
	return last
}

// TestNoDiff holds that what stands in git and what stands in the cluster do not
// drift apart while the operator works: for every sample, and for endpoints in the
// chart's values. And that nothing the operator makes is written again, by it, by
// an operator that follows it, or by Kubernetes' own controllers.
func TestNoDiff(t *testing.T) {
	t.Parallel()
	files := inGit(t)
	var namespaces, paths []string
	for _, m := range files {
		namespaces, paths = append(namespaces, m.namespace), append(paths, "-f", m.path)
	}
	kubectl(t, append([]string{"apply", "--server-side", "--field-manager=gitops"}, paths...)...)
	stop := operateIn(t, namespaces, image)
	before := steady(t, files)
	same := func() {
		kubectl(t, append([]string{"diff", "--server-side", "--field-manager=gitops"}, paths...)...) // fails for a difference
		for _, m := range files {
			m.compare(t)
		}
	}
	same()
	stop()
	operateIn(t, namespaces, image) // which looks at everything anew
	reconciled(t, files)
	after := steady(t, files)
	maps.DeleteFunc(after, ofBudget)
	maps.DeleteFunc(before, ofBudget)
	if diff := cmp.Diff(before, after); diff != "" || len(after) < 5*len(files) {
		t.Errorf("objects were written again, or were not there (-before +after):\n%s", diff)
	}
	same()
}

func ofBudget(name, _ string) bool { return strings.Contains(name, " PodDisruptionBudget/") }

// reconciled has the operator look at each endpoint, and waits until it has: it
// takes away what is applied after nearly all else, and waits until that is back.
func reconciled(t *testing.T, files []*manifest) {
	t.Helper()
	gone := map[client.ObjectKey]types.UID{}
	for _, m := range files {
		for _, ep := range m.endpoints(t) {
			budget := &policyv1.PodDisruptionBudget{}
			err := admin.Get(t.Context(), client.ObjectKey{Namespace: ep.Namespace, Name: desired.ReceiverName(ep.Name)}, budget)
			if apierrors.IsNotFound(err) && ep.Status.URL == "" {
				continue // it never came to anything, and says why
			}
			if err == nil {
				err = admin.Delete(t.Context(), budget)
			}
			if err != nil {
				t.Fatalf("%s: %v", filepath.Base(m.path), err)
			}
			gone[client.ObjectKeyFromObject(budget)] = budget.UID
		}
	}
	until(t, "the PodDisruptionBudgets are back", func(ctx context.Context) error {
		for key, was := range gone {
			budget := &policyv1.PodDisruptionBudget{}
			if err := admin.Get(ctx, key, budget); err != nil {
				return err
			}
			if budget.UID == was {
				return fmt.Errorf("%s has not gone yet", key)
			}
		}
		return nil
	})
}

// compare holds that a tool that compares on its own side finds all that the file
// says in the cluster.
func (m *manifest) compare(t *testing.T) {
	t.Helper()
	for _, u := range m.objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(u.GroupVersionKind())
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(u), live); err != nil {
			t.Fatal(err)
		}
		for _, what := range lacking("", u.Object, live.Object) {
			t.Errorf("%s: in the cluster's %s %s is not what the file says", filepath.Base(m.path), u.GetKind(), what)
		}
	}
}

// lacking lists the fields that are wanted and that are others in the cluster. What
// is there besides, defaults among it, is no difference, in elements of lists
// neither: they are as long as they are wanted, and in that order.
func lacking(path string, want, live any) []string {
	var out []string
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for name, v := range w {
			out = append(out, lacking(path+"."+name, v, l[name])...)
		}
		return out
	case []any:
		l, _ := live.([]any)
		if len(l) != len(w) {
			return []string{path}
		}
		for i := range w {
			out = append(out, lacking(fmt.Sprintf("%s[%d]", path, i), w[i], l[i])...)
		}
		return out
	}
	if !reflect.DeepEqual(want, live) {
		return []string{path}
	}
	return nil
}
