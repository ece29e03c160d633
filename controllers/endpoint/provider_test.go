package endpoint_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
)

// acme makes a WebhookProvider for the test: a built-in profile under another
// name and with other addresses.
func acme(t *testing.T, name string, ranges ...v1alpha1.Range) *v1alpha1.WebhookProvider {
	t.Helper()
	p, err := provider.Get("social-plus")
	if err != nil {
		t.Fatal(err)
	}
	p.Name = name
	p.Spec.Regions = []v1alpha1.Region{{Name: "west", Ranges: ranges}}
	create(t, p)
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), p); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	return p
}

func of(provider string) func(*v1alpha1.WebhookEndpoint) {
	return func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Provider = provider }
}

// policed waits until the NetworkPolicy lets exactly these ranges to the webhook
// port.
func policed(t *testing.T, ep *v1alpha1.WebhookEndpoint, want ...string) {
	t.Helper()
	np := named(&networkingv1.NetworkPolicy{}, ep.Namespace, ep.Name+"-receiver")
	until(t, "the policy lets in "+strings.Join(want, " "), func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(np), np); err != nil {
			return err
		}
		var got []string
		for _, rule := range np.Spec.Ingress {
			for _, from := range rule.From {
				if rule.Ports[0].Port.IntValue() == desired.WebhookPort && from.IPBlock != nil {
					got = append(got, from.IPBlock.CIDR)
				}
			}
		}
		return same(strings.Join(want, " "), strings.Join(got, " "))
	})
}

// TestRangesChangeInTime walks over the boundaries of a provider's ranges by the
// injected clock: nothing but the time makes the operator act.
func TestRangesChangeInTime(t *testing.T) {
	op := start(t)
	begins, ends := op.clock.Now().Add(time.Hour), op.clock.Now().Add(3*time.Hour)
	acme(t, "moving",
		v1alpha1.Range{CIDR: "192.0.2.0/25", ValidUntil: ptr.To(metav1.NewTime(ends))},
		v1alpha1.Range{CIDR: "192.0.2.128/25", ValidFrom: ptr.To(metav1.NewTime(begins))},
		v1alpha1.Range{CIDR: "2001:db8:1::/48"})
	ep := chat(namespace(t), of("moving"))
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	policed(t, ep, "192.0.2.0/25", "2001:db8:1::/48")
	if got := ep.Status.NextRangeChange; got == nil || !got.Time.Equal(begins) {
		t.Errorf("nextRangeChange is %v, want %v", got, begins)
	}
	quiet(t, op)

	op.clock.SetTime(begins.Add(-time.Second))
	if writes := quiet(t, op); len(writes) > 0 {
		t.Errorf("a second too early there were writes: %q", writes)
	}
	op.clock.SetTime(begins)
	policed(t, ep, "192.0.2.0/25", "192.0.2.128/25", "2001:db8:1::/48") // both, while the provider moves
	quiet(t, op)
	op.clock.SetTime(ends)
	policed(t, ep, "192.0.2.128/25", "2001:db8:1::/48")
	quiet(t, op)
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(ep), ep); err != nil {
		t.Fatal(err)
	}
	if ep.Status.NextRangeChange != nil || *ep.Status.SourceRangeCount != 2 {
		t.Errorf("status tells of %v and of %d ranges", ep.Status.NextRangeChange, *ep.Status.SourceRangeCount)
	}
	if text := configOf(t, ep); strings.Contains(text, "192.0.2.0/25") {
		t.Error("the receivers still let the old range in")
	}
}

// TestProviderOverride replaces a built-in profile and goes back.
func TestProviderOverride(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	is(t, ep, v1alpha1.ConditionProviderResolved, yes, v1alpha1.ReasonBuiltIn)

	p := acme(t, "stream-chat", v1alpha1.Range{CIDR: "192.0.2.0/24"}) // without overridesBuiltIn
	until(t, "the endpoint says that it is not used", func(ctx context.Context) error {
		c := is(t, ep, v1alpha1.ConditionProviderResolved, yes, v1alpha1.ReasonBuiltIn)
		return contains(c.Message, "does not replace it, because its overridesBuiltIn is not true")
	})
	change(t, p, func(p *v1alpha1.WebhookProvider) { p.Spec.OverridesBuiltIn = ptr.To(true) })
	is(t, ep, v1alpha1.ConditionProviderResolved, yes, v1alpha1.ReasonOverridesBuiltIn)
	policed(t, ep, "192.0.2.0/24")
	want := v1alpha1.ProfileStatus{Name: "stream-chat", Origin: v1alpha1.ProfileObject, Revision: provider.Revision(p)}
	if diff := cmp.Diff(&want, ep.Status.Profile); diff != "" {
		t.Errorf("status.profile (-want +got):\n%s", diff)
	}
	if err := admin.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	is(t, ep, v1alpha1.ConditionProviderResolved, yes, v1alpha1.ReasonBuiltIn)
	quiet(t, op)
	if strings.Contains(configOf(t, ep), "192.0.2.0/24") {
		t.Error("the addresses of the profile that is gone are still let in")
	}
}

