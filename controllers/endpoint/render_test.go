package endpoint_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// TestRender holds that fairlead render prints what the operator sends to the API
// server, field by field and in the same order, for every shape and every sample.
func TestRender(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "fairlead")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", tool, "../../cmd/fairlead").CombinedOutput(); err != nil {
		t.Fatalf("building the tool: %v: %s", err, out)
	}
	t.Run("bare cluster", func(t *testing.T) { testRender(t, tool, "--no-gateway-api", "--no-cert-manager") })
	t.Run("every kind", func(t *testing.T) {
		install(t)
		testRender(t, tool, "--pod-monitors")
	})
}

func testRender(t *testing.T, tool string, flags ...string) {
	sent := &applies{}
	cfg := rest.CopyConfig(asOp)
	cfg.Wrap(sent.wrap)
	o := options()
	o.Allowed.Annotations = []string{"*", "*/*"}
	clock := clocktesting.NewFakeClock(time.Now().Truncate(time.Second))
	op := startWith(t, cfg, o, nil, clock)
	flags = append(flags, "--at", clock.Now().Format(time.RFC3339), "--receiver-image", o.Image, "--operator-namespace", o.Operator.Namespace)

	files := manifests(t)
	for _, f := range files {
		f.create(t)
	}
	first := map[string][]document{}
	for _, f := range files {
		first[f.path] = f.render(t, tool, flags...)
		until(t, filepath.Base(f.path)+" is applied", func(context.Context) error {
			return zero("objects to come", float64(max(0, len(first[f.path])-sent.count(f.namespace))))
		})
	}
	quiet(t, op)
	for _, f := range files {
		f.compare(t, first[f.path], sent.first(t, f.namespace))
		// When the Service is there, its families are known.
		f.compare(t, f.render(t, tool, append(flags, "--ip-families", f.families(t))...), sent.last(t, f.namespace))
	}
}

// manifestFile holds endpoints, in a namespace of its own, and what they need.
type manifestFile struct {
	path, namespace string
	objects         []*unstructured.Unstructured
}

// manifests returns every shape in one file, and each sample.
func manifests(t *testing.T) []*manifestFile {
	t.Helper()
	ns := namespace(t)
	shapes := &manifestFile{namespace: ns}
	for _, ep := range everyShape(ns) {
		ep.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "WebhookEndpoint"}
		shapes.objects = append(shapes.objects, &unstructured.Unstructured{Object: parse(t, ep)})
	}
	files := []*manifestFile{shapes}
	for _, pattern := range []string{"*.yaml", "cluster/*.yaml"} {
		paths, err := filepath.Glob("../../config/samples/" + pattern)
		if err != nil || len(paths) < 3 {
			t.Fatalf("found %q: %v", paths, err)
		}
		for _, path := range paths {
			files = append(files, sample(t, path))
		}
	}
	for i, f := range files {
		f.write(t, fmt.Sprintf("%d.yaml", i))
	}
	return files
}

// sample reads a sample for a namespace of its own. Secrets are left out: the
// operator does not ask for them.
func sample(t *testing.T, path string) *manifestFile {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &manifestFile{namespace: namespace(t)}
	for _, doc := range documents(t, data) {
		u := &unstructured.Unstructured{Object: doc}
		switch u.GetKind() {
		case "Secret":
			continue
		case "WebhookEndpoint":
			u.SetNamespace(f.namespace)
			f.moveHost(t, u)
		}
		f.objects = append(f.objects, u)
	}
	return f
}

