package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// TestKubectl follows an endpoint by the commands that a person uses.
func TestKubectl(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	operate(t, ns, image)
	ep := chat(ns)
	create(t, ep)
	kubectl(t, "-n", ns, "wait", "--for=condition=Ready", "webhookendpoint/chat", "--timeout=90s")
	for _, name := range []string{"webhookendpoints", "whe", "fairlead"} { // the kind, its short name, its category
		row := table(t, kubectl(t, "-n", ns, "get", name))
		age := row["AGE"]
		delete(row, "AGE")
		want := map[string]string{"NAME": row["NAME"], "PROVIDER": "stream-chat", "URL": "http://chat-receiver." + ns + ".svc/", "READY": "True", "RANGES": row["RANGES"]}
		if diff := cmp.Diff(want, row); diff != "" || age == "" || !regexp.MustCompile(`^[1-9]\d*$`).MatchString(row["RANGES"]) {
			t.Errorf("kubectl get %s: (-want +got)\n%s\nage %q, ranges %q", name, diff, age, row["RANGES"])
		}
	}
	// No receiver runs that could be asked, and that takes nothing from Ready.
	for _, kind := range []string{v1alpha1.ConditionSecretReady, v1alpha1.ConditionSinksReady, v1alpha1.ConditionSourcePreserved, v1alpha1.ConditionDurable} {
		is(t, ep, kind, metav1.ConditionUnknown, v1alpha1.ReasonUnreachable)
	}
	ready(t, ep)
	until(t, "kubectl describe tells of it", func(context.Context) error {
		if text := kubectl(t, "-n", ns, "describe", "whe", "chat"); !strings.Contains(text, "Ready is True: Receivers are available") {
			return errors.New(text)
		}
		return nil
	})
}

// table returns the columns of the only row that kubectl prints of the first kind:
// other tests' providers, which are in no namespace, may follow after an empty line.
func table(t *testing.T, text string) map[string]string {
	t.Helper()
	text, _, _ = strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 2 {
		t.Fatalf("kubectl printed %d lines, want 2:\n%s", len(lines), text)
	}
	row := map[string]string{}
	cells := strings.Fields(lines[1])
	for i, name := range strings.Fields(lines[0]) {
		row[name] = cells[i]
	}
	return row
}

// TestExplain holds that every field is explained where people ask for it.
func TestExplain(t *testing.T) {
	t.Parallel()
	var text string
	until(t, "kubectl knows the kind", func(ctx context.Context) error { // which the API server publishes late
		out, err := command(ctx, "explain", "webhookendpoint.spec.networkPolicy", "--cache-dir", t.TempDir()).CombinedOutput()
		text = string(out)
		return err
	})
	for _, want := range []string{
		"KIND:       WebhookEndpoint", "FIELD: networkPolicy", "networkPolicy says who reaches the receiver's pods",
		"enabled\t<boolean>", "ingressFrom\t<[]Object>", "metricsFrom\t<[]Object>", "healthCheckRanges\t<[]string>",
		"egress\t<string>\n  enum: Open, Sinks",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("kubectl explain does not print %q", want)
		}
	}
	if strings.Contains(text, "<no description>") {
		t.Error("a field is not explained")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestLiveChange holds that what receivers take live reaches them without a
// restart.
func TestLiveChange(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	operate(t, ns, image)
	ep := chat(ns)
	create(t, ep)
	ready(t, ep)
	before, pods, sets := deployment(t, ep), receivers(t, ep), replicaSets(t, ep)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Sinks[0].HTTP.URL = "http://other.shop.svc/hooks"
		ep.Spec.Regions = []string{"mumbai"}
		ep.Spec.Limits = &v1alpha1.Limits{RequestsPerSecondPerSource: 7}
	})
	ready(t, ep)
	cm := &corev1.ConfigMap{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: desired.ConfigMapName(ep.Name)}, cm); err != nil {
		t.Fatal(err)
	}
	if text := cm.Data[desired.ConfigKey]; !strings.Contains(text, "other.shop.svc") {
		t.Errorf("the configuration has not changed:\n%s", text)
	}
	if diff := cmp.Diff(before.Spec, deployment(t, ep).Spec); diff != "" {
		t.Errorf("the Deployment has changed:\n%s", diff)
	}
	same(t, "pods", pods, receivers(t, ep))
	same(t, "ReplicaSets", sets, replicaSets(t, ep))
}

