package endpoint_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

var update = flag.Bool("update", false, "accept statuses as the golden files")

// stored returns an endpoint as it stands in the API server.
func stored(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookEndpoint"))
	return u, admin.Get(ctx, client.ObjectKeyFromObject(ep), u)
}

// kstatus returns what tools that go by kstatus, GitOps controllers among them,
// make of an endpoint.
func kstatus(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*status.Result, error) {
	u, err := stored(ctx, ep)
	if err != nil {
		return nil, err
	}
	return status.Compute(u)
}

// judged holds that kstatus says the same now, and that the status is the golden
// one of that state, by which hack/gitops tries what Argo CD makes of it.
func judged(t *testing.T, ep *v1alpha1.WebhookEndpoint, state string, want status.Status) {
	t.Helper()
	u, err := stored(t.Context(), ep)
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != want {
		t.Errorf("%s: kstatus says %s, want %s: %s", state, got.Status, want, got.Message)
	}
	goldenStatus(t, state, u)
}

var moment = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// goldenStatus compares what tools read of an endpoint with a golden file. Times,
// and what each run names anew, are left out.
func goldenStatus(t *testing.T, state string, u *unstructured.Unstructured) {
	t.Helper()
	meta := map[string]any{"name": u.GetName(), "namespace": "shop", "generation": u.GetGeneration()}
	if u.GetDeletionTimestamp() != nil {
		meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	}
	is, _, err := unstructured.NestedMap(u.Object, "status")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"sourceRanges", "sourceRangeCount", "hooks", "profile"} { // which change with the profile
		delete(is, field)
	}
	if conditions, ok := is["conditions"].([]any); ok {
		slices.SortFunc(conditions, func(a, b any) int { return strings.Compare(kindOf(a), kindOf(b)) })
	}
	spec := map[string]any{}
	if suspend, ok, err := unstructured.NestedString(u.Object, "spec", "suspend"); ok && err == nil {
		spec["suspend"] = suspend
	}
	text, err := yaml.Marshal(map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": meta, "spec": spec, "status": is})
	if err != nil {
		t.Fatal(err)
	}
	got := moment.ReplaceAllString(strings.ReplaceAll(string(text), u.GetNamespace(), "shop"), "2026-01-01T00:00:00Z")
	file := filepath.Join("testdata", "status", state+".yaml")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; accept it with: go test ./controllers/endpoint -run Kstatus -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); if it is meant, accept it with: go test ./controllers/endpoint -run Kstatus -update\n%s", file, diff)
	}
}

// kindOf returns the type of a condition.
func kindOf(condition any) string {
	c, _ := condition.(map[string]any)
	kind, _ := c["type"].(string)
	return kind
}
