package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
)

// TestReports holds what conditions come of what receivers say.
func TestReports(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Regions = []string{"us-east", "eu-west"}
		ep.Spec.Responders = []v1alpha1.Responder{{Hook: "before-message-send", HTTP: &v1alpha1.HTTPSink{URL: "http://moderator"}, OnFailure: v1alpha1.FailureDeny}}
	})
	create(t, ep)
	rollOut(t, ep)
	op.pod(t, ep, "one", "10.7.0.1", fine)
	op.pod(t, ep, "two", "10.7.0.2", nil) // cannot be asked
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	is(t, ep, v1alpha1.ConditionSinksReady, yes, v1alpha1.ReasonSinksDelivering)

	now := op.clock.Now()
	for _, tt := range []struct {
		name      string
		says      func(*statusz.Endpoint)
		condition string
		reason    string
		message   string
		ready     string // Ready's reason; empty: it stays Ready
	}{
		{"no secret", func(p *statusz.Endpoint) { p.Secret = statusz.Secret{} },
			v1alpha1.ConditionSecretReady, v1alpha1.ReasonSecretMissing, `Secret "stream" is missing or has no entry; make it`, v1alpha1.ReasonSecretMissing},
		{"no entry of those named", func(p *statusz.Endpoint) { p.Secret = statusz.Secret{Missing: []string{"current"}} },
			v1alpha1.ConditionSecretReady, v1alpha1.ReasonSecretMissing, `Secret "stream" has no entry "current"; add it, or take it out of spec.secretRef.keys`, v1alpha1.ReasonSecretMissing},
		{"one entry missing", func(p *statusz.Endpoint) { p.Secret.Missing = []string{"next"} },
			v1alpha1.ConditionSecretReady, v1alpha1.ReasonEntryMissing, `Secret "stream" has no entry "next"`, ""},
		{"weak entry", func(p *statusz.Endpoint) {
			p.Secret.Problems = map[string]string{"current": "shorter than 16 bytes"}
		},
			v1alpha1.ConditionSecretReady, v1alpha1.ReasonEntryUnusable, `Entry "current" of Secret "stream": shorter than 16 bytes`, ""},
		{"pending sink", func(p *statusz.Endpoint) {
			p.Sinks = []statusz.Sink{{Name: "app", State: "failing", Reason: "connection refused"}, {Name: "lake", State: "pending", Reason: "file lake/token is missing"}}
		},
			v1alpha1.ConditionSinksReady, v1alpha1.ReasonSinkPending, `Sink "lake" is pending: file lake/token is missing; its events wait. Sink "app" is failing: connection refused; its events wait`, ""},
		{"failing sink", func(p *statusz.Endpoint) {
			p.Sinks = []statusz.Sink{{Name: "app", State: "failing", Reason: "answered 500"}}
		},
			v1alpha1.ConditionSinksReady, v1alpha1.ReasonSinkFailing, `Sink "app" is failing: answered 500`, ""},
		{"queue half full", func(p *statusz.Endpoint) {
			p.Queue.Alerts = []string{statusz.StoreQueue}
			p.Sinks = []statusz.Sink{{Name: "app", State: "ok", QueuedBytes: 1}, {Name: "lake", State: "failing", Reason: "answered 500", QueuedBytes: 2}}
		},
			v1alpha1.ConditionSinksReady, v1alpha1.ReasonQueueFilling,
			`A queue is more than half full, most of it for sink "lake"; when it is full, intake answers 503 (whenFull: Reject). See to that sink, or raise spec.queue.capacity. Sink "lake" is failing: answered 500; its events wait`, ""},
		{"dead letters half full", func(p *statusz.Endpoint) {
			p.Queue.Alerts = []string{statusz.StoreDeadLetters}
			p.Sinks[0].DeadLetters = 1
		},
			v1alpha1.ConditionSinksReady, v1alpha1.ReasonDeadLettersFilling,
			`Dead letters take more than half of their room, most of it for sink "app"; when it is full, intake answers 503 (deadLetters.whenFull)`, ""},
		{"disk short", func(p *statusz.Endpoint) {
			p.Queue.Alerts = []string{statusz.StoreQueue, statusz.StoreDisk, "a store of tomorrow"}
		},
			v1alpha1.ConditionSinksReady, v1alpha1.ReasonDiskFilling,
			`A receiver's disk has little free space; when there is none left, intake answers 503. See what fills the node's disk or the volume. A queue is more than half full; when`, ""},
		{"responders", func(p *statusz.Endpoint) {
			p.Responders = []statusz.Responder{{Name: "strict", Hook: "before-message-send", State: "failing", Reason: "answered 500"},
				{Name: "before-message-send", Hook: "before-message-send", State: "pending", Reason: "file moderator/token is missing"}}
		},
			v1alpha1.ConditionSinksReady, v1alpha1.ReasonResponderPending,
			`Responder "before-message-send" of hook "before-message-send" is pending: file moderator/token is missing; the provider is answered as its onFailure says (Deny). ` +
				`Responder "strict" of hook "before-message-send" is failing: answered 500; the provider is answered as its onFailure says`, ""},
		{"sink before responder", func(p *statusz.Endpoint) {
			p.Sinks[0].State, p.Sinks[0].Reason = "failing", "answered 500"
			p.Responders = []statusz.Responder{{Name: "strict", Hook: "before-message-send", State: "failing", Reason: "answered 502"}}
		},
			v1alpha1.ConditionSinksReady, v1alpha1.ReasonSinkFailing, `its events wait. Responder "strict" of hook "before-message-send" is failing: answered 502`, ""},
		{"region left out", func(p *statusz.Endpoint) { // one of ours, one of mumbai's, and the stranger's that each address may be
			p.Sources = statusz.Sources{Finding: statusz.SourcePreserved, LastUnlistedValid: ptr.To(now), Addresses: []string{"34.225.10.29", "65.1.48.87", "203.0.113.7"}}
		},
			v1alpha1.ConditionSourcePreserved, v1alpha1.ReasonUnlistedSender,
			"Verified requests come from addresses of the provider's that spec.regions leaves out; add there: mumbai", ""},
		{"node's address", func(p *statusz.Endpoint) {
			p.Sources = statusz.Sources{Finding: statusz.SourceNode, Via: statusz.SourceViaPeer, Verified: 9, Addresses: []string{"10.0.0.7"}, Unknown: 3}
		},
			v1alpha1.ConditionSourcePreserved, v1alpha1.ReasonSourceHidden,
			`Some requests come through trusted proxies without a client address that can be read`, ""},
		{"unlisted sender", func(p *statusz.Endpoint) { p.Sources.LastUnlistedValid = ptr.To(now.Add(-time.Minute)) },
			v1alpha1.ConditionSourcePreserved, v1alpha1.ReasonUnlistedSender, "spec.sources.trustedProxies", ""},
		{"not synced", func(p *statusz.Endpoint) { p.Queue.SyncedBeforeReply = false },
			v1alpha1.ConditionDurable, v1alpha1.ReasonNotSynced, "before they are on disk", ""},
		{"older configuration", func(p *statusz.Endpoint) { p.Config.Generation = 0 },
			v1alpha1.ConditionReady, v1alpha1.ReasonConfigPending, "the kubelet may need 90 seconds", v1alpha1.ReasonConfigPending},
		{"refused configuration", func(p *statusz.Endpoint) { p.Config.Error = `unknown field "colour"` },
			v1alpha1.ConditionReady, v1alpha1.ReasonConfigRefused, `unknown field "colour"`, v1alpha1.ReasonConfigRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op.says(ep, "10.7.0.1", tt.says)
			c := is(t, ep, tt.condition, no, tt.reason)
			if err := contains(c.Message, tt.message); err != nil {
				t.Error(err)
			}
			if tt.ready != "" {
				is(t, ep, v1alpha1.ConditionReady, no, tt.ready)
			} else {
				is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
			}
			op.says(ep, "10.7.0.1", fine)
			is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
		})
	}

	for why, refused := range map[string]statusz.Refused{
		"have no signature": {Unsigned: 3}, "signatures came that none of them makes": {Unsigned: 3, Wrong: 1}, "too long ago": {Wrong: 3, Late: 1},
	} {
		op.says(ep, "10.7.0.1", func(p *statusz.Endpoint) { p.Secret.Refused = &refused })
		saysOf(t, ep, v1alpha1.ConditionSecretReady, yes, v1alpha1.ReasonSecretsUsable, why)
	}
	op.says(ep, "10.7.0.1", func(p *statusz.Endpoint) {
		p.Secret.Entries[0].LastUsed, p.Secret.Refused = ptr.To(now), &statusz.Refused{Wrong: 9} // of strangers
	})
	is(t, ep, v1alpha1.ConditionSourcePreserved, yes, v1alpha1.ReasonSourceSeen)
	if c := is(t, ep, v1alpha1.ConditionSecretReady, yes, v1alpha1.ReasonSecretsUsable); strings.Contains(c.Message, "no request") {
		t.Errorf("what strangers send is told: %s", c.Message)
	}
	op.says(ep, "10.7.0.1", nil)
	for _, kind := range []string{v1alpha1.ConditionSecretReady, v1alpha1.ConditionSinksReady, v1alpha1.ConditionSourcePreserved, v1alpha1.ConditionDurable} {
		is(t, ep, kind, na, v1alpha1.ReasonUnreachable)
	}
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable) // nothing says that it is not
}