// TestLastGoodProfile holds that a WebhookProvider that goes wrong, or away,
// leaves endpoints as they are, also when the operator starts anew, and that
// what else is changed still happens.
func TestLastGoodProfile(t *testing.T) {
	op := start(t)
	now := op.clock.Now()
	p := acme(t, "acme", v1alpha1.Range{CIDR: "192.0.2.0/25", ValidUntil: ptr.To(metav1.NewTime(now.Add(time.Hour)))}, v1alpha1.Range{CIDR: "192.0.2.128/25"})
	ep := chat(namespace(t), of("acme"))
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	is(t, ep, v1alpha1.ConditionProviderResolved, yes, v1alpha1.ReasonWebhookProvider)

	good := p.Spec.DeepCopy()
	change(t, p, func(p *v1alpha1.WebhookProvider) { // two hooks at one path: CEL cannot see it
		second := *p.Spec.Hooks[0].DeepCopy()
		second.Name = "second"
		p.Spec.Hooks = append(p.Spec.Hooks, second)
	})
	stalled := func() {
		t.Helper()
		c := is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonProviderInvalid)
		if err := contains(c.Message, "its last good profile stays in use"); err != nil {
			t.Error(err)
		}
		is(t, ep, v1alpha1.ConditionAvailable, yes, v1alpha1.ReasonReceiversAvailable)
	}
	stalled()
	policed(t, ep, "192.0.2.0/25", "192.0.2.128/25")
	op.stop()

	again := startWith(t, asOp, options(), nil, clocktesting.NewFakeClock(now)) // it knows only what stands in the cluster
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sinks[0].HTTP.URL = "http://new.shop.svc/" })
	stalled()
	quiet(t, again)
	if err := contains(configOf(t, ep), "http://new.shop.svc/"); err != nil {
		t.Errorf("the endpoint's own change waits for the provider: %v", err)
	}
	again.clock.SetTime(now.Add(time.Hour)) // the last good profile's ranges still end
	policed(t, ep, "192.0.2.128/25")
	if got := ep.Status.Profile.Origin; got != v1alpha1.ProfileLastGood {
		t.Errorf("the profile's origin is %q", got)
	}

	change(t, p, func(p *v1alpha1.WebhookProvider) { p.Spec = *good })
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	if err := admin.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	c := is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonProviderUnknown)
	if err := contains(c.Message, `There is no provider "acme"; choose from `); err != nil {
		t.Error(err)
	}
	policed(t, ep, "192.0.2.128/25")
}

// TestLastGoodConfig holds that a specification which cannot work leaves what runs
// as it is, also when the operator starts anew, and that drift is still repaired.
func TestLastGoodConfig(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"us-east"} })
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	was, ranges := configOf(t, ep), ep.Status.SourceRanges
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"us-east", "mars"} })
	c := is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonInvalidSpec)
	if err := contains(c.Message, `has no region "mars"; choose from canada, eu-west, mumbai`); err != nil {
		t.Error(err)
	}
	is(t, ep, v1alpha1.ConditionAvailable, yes, v1alpha1.ReasonReceiversAvailable)
	op.stop()
	op = start(t)
	d := deployed(t, ep)
	if err := admin.Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	until(t, "the Deployment is back", func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKeyFromObject(d), named(d, ep.Namespace, "chat-receiver"))
	})
	quiet(t, op)
	if diff := cmp.Diff(was, configOf(t, ep)); diff != "" {
		t.Errorf("the configuration changed:\n%s", diff)
	}
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonInvalidSpec)
	if diff := cmp.Diff(ranges, ep.Status.SourceRanges); diff != "" {
		t.Errorf("status.sourceRanges changed:\n%s", diff)
	}
}

// TestNeverGood holds that an endpoint which never came to anything has no
// objects, and says what to do.
func TestNeverGood(t *testing.T) {
	acme(t, "nowhere", v1alpha1.Range{CIDR: "192.0.2.0/24", ValidUntil: ptr.To(metav1.NewTime(time.Unix(1e9, 0)))})
	for name, tt := range map[string]struct {
		edit   func(*v1alpha1.WebhookEndpoint)
		reason string
		says   string
	}{
		"unknown provider":   {of("acm"), v1alpha1.ReasonProviderUnknown, `There is no provider "acm"; choose from github, slack`},
		"unknown region":     {func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"mars"} }, v1alpha1.ReasonInvalidSpec, "choose from canada, eu-west"},
		"nothing to enforce": {of("nowhere"), v1alpha1.ReasonInvalidSpec, "list its addresses in spec.sources.additionalRanges, or set mode to Observe"},
		"not allowed": {func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer}
		}, v1alpha1.ReasonNotAllowed, `"LoadBalancer" is not allowed in namespace`},
	} {
		t.Run(name, func(t *testing.T) {
			op := start(t, func(o *endpoint.Options, _ *[]string) {
				o.Allowed.Exposures = endpoint.Limits{"*": {"ClusterIP", "Gateway"}}
			})
			ep := chat(namespace(t), tt.edit)
			create(t, ep)
			c := is(t, ep, v1alpha1.ConditionStalled, yes, tt.reason)
			if err := contains(c.Message, tt.says); err != nil {
				t.Error(err)
			}
			is(t, ep, v1alpha1.ConditionAvailable, no, v1alpha1.ReasonNotApplied)
			quiet(t, op)
			if have := present(t.Context(), t, ep); len(have) > 0 {
				t.Errorf("it has %q", have)
			}
		})
	}
}

func contains(text, part string) error {
	if !strings.Contains(text, part) {
		return &missing{text, part}
	}
	return nil
}

type missing struct{ text, part string }

func (m *missing) Error() string { return "there is no " + m.part + " in " + m.text }
