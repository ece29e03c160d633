package endpoint

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// partings tells of receivers that left events behind. It looks at each change of
// a pod as it comes: by the time of a reconcile, a pod that has ended may be gone.
// It enqueues nothing.
type partings struct {
	r   *Reconciler
	log logr.Logger

	mu   sync.Mutex
	seen map[types.UID]bool // pods that are still there and were told of
}

func (p *partings) handler() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, _ requests) { p.look(ctx, e.Object, false) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, _ requests) { p.look(ctx, e.ObjectNew, false) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, _ requests) {
			p.look(ctx, e.Object, true)
			p.mu.Lock()
			delete(p.seen, e.Object.GetUID())
			p.mu.Unlock()
		},
	}
}

// partingAge is how long ago a receiver may have ended to be told of: what ended
// earlier, and is still there, was told by the operator that ran before this one.
const partingAge = time.Hour

// look tells, once for each pod, what it has left behind.
func (p *partings) look(ctx context.Context, obj client.Object, gone bool) {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Labels[desired.LabelEndpoint] == "" || !gone && !leaving(pod) {
		return
	}
	end := ended(pod)
	if end == nil || p.r.clock.Since(end.FinishedAt.Time) > partingAge || !p.first(pod.UID) {
		return
	}
	if err := p.tell(ctx, pod, end); err != nil {
		p.log.Error(err, "Telling what a receiver left behind", "namespace", pod.Namespace, "pod", pod.Name)
	}
}

func (p *partings) first(uid types.UID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen[uid] {
		return false
	}
	p.seen[uid] = true
	return true
}

// leaving reports whether a pod will not run again. A container that is started
// again in its pod finds what it left.
func leaving(pod *corev1.Pod) bool {
	return !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// ended returns how a pod's receiver ended; nil while it has not.
func ended(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == desired.ContainerName {
			return c.State.Terminated
		}
	}
	return nil
}

// tell counts what a receiver left behind and makes an Event of it. An endpoint
// that is gone was removed with all that it had queued, and is not told about.
func (p *partings) tell(ctx context.Context, pod *corev1.Pod, end *corev1.ContainerStateTerminated) error {
	ep := &v1alpha1.WebhookEndpoint{}
	err := p.r.client.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: pod.Labels[desired.LabelEndpoint]}, ep)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if desired.Persistent(ep) {
		scaledIn, err := p.scaledIn(ctx, ep, pod)
		if err != nil || !scaledIn {
			return err // its successor finds the volume
		}
	}
	parting, said := statusz.ParseParting(end.Message)
	p.r.metrics.leftBehind.WithLabelValues(stateQueued).Add(float64(parting.Left))
	p.r.metrics.leftBehind.WithLabelValues(stateDead).Add(float64(parting.DeadLettersLeft))
	if note := farewell(ep, pod.Name, parting, said, end); note != "" {
		// The pod makes each an Event of its own: those of one reason are counted in the
		// first otherwise, and only its note is kept.
		p.r.events.Eventf(ep, pod, corev1.EventTypeWarning, v1alpha1.ReasonEventsLeftBehind, "Observe", "%s", cut(note, maxNote))
	}
	return nil
}

// scaledIn reports whether no receiver of that number is to run any more.
func (p *partings) scaledIn(ctx context.Context, ep *v1alpha1.WebhookEndpoint, pod *corev1.Pod) (bool, error) {
	w, err := p.r.workload(ctx, ep)
	if err != nil || w == nil {
		return false, err
	}
	number, err := strconv.ParseInt(pod.Name[strings.LastIndexByte(pod.Name, '-')+1:], 10, 32)
	return err == nil && number >= int64(w.replicas), nil
}

// maxPartingReason bounds what is quoted of a receiver's reason, in bytes.
const maxPartingReason = 256

// killed is the exit code of a container that had to be killed.
const killed = 137

// farewell says what a receiver left behind; nothing if that is nothing.
func farewell(ep *v1alpha1.WebhookEndpoint, pod string, p statusz.Parting, said bool, end *corev1.ContainerStateTerminated) string {
	fate := "it is lost with the pod"
	if desired.Persistent(ep) {
		fate = "it waits on the volume until spec.receiver.replicas is raised again"
	}
	switch {
	case !said && end.ExitCode == killed:
		return fmt.Sprintf("Receiver %q was killed before it could say what it left in its queue; %s. See whether it ran out of memory, or of the time that it has to stop", pod, fate)
	case p.Left == 0 && p.DeadLettersLeft == 0:
		return ""
	}
	note := fmt.Sprintf("Receiver %q ended and left behind %d queued deliveries and %d dead letters, after it had handed over %d; %s",
		pod, p.Left, p.DeadLettersLeft, p.HandedOver, fate)
	if p.Reason != "" {
		note += ": " + cut(p.Reason, maxPartingReason)
	}
	return note
}