// saysOf waits until a condition's message holds a text.
func saysOf(t *testing.T, ep *v1alpha1.WebhookEndpoint, kind string, status metav1.ConditionStatus, reason, text string) {
	t.Helper()
	until(t, fmt.Sprintf("%s says %q", kind, text), func(context.Context) error {
		return contains(is(t, ep, kind, status, reason).Message, text)
	})
}

// TestNetworkPolicyIsNotEnforced holds that requests which the NetworkPolicy should
// have kept out are told of, and only those.
func TestNetworkPolicyIsNotEnforced(t *testing.T) {
	op := start(t)
	const told = "see that the cluster's network plugin enforces NetworkPolicies"
	for name, tt := range map[string]struct {
		edit func(*v1alpha1.WebhookEndpoint)
		via  string
		want bool
	}{
		"policy of ranges": {func(*v1alpha1.WebhookEndpoint) {}, statusz.SourceViaPeer, true},
		"behind a proxy":   {func(*v1alpha1.WebhookEndpoint) {}, statusz.SourceViaHeader, false}, // which the policy lets in
		"policy lets more in": {func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{IngressFrom: []v1alpha1.NetworkPeer{{PodSelector: &metav1.LabelSelector{}}}}
		}, statusz.SourceViaPeer, false},
		"no policy": {func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{Enabled: ptr.To(false)}
		}, statusz.SourceViaPeer, false},
		"everybody may, Observe": {func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources = &v1alpha1.Sources{Mode: v1alpha1.SourceObserve} }, statusz.SourceViaPeer, false},
	} {
		t.Run(name, func(t *testing.T) {
			ep := chat(namespace(t), tt.edit)
			create(t, ep)
			deployed(t, ep)
			op.pod(t, ep, "one", "10.7.1.1", func(p *statusz.Endpoint) {
				p.Sources = statusz.Sources{Mode: "Enforce", Finding: statusz.SourceNoTraffic, Via: tt.via, Unlisted: 2}
			})
			c := is(t, ep, v1alpha1.ConditionSourcePreserved, na, v1alpha1.ReasonNoTraffic)
			if got := strings.Contains(c.Message, told); got != tt.want {
				t.Errorf("it says %q", c.Message)
			}
		})
	}
}

