package endpoint_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// notes lists what Events of a reason say of an endpoint, and fails if one is told
// twice.
func notes(ctx context.Context, t *testing.T, ep *v1alpha1.WebhookEndpoint, reason string) ([]string, error) {
	t.Helper()
	var list eventsv1.EventList
	if err := admin.List(ctx, &list, client.InNamespace(ep.Namespace)); err != nil {
		return nil, err
	}
	var out []string
	for _, e := range list.Items {
		if e.Regarding.Name != ep.Name || e.Reason != reason {
			continue
		}
		if e.Type != corev1.EventTypeWarning || e.Series != nil {
			t.Errorf("the Event is %s, and told again: %v: %s", e.Type, e.Series, e.Note)
		}
		out = append(out, e.Note)
	}
	return out, nil
}

func terminated(code int32, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message, FinishedAt: metav1.Now()}}
}

// leave has a receiver's pod end as the kubelet says it.
func leave(t *testing.T, p *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) {
	t.Helper()
	p.Status.Phase = phase
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: desired.ContainerName, State: state}}
	if err := admin.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

const (
	someLeft    = `{"left":7,"handedOver":90,"deadLettersLeft":2,"reason":"no sister is ready"}`
	nothingLeft = `{"left":0,"handedOver":97,"deadLettersLeft":0}`
)

// TestLeftBehind holds that what a receiver could not hand over is told of, once,
// and counted; and that nothing is told of one that left nothing, or that runs
// again where it ran.
func TestLeftBehind(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	rollOut(t, ep)
	is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
	log := `{"time":"2026-11-22T10:00:00Z","level":"ERROR","msg":"ended"}`
	for i, tt := range []struct {
		name  string
		phase corev1.PodPhase
		state corev1.ContainerState
		gone  bool
	}{
		{"evicted", corev1.PodFailed, terminated(0, someLeft), false},
		{"empty", corev1.PodSucceeded, terminated(0, nothingLeft), true},
		{"failed", corev1.PodFailed, terminated(1, log), true},
		{"long-ago", corev1.PodFailed, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Message: someLeft, FinishedAt: metav1.NewTime(time.Now().Add(-2 * time.Hour))}}, false},
		{"restarting", corev1.PodRunning, terminated(1, someLeft), false},
		{"killed", corev1.PodFailed, terminated(137, ""), true},
		{"deleted", corev1.PodRunning, terminated(0, someLeft), true}, // it is not seen as leaving before it is gone
	} {
		p := op.pod(t, ep, tt.name, fmt.Sprintf("10.4.0.%d", i+1), nil)
		leave(t, p, tt.phase, tt.state)
		change(t, p, func(p *corev1.Pod) { p.Annotations = map[string]string{"seen": "again"} })
		if tt.gone {
			if err := admin.Delete(t.Context(), p, client.GracePeriodSeconds(0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var told []string
	until(t, "it is told", func(ctx context.Context) (err error) {
		if told, err = notes(ctx, t, ep, v1alpha1.ReasonEventsLeftBehind); err == nil && len(told) < 3 {
			return fmt.Errorf("told: %q", told)
		}
		return err
	})
	quiet(t, op)
	if told, _ = notes(t.Context(), t, ep, v1alpha1.ReasonEventsLeftBehind); len(told) != 3 {
		t.Errorf("told of %d receivers, want 3: %q", len(told), told)
	}
	all := strings.Join(told, "\n")
	for _, want := range []string{
		`Receiver "evicted" ended and left behind 7 queued deliveries and 2 dead letters, after it had handed over 90; it is lost with the pod: no sister is ready`,
		`Receiver "deleted" ended and left behind 7`,
		`Receiver "killed" was killed before it could say what it left in its queue; it is lost with the pod`,
	} {
		if err := contains(all, want); err != nil {
			t.Error(err)
		}
	}
	if queued, dead := leftBehind(t, op, "queued"), leftBehind(t, op, "dead"); queued != 14 || dead != 4 {
		t.Errorf("counted are %g queued and %g dead, want 14 and 4", queued, dead)
	}
}

// leftBehind returns what is counted.
func leftBehind(t *testing.T, op *operator, state string) float64 {
	t.Helper()
	families, err := op.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "fairlead_operator_events_left_behind_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == state {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no count of %s", state)
	return 0
}

// TestVolumesWait holds that a receiver with a volume is told of only when nobody
// comes back to the volume; and that volumes stay as they were made, whatever
// becomes of the endpoint.
func TestVolumesWait(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Queue = &v1alpha1.Queue{Type: v1alpha1.QueuePersistent}
		ep.Spec.Receiver = &v1alpha1.Receiver{Replicas: 2}
	})
	create(t, ep)
	set := named(&appsv1.StatefulSet{}, ep.Namespace, "chat-receiver")
	until(t, "the StatefulSet is there", func(ctx context.Context) error { return admin.Get(ctx, client.ObjectKeyFromObject(set), set) })
	made := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().String()
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Queue.DeadLetters.Capacity = ptr.To(resource.MustParse("1Gi"))
		ep.Spec.Queue.Quarantine = &v1alpha1.Quarantine{}
		ep.Spec.Receiver.Replicas = 1
	})
	until(t, "it is scaled in", func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		if *set.Spec.Replicas != 1 {
			return fmt.Errorf("there are %d", *set.Spec.Replicas)
		}
		return nil
	})
	if is := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().String(); is != made || made != "3584Mi" {
		t.Errorf("volumes were made with %s and are to be of %s, want 3584Mi", made, is)
	}
	for i, name := range []string{"chat-receiver-0", "chat-receiver-1"} {
		leave(t, op.pod(t, ep, name, fmt.Sprintf("10.3.0.%d", i+1), nil), corev1.PodFailed, terminated(0, someLeft))
	}
	var told []string
	until(t, "it is told", func(ctx context.Context) (err error) {
		if told, err = notes(ctx, t, ep, v1alpha1.ReasonEventsLeftBehind); err == nil && len(told) == 0 {
			return fmt.Errorf("nothing is told")
		}
		return err
	})
	quiet(t, op)
	told, _ = notes(t.Context(), t, ep, v1alpha1.ReasonEventsLeftBehind)
	const want = `Receiver "chat-receiver-1" ended and left behind 7 queued deliveries and 2 dead letters, after it had handed over 90; it waits on the volume until spec.receiver.replicas is raised again`
	if len(told) != 1 || !strings.HasPrefix(told[0], want) {
		t.Errorf("told is %q, want one that begins with %q", told, want)
	}
}
