package provider_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

var update = flag.Bool("update", false, "accept statuses as the golden files")

// TestKstatus holds what tools that go by kstatus, GitOps controllers among them,
// make of a profile; and that each status is the golden one of that state, by which
// hack/gitops tries what Argo CD makes of it.
func TestKstatus(t *testing.T) {
	deleted := metav1.NewTime(time.Unix(0, 0))
	for state, tt := range map[string]struct {
		before func(*v1alpha1.WebhookProvider) // the reconcile
		after  func(*v1alpha1.WebhookProvider)
		unseen bool
		want   status.Status
	}{
		"new":         {unseen: true, want: status.InProgressStatus}, // observedGeneration is -1
		"ready":       {want: status.CurrentStatus},
		"invalid":     {before: func(p *v1alpha1.WebhookProvider) { p.Spec.Provenance.Checked = "soon" }, want: status.FailedStatus},
		"unseen":      {after: func(p *v1alpha1.WebhookProvider) { p.Generation++ }, want: status.InProgressStatus},
		"terminating": {after: func(p *v1alpha1.WebhookProvider) { p.DeletionTimestamp = &deleted }, want: status.TerminatingStatus},
	} {
		t.Run(state, func(t *testing.T) {
			p := profile(t, "acme")
			if tt.before != nil {
				tt.before(p)
			}
			if !tt.unseen {
				var err error
				if p, err = newBench(t, p).reconcile(); err != nil {
					t.Fatal(err)
				}
			}
			if tt.after != nil {
				tt.after(p)
			}
			judged(t, p, state, tt.want)
		})
	}
}

func judged(t *testing.T, p *v1alpha1.WebhookProvider, state string, want status.Status) {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookProvider"))
	got, err := status.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != want {
		t.Errorf("kstatus says %s, want %s: %s", got.Status, want, got.Message)
	}
	goldenStatus(t, state, u)
}

// goldenStatus compares what tools read of a profile with a golden file, but for
// the specification, times and the digest of the profile.
func goldenStatus(t *testing.T, state string, u *unstructured.Unstructured) {
	t.Helper()
	unstructured.RemoveNestedField(u.Object, "spec")
	unstructured.RemoveNestedField(u.Object, "status", "revision")
	conditions, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conditions {
		if fields, ok := c.(map[string]any); ok {
			fields["lastTransitionTime"] = "2026-01-01T00:00:00Z"
		}
	}
	if len(conditions) > 0 {
		if err := unstructured.SetNestedSlice(u.Object, conditions, "status", "conditions"); err != nil {
			t.Fatal(err)
		}
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "resourceVersion")
	got, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "status", state+".yaml")
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; accept it with: go test ./controllers/provider -run Kstatus -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); if it is meant, accept it with: go test ./controllers/provider -run Kstatus -update\n%s", file, diff)
	}
}