// TestFillingIsAnnounced holds that each store that fills up is told of once, also
// when the condition was False before; and that it is told what happens to sinks
// whose oldest events give way.
func TestFillingIsAnnounced(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sinks[0].WhenFull = v1alpha1.WhenFullDropOldest })
	create(t, ep)
	rollOut(t, ep)
	op.pod(t, ep, "one", "10.2.0.1", fine)
	is(t, ep, v1alpha1.ConditionSinksReady, yes, v1alpha1.ReasonSinksDelivering)
	alert := func(reason string, stores ...string) (note string) {
		op.says(ep, "10.2.0.1", func(p *statusz.Endpoint) {
			p.Queue.Alerts = stores
			p.Sinks[0].QueuedBytes, p.Sinks[0].DeadLetters = 9, 9
		})
		until(t, "it is told", func(ctx context.Context) error {
			told, err := notes(ctx, t, ep, reason)
			if err == nil && len(told) != 1 {
				return fmt.Errorf("told: %q", told)
			}
			note = strings.Join(told, "")
			return err
		})
		return note
	}
	first := alert(v1alpha1.ReasonQueueFilling, statusz.StoreQueue)
	second := alert(v1alpha1.ReasonDeadLettersFilling, statusz.StoreQueue, statusz.StoreDeadLetters)
	if err := errors.Join(contains(first, `the oldest events of sink "app" are dropped (whenFull: DropOldest)`),
		contains(second, "Dead letters take more than half of their room")); err != nil {
		t.Error(err)
	}
	is(t, ep, v1alpha1.ConditionSinksReady, no, v1alpha1.ReasonQueueFilling)
	quiet(t, op)
	if again := alert(v1alpha1.ReasonQueueFilling, statusz.StoreQueue, statusz.StoreDeadLetters); again != first {
		t.Errorf("told is %q, and then %q", first, again)
	}
}

