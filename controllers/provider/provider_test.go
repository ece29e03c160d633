package provider_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	profiles "github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/provider"
)

// bench is an API server with one profile, and counts what is written.
type bench struct {
	t      *testing.T
	client client.Client
	writes int
	fail   error // of writing
	name   types.NamespacedName
}

func newBench(t *testing.T, p *v1alpha1.WebhookProvider) *bench {
	t.Helper()
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, name: client.ObjectKeyFromObject(p)}
	b.client = fake.NewClientBuilder().WithScheme(s).WithObjects(p).WithStatusSubresource(p).WithInterceptorFuncs(interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			b.writes++
			if b.fail != nil {
				return b.fail
			}
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	}).Build()
	return b
}

// reconcile reconciles once, and returns the profile as it is then.
func (b *bench) reconcile() (*v1alpha1.WebhookProvider, error) {
	b.t.Helper()
	r := &provider.Reconciler{Client: b.client}
	_, err := reconcile.AsReconciler(b.client, r).Reconcile(b.t.Context(), reconcile.Request{NamespacedName: b.name})
	p := &v1alpha1.WebhookProvider{}
	if err := b.client.Get(b.t.Context(), b.name, p); err != nil {
		b.t.Fatal(err)
	}
	return p, err
}

func profile(t *testing.T, name string) *v1alpha1.WebhookProvider {
	t.Helper()
	p, err := profiles.Get("stream-chat")
	if err != nil {
		t.Fatal(err)
	}
	p.Name, p.Generation = name, 4
	minusOne := int64(-1)
	p.Status = &v1alpha1.WebhookProviderStatus{ObservedGeneration: &minusOne} // as the CRD sets it
	return p
}

func TestStatus(t *testing.T) {
	type condition = metav1.Condition
	yes := true
	const (
		date  = "Profile cannot be used. Mend spec.provenance.checked: must be a date such as 2006-01-02"
		taken = "spec.overridesBuiltIn: There is a built-in profile of this name; set overridesBuiltIn to true to replace it, or choose another name"
	)
	invalid := func(message string) []condition {
		return []condition{
			{Type: "Ready", Status: "False", Reason: "ProviderInvalid", Message: message, ObservedGeneration: 4},
			{Type: "Stalled", Status: "True", Reason: "ProviderInvalid", Message: message, ObservedGeneration: 4},
		}
	}
	ready := func(reason, message string) []condition {
		return []condition{{Type: "Ready", Status: "True", Reason: reason, Message: message, ObservedGeneration: 4}}
	}
	for name, tt := range map[string]struct {
		name string
		edit func(*v1alpha1.WebhookProvider)
		want []condition
	}{
		"valid":     {"acme", func(*v1alpha1.WebhookProvider) {}, ready("Valid", "Profile can be used")},
		"overrides": {"stripe", func(p *v1alpha1.WebhookProvider) { p.Spec.OverridesBuiltIn = &yes }, ready("OverridesBuiltIn", "Profile replaces the built-in one of this name")},
		"overrides nothing": {"acme", func(p *v1alpha1.WebhookProvider) { p.Spec.OverridesBuiltIn = &yes },
			ready("Valid", "Profile can be used; there is no built-in one of this name to replace, so take out spec.overridesBuiltIn")},
		"name taken": {"stripe", func(*v1alpha1.WebhookProvider) {}, invalid("Profile cannot be used. Mend " + taken)},
		"one wrong":  {"acme", func(p *v1alpha1.WebhookProvider) { p.Spec.Provenance.Checked = "soon" }, invalid(date)},
		"two wrong":  {"stripe", func(p *v1alpha1.WebhookProvider) { p.Spec.Provenance.Checked = "soon" }, invalid("Profile cannot be used. Mend " + taken + "; " + strings.TrimPrefix(date, "Profile cannot be used. Mend "))},
		"no status yet": {"acme", func(p *v1alpha1.WebhookProvider) { p.Status = nil }, // of a CRD without the default
			ready("Valid", "Profile can be used")},
	} {
		t.Run(name, func(t *testing.T) {
			p := profile(t, tt.name)
			tt.edit(p)
			b := newBench(t, p)
			got, err := b.reconcile()
			if err != nil {
				t.Fatal(err)
			}
			byType := cmpopts.SortSlices(func(a, b condition) bool { return a.Type < b.Type })
			if diff := cmp.Diff(tt.want, got.Status.Conditions, byType, cmpopts.IgnoreFields(condition{}, "LastTransitionTime")); diff != "" {
				t.Errorf("conditions: (-want +got)\n%s", diff)
			}
			want := ""
			if tt.want[0].Status == metav1.ConditionTrue {
				want = profiles.Revision(p)
			}
			if got.Status.Revision != want || got.Status.ObservedGeneration == nil || *got.Status.ObservedGeneration != 4 {
				t.Errorf("revision %q of generation %v, want %q of 4", got.Status.Revision, got.Status.ObservedGeneration, want)
			}
			if _, err := b.reconcile(); err != nil || b.writes != 1 {
				t.Errorf("%d writes after two reconciles (%v), want 1", b.writes, err)
			}
		})
	}
}

// TestStatusMended follows a profile that is mended and broken again.
func TestStatusMended(t *testing.T) {
	p := profile(t, "acme")
	b := newBench(t, p)
	for i, checked := range []string{"soon", "2026-11-22", "later"} {
		if err := b.client.Get(t.Context(), b.name, p); err != nil {
			t.Fatal(err)
		}
		p.Spec.Provenance.Checked = checked
		if err := b.client.Update(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		got, err := b.reconcile()
		if err != nil {
			t.Fatal(err)
		}
		usable := i == 1
		if stalled := len(got.Status.Conditions) == 2; stalled == usable || (got.Status.Revision != "") != usable {
			t.Errorf("checked %q: conditions %v, revision %q", checked, got.Status.Conditions, got.Status.Revision)
		}
	}
	if b.writes != 3 {
		t.Errorf("%d writes, want 3", b.writes)
	}
}

// TestMessageBounded holds that a profile with much wrong has a message of bounded
// size, which is the same each time.
func TestMessageBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*v1alpha1.WebhookProviderSpec)
		want string // the message's end
	}{
		"many": {func(s *v1alpha1.WebhookProviderSpec) {
			for i := range 200 {
				s.Regions = append(s.Regions, v1alpha1.Region{Name: fmt.Sprintf("NO-%d", i)})
			}
		}, " more"},
		"long": {func(s *v1alpha1.WebhookProviderSpec) {
			long := v1alpha1.HeaderName(strings.Repeat("A", 5000))
			s.Event.Headers = []v1alpha1.HeaderName{long, long}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := profile(t, "acme")
			tt.edit(&p.Spec)
			var messages []string
			for range 2 {
				got, err := newBench(t, p.DeepCopy()).reconcile()
				if err != nil {
					t.Fatal(err)
				}
				messages = append(messages, got.Status.Conditions[0].Message)
			}
			if m := messages[0]; len(m) > 2048 || m != messages[1] || !strings.HasSuffix(m, tt.want) {
				t.Errorf("messages of %d and %d bytes, want the same of at most 2048 twice: %s", len(m), len(messages[1]), m)
			}
		})
	}
}

func TestWriteFails(t *testing.T) {
	b := newBench(t, profile(t, "acme"))
	b.fail = errors.New("no space")
	if _, err := b.reconcile(); !errors.Is(err, b.fail) {
		t.Errorf("Reconcile() = %v, want %v", err, b.fail)
	}
}