func same(t *testing.T, what string, before, after []string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" || len(before) == 0 {
		t.Errorf("the %s have changed: %s", what, diff)
	}
}

func replicaSets(t *testing.T, ep *v1alpha1.WebhookEndpoint) []string {
	t.Helper()
	var list appsv1.ReplicaSetList
	if err := admin.List(t.Context(), &list, client.InNamespace(ep.Namespace), client.MatchingLabels(desired.Selector(ep.Name))); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, fmt.Sprintf("%s %s %d", list.Items[i].Name, list.Items[i].UID, list.Items[i].Status.AvailableReplicas))
	}
	slices.Sort(out)
	return out
}

// TestImageRolls holds that a new image reaches every receiver, and that there are
// never fewer of them than were asked for.
func TestImageRolls(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	stop := operate(t, ns, image)
	ep := chat(ns, replicas(3))
	create(t, ep)
	ready(t, ep)
	stop()
	available := follow(t, ep, func(d *appsv1.Deployment) int32 { return d.Status.AvailableReplicas })
	operate(t, ns, "receiver:two")
	is(t, ep, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRollingOut)
	is(t, ep, v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonReceiversAvailable) // those that run serve
	ready(t, ep)
	seen := available()
	if slices.Min(seen) < 3 || seen[len(seen)-1] != 3 {
		t.Errorf("the numbers of available receivers were %v, want none below 3, and 3 at the end", seen)
	}
	pods := receivers(t, ep)
	if slices.ContainsFunc(pods, func(p string) bool { return !strings.HasSuffix(p, " receiver:two") }) || len(pods) != 3 {
		t.Errorf("the receivers are %q, want three of the new image", pods)
	}
}

// TestSuspend holds that a suspended endpoint is Ready, as was asked for, and that
// its receivers go on, deliveries with them.
func TestSuspend(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	operate(t, ns, image)
	ep := chat(ns)
	create(t, ep)
	ready(t, ep)
	pods := receivers(t, ep)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendIntake })
	is(t, ep, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIntakeSuspended)
	kubectl(t, "-n", ns, "wait", "--for=condition=Ready", "whe/chat", "--timeout=1s")
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendNone })
	ready(t, ep)
	same(t, "pods", pods, receivers(t, ep))
}

// TestUnschedulable holds that the scheduler's own words reach the endpoint, and
// that it recovers.
func TestUnschedulable(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	operate(t, ns, image)
	ep := chat(ns, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Receiver = &v1alpha1.Receiver{NodeSelector: map[string]string{"disk": "none-such"}}
	})
	create(t, ep)
	c := is(t, ep, v1alpha1.ConditionAvailable, metav1.ConditionFalse, corev1.PodReasonUnschedulable)
	for _, want := range []string{"A receiver cannot be scheduled: ", "0/1 nodes are available", "node affinity/selector"} {
		if !strings.Contains(c.Message, want) {
			t.Errorf("the message is %q, want %q in it", c.Message, want)
		}
	}
	is(t, ep, v1alpha1.ConditionReady, metav1.ConditionFalse, corev1.PodReasonUnschedulable)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver.NodeSelector = nil })
	ready(t, ep)
	until(t, "nothing of the old template is left", func(context.Context) error {
		if pods := receivers(t, ep); len(pods) != 2 {
			return fmt.Errorf("the pods are %q", pods)
		}
		return nil
	})
}