// TestPodTrouble holds that the status says why receivers do not start.
func TestPodTrouble(t *testing.T) {
	op := start(t)
	for name, tt := range map[string]struct {
		status  corev1.PodStatus
		reason  string
		message string
	}{
		"image": {waiting("ImagePullBackOff", `Back-off pulling image "receiver:x": ErrImagePull: not found`),
			"ImagePullBackOff", "A receiver cannot start: not found"},
		"image again": {waiting("ErrImagePull", "not found"), "ImagePullBackOff", "A receiver cannot start: not found"},
		"unschedulable": {corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available: 3 Insufficient cpu."}}},
			"Unschedulable", "A receiver cannot be scheduled: 0/3 nodes are available: 3 Insufficient cpu."},
		"crash": {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "receiver", RestartCount: 3,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 74, Message: "first\nreceiver: the disk failed\n"}}}}},
			v1alpha1.ReasonCrashing, "A receiver ends again and again: exit code 74: receiver: the disk failed"},
	} {
		t.Run(name, func(t *testing.T) {
			ep := chat(namespace(t))
			create(t, ep)
			deployed(t, ep)
			p := op.pod(t, ep, "one", "10.6.0.1", nil)
			p.Status = tt.status
			if err := admin.Status().Update(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			c := is(t, ep, v1alpha1.ConditionAvailable, no, tt.reason)
			if c.Message != tt.message {
				t.Errorf("the message is %q, want %q", c.Message, tt.message)
			}
			is(t, ep, v1alpha1.ConditionReady, no, tt.reason)
		})
	}
}

func waiting(reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "receiver",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
}

// TestIngressFrom holds that an endpoint behind a proxy which the policy keeps
// out says so.
func TestIngressFrom(t *testing.T) {
	start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "a.example.com"}
	})
	create(t, ep)
	rollOut(t, ep)
	c := is(t, ep, v1alpha1.ConditionExposed, no, v1alpha1.ReasonIngressFromMissing)
	if err := contains(c.Message, "spec.networkPolicy.ingressFrom"); err != nil {
		t.Error(err)
	}
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonIngressFromMissing)
	policed(t, ep)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources = &v1alpha1.Sources{Mode: v1alpha1.SourceObserve} })
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	if got := ep.Status.AllowlistEnforcedBy; got != v1alpha1.EnforcedByNone {
		t.Errorf("allowlistEnforcedBy is %q", got)
	}
}

// TestAllowed holds the operator's limits on hosts and annotations.
func TestAllowed(t *testing.T) {
	ns := namespace(t)
	hosts, err := endpoint.ParseLimits([]string{ns + "=*.team.example.com,hooks.example.com", "other.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(o *endpoint.Options, _ *[]string) {
		o.Allowed = endpoint.Allowed{Hosts: hosts, Annotations: []string{"service.example.com/*"}}
	})
	ep := chat(ns)
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	host := func(name string) {
		change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.Host = name })
	}
	host("a.team.example.com")
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	was := configOf(t, ep)
	host("other.example.com") // allowed elsewhere
	c := is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonNotAllowed)
	if err := contains(c.Message, "allowed: *.team.example.com, hooks.example.com. What runs stays as it is"); err != nil {
		t.Error(err)
	}
	if got := configOf(t, ep); got != was {
		t.Errorf("what is not allowed was configured:\n%s", got)
	}
	host("hooks.example.com")
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	annotate := func(key string) {
		change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.ServiceAccountAnnotations = map[string]v1alpha1.AnnotationValue{key: "x"}
		})
	}
	annotate("iam.example.com/role")
	c = is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonNotAllowed)
	if err := contains(c.Message, `"iam.example.com/role" is not allowed`); err != nil {
		t.Error(err)
	}
	annotate("service.example.com/role")
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	sa := named(&corev1.ServiceAccount{}, ns, "chat-receiver")
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(sa), sa); err != nil || sa.Annotations["service.example.com/role"] != "x" {
		t.Errorf("the ServiceAccount has %v (%v)", sa.Annotations, err)
	}
}

// TestEvents holds that changes are told, and only changes.
func TestEvents(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"mars"} })
	is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonInvalidSpec)
	quiet(t, op)
	var list eventsv1.EventList
	until(t, "the change is told", func(ctx context.Context) error {
		if err := admin.List(ctx, &list, client.InNamespace(ep.Namespace)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Name == "chat" && e.Reason == v1alpha1.ReasonInvalidSpec && e.Type == corev1.EventTypeWarning && strings.Contains(e.Note, `no region "mars"`) {
				return nil
			}
		}
		return fmt.Errorf("%d events", len(list.Items))
	})
	told := map[string]int{}
	for _, e := range list.Items {
		told[e.Reason+e.Note]++
		if e.Series != nil || told[e.Reason+e.Note] > 1 {
			t.Errorf("told more than once: %s: %s", e.Reason, e.Note)
		}
	}
	if len(list.Items) > 4 {
		t.Errorf("there are %d events", len(list.Items))
	}
}