// moveHost gives an endpoint a host of its own: samples are not meant to be in one
// cluster, and of two with the same URL one gives way.
func (f *manifestFile) moveHost(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	host, ok, err := unstructured.NestedString(u.Object, "spec", "exposure", "host")
	if err == nil && ok {
		err = unstructured.SetNestedField(u.Object, f.namespace+"."+host, "spec", "exposure", "host")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *manifestFile) write(t *testing.T, name string) {
	t.Helper()
	var docs []string
	for _, u := range f.objects {
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(text))
	}
	f.path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(f.path, []byte(strings.Join(docs, "---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *manifestFile) create(t *testing.T) {
	t.Helper()
	for _, u := range f.objects {
		create(t, u)
		if u.GetNamespace() == "" {
			t.Cleanup(func() {
				if err := admin.Delete(context.Background(), u); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// render returns what the tool prints.
func (f *manifestFile) render(t *testing.T, tool string, flags ...string) []document {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool, append([]string{"render", "-f", f.path}, flags...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v: %s", cmd.Args, err, &stderr)
	}
	return documents(t, out)
}

// families returns the IP families of the Services that were made.
func (f *manifestFile) families(t *testing.T) string {
	t.Helper()
	var list corev1.ServiceList
	if err := admin.List(t.Context(), &list, client.InNamespace(f.namespace)); err != nil || len(list.Items) == 0 {
		t.Fatalf("there are %d Services: %v", len(list.Items), err)
	}
	var all []string
	for _, family := range list.Items[0].Spec.IPFamilies {
		all = append(all, string(family))
	}
	return strings.Join(all, ",")
}

// compare compares, for each endpoint, what was printed with what was sent.
func (f *manifestFile) compare(t *testing.T, printed, sent []document) {
	t.Helper()
	for _, u := range f.objects {
		if u.GetKind() != "WebhookEndpoint" {
			continue
		}
		want, got := ofEndpoint(printed, u.GetName()), ofEndpoint(sent, u.GetName())
		for _, d := range got {
			d.toPrint(t, u.GetUID())
		}
		if diff := cmp.Diff(want, got); diff != "" || len(want) < 6 {
			t.Errorf("endpoint %s: %d objects (-printed +sent):\n%s", u.GetName(), len(want), diff)
		}
	}
}

// document is an object as JSON is decoded.
type document map[string]any

func (d document) meta() *unstructured.Unstructured { return &unstructured.Unstructured{Object: d} }

// toPrint takes out what only a cluster knows: the owner, which must be the
// endpoint, and which live object is meant.
func (d document) toPrint(t *testing.T, owner types.UID) {
	t.Helper()
	u := d.meta()
	if c := metav1.GetControllerOf(u); c == nil || c.UID != owner || !ptr.Deref(c.BlockOwnerDeletion, false) {
		t.Errorf("%s %s has owner %+v", u.GetKind(), u.GetName(), c)
	}
	u.SetOwnerReferences(nil)
	u.SetUID("")
	u.SetResourceVersion("")
}

func ofEndpoint(all []document, name string) []document {
	var out []document
	for _, d := range all {
		if d.meta().GetLabels()[desired.LabelEndpoint] == name {
			out = append(out, d)
		}
	}
	return out
}

// documents reads a stream of YAML documents.
func documents(t *testing.T, stream []byte) []document {
	t.Helper()
	var all []document
	r := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		text, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var d document
		if err := yaml.UnmarshalStrict(text, &d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
}

// parse returns an object as a manifest of it is read.
func parse(t *testing.T, obj any) document {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// applies keeps the bodies of server-side applies, in their order.
type applies struct {
	mu  sync.Mutex
	all []application
}

// application is one of them, and of which object it is.
type application struct {
	namespace, object string
	body              []byte
}

type applying struct {
	applies *applies
	next    http.RoundTripper
}

func (a *applies) wrap(next http.RoundTripper) http.RoundTripper { return &applying{a, next} }

func (a *applying) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/apply-patch") && !strings.HasSuffix(req.URL.Path, "/status") {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		if err := a.applies.keep(data); err != nil {
			return nil, err
		}
	}
	return a.next.RoundTrip(req)
}

func (a *applies) keep(body []byte) error {
	var d document
	if err := yaml.Unmarshal(body, &d); err != nil {
		return err
	}
	u := d.meta()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, application{u.GetNamespace(), u.GetKind() + "/" + u.GetName(), body})
	return nil
}

// count returns how many objects of a namespace were applied.
func (a *applies) count(namespace string) int {
	return len(a.each(namespace, func(kept, _ []byte) []byte { return kept }))
}

// first returns what was first sent for each object of a namespace.
func (a *applies) first(t *testing.T, namespace string) []document {
	t.Helper()
	return decoded(t, a.each(namespace, func(kept, _ []byte) []byte { return kept }))
}

// last returns what was sent last for each of them, in the order of the first.
func (a *applies) last(t *testing.T, namespace string) []document {
	t.Helper()
	return decoded(t, a.each(namespace, func(_, later []byte) []byte { return later }))
}

func (a *applies) each(namespace string, choose func(kept, later []byte) []byte) [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	var bodies [][]byte
	at := map[string]int{}
	for _, one := range a.all {
		if one.namespace != namespace {
			continue
		}
		i, known := at[one.object]
		if !known {
			at[one.object] = len(bodies)
			bodies = append(bodies, one.body)
			continue
		}
		bodies[i] = choose(bodies[i], one.body)
	}
	return bodies
}

func decoded(t *testing.T, bodies [][]byte) []document {
	t.Helper()
	all := make([]document, len(bodies))
	for i, body := range bodies {
		if err := yaml.Unmarshal(body, &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
