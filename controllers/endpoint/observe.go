package endpoint

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/probe"
)

// workload is the Deployment or StatefulSet of an endpoint, as far as it matters
// here.
type workload struct {
	kind      string
	object    client.Object // of the cache: only read
	replicas  int32
	available int32
	// current is whether the controller has seen the newest pod template and all
	// pods are of it.
	current bool
	// volumeBytes is the size of the volumes that a StatefulSet makes.
	volumeBytes int64
	// keepsReplicas is set when what is applied repeats the live number.
	keepsReplicas bool
}

// workload reads the endpoint's Deployment or StatefulSet; nil if there is none
// of its own.
func (r *Reconciler) workload(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (*workload, error) {
	key := client.ObjectKey{Namespace: ep.Namespace, Name: desired.ReceiverName(ep.Name)}
	w := &workload{kind: "Deployment", object: &appsv1.Deployment{}}
	if desired.Persistent(ep) {
		w = &workload{kind: "StatefulSet", object: &appsv1.StatefulSet{}}
	}
	err := r.client.Get(ctx, key, w.object)
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(w.object, ep)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading workload %q: %w", key.Name, err)
	}
	w.read()
	return w, nil
}

// read takes from the object what both kinds have under different types.
func (w *workload) read() {
	count := func(wanted *int32, observed int64, all, updated, available int32) {
		n := ptr.Deref(wanted, 1)
		w.replicas, w.available = n, available
		w.current = observed >= w.object.GetGeneration() && updated >= n && all <= n
	}
	switch o := w.object.(type) {
	case *appsv1.Deployment:
		count(o.Spec.Replicas, o.Status.ObservedGeneration, o.Status.Replicas, o.Status.UpdatedReplicas, o.Status.AvailableReplicas)
	case *appsv1.StatefulSet:
		count(o.Spec.Replicas, o.Status.ObservedGeneration, o.Status.Replicas, o.Status.UpdatedReplicas, o.Status.AvailableReplicas)
		for i := range o.Spec.VolumeClaimTemplates {
			w.volumeBytes += o.Spec.VolumeClaimTemplates[i].Spec.Resources.Requests.Storage().Value()
		}
	}
}

// observeWorkload sets Available and returns why receivers are not all as they
// shall be.
func (r *Reconciler) observeWorkload(ctx context.Context, ep *v1alpha1.WebhookEndpoint) error {
	w, err := r.workload(ctx, ep)
	if err != nil {
		return err
	}
	if w == nil {
		none := &waiting{reason: v1alpha1.ReasonNotApplied, message: "There is no workload yet that could run receivers"}
		setCondition(ep, v1alpha1.ConditionAvailable, metav1.ConditionFalse, none.reason, none.message)
		return none
	}
	pods, err := r.pods(ctx, ep)
	if err != nil {
		return err
	}
	r.watchPods(ep, pods)
	reason, trouble := podTrouble(pods)
	if w.replicas == 0 {
		reason, trouble = v1alpha1.ReasonNoReceivers, fmt.Sprintf("%s %q was scaled to 0, so nobody takes events; scale it up, or set spec.receiver.replicas", w.kind, desired.ReceiverName(ep.Name))
	}
	if w.available == 0 {
		if trouble == "" {
			reason, trouble = v1alpha1.ReasonNoReceivers, fmt.Sprintf("None of %d receivers is ready yet", w.replicas)
		}
		setCondition(ep, v1alpha1.ConditionAvailable, metav1.ConditionFalse, reason, trouble)
		return &waiting{reason: reason, message: trouble}
	}
	setCondition(ep, v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonReceiversAvailable,
		fmt.Sprintf("%d of %d receivers are available", w.available, w.replicas))
	if w.current && w.available >= w.replicas {
		return nil
	}
	if trouble == "" {
		reason, trouble = v1alpha1.ReasonRollingOut, "Receivers are being replaced or added; those that are available serve"
	}
	return &waiting{reason: reason, message: trouble}
}

// pods lists the endpoint's pods.
func (r *Reconciler) pods(ctx context.Context, ep *v1alpha1.WebhookEndpoint) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := r.client.List(ctx, &list, client.InNamespace(ep.Namespace), client.MatchingFields{labelIndex: ep.Name}); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return list.Items, nil
}

// watchPods tells the poller whom to ask. A pod that is on its way out is not
// asked any more.
func (r *Reconciler) watchPods(ep *v1alpha1.WebhookEndpoint, pods []corev1.Pod) {
	var targets []probe.Target
	for i := range pods {
		p := &pods[i]
		if p.Status.PodIP != "" && p.DeletionTimestamp.IsZero() && p.Status.Phase == corev1.PodRunning {
			targets = append(targets, probe.Target{Pod: p.Name, UID: p.UID, IP: p.Status.PodIP})
		}
	}
	ready := condition(ep, v1alpha1.ConditionReady)
	fast := ready == nil || ready.Status != metav1.ConditionTrue
	r.poller.Watch(types.NamespacedName{Namespace: ep.Namespace, Name: ep.Name}, targets, fast)
}

// The reasons of the kubelet for a container that cannot be made.
var cannotStart = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "ErrImageNeverPull": true, "InvalidImageName": true, "ImageInspectError": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
}

// podTrouble returns why the first pod, by name, that cannot start does not.
func podTrouble(pods []corev1.Pod) (reason, message string) {
	name := ""
	for i := range pods {
		p := &pods[i]
		if !p.DeletionTimestamp.IsZero() || (name != "" && p.Name > name) {
			continue
		}
		if rs, text := troubleOf(p); rs != "" {
			name, reason, message = p.Name, rs, text
		}
	}
	return reason, message
}

func troubleOf(p *corev1.Pod) (reason, message string) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c.Reason, "A receiver cannot be scheduled: " + c.Message
		}
	}
	for i := range p.Status.ContainerStatuses {
		c := &p.Status.ContainerStatuses[i]
		if c.Name != desired.ContainerName {
			continue
		}
		if w := c.State.Waiting; w != nil && cannotStart[w.Reason] {
			return stableReason(w.Reason), fmt.Sprintf("A receiver cannot start: %s", pullMessage(w))
		}
		if crashing(c) {
			return v1alpha1.ReasonCrashing, "A receiver ends again and again: " + lastWords(c)
		}
	}
	return "", ""
}

// stableReason makes one reason of the two between which the kubelet goes back
// and forth.
func stableReason(reason string) string {
	if reason == "ErrImagePull" {
		return "ImagePullBackOff"
	}
	return reason
}

// pullMessage returns the part of the message that both of them share.
func pullMessage(w *corev1.ContainerStateWaiting) string {
	if _, detail, ok := strings.Cut(w.Message, "ErrImagePull: "); ok {
		return detail
	}
	if w.Message == "" {
		return w.Reason
	}
	return w.Message
}

func crashing(c *corev1.ContainerStatus) bool {
	if w := c.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" {
		return true
	}
	return !c.Ready && c.RestartCount > 0 && c.LastTerminationState.Terminated != nil && c.LastTerminationState.Terminated.ExitCode != 0
}

// maxLastWords bounds what is quoted of a receiver that ended, in bytes.
const maxLastWords = 512

// lastWords says how a container ended last. Receivers log no secrets, bodies or
// URLs, so that their last line can be shown.
func lastWords(c *corev1.ContainerStatus) string {
	t := c.LastTerminationState.Terminated
	if t == nil {
		t = c.State.Terminated
	}
	if t == nil {
		return "it left no message"
	}
	text := strings.TrimSpace(t.Message)
	if at := strings.LastIndexByte(text, '\n'); at >= 0 {
		text = text[at+1:]
	}
	if text == "" {
		return fmt.Sprintf("exit code %d, %s", t.ExitCode, t.Reason)
	}
	return fmt.Sprintf("exit code %d: %s", t.ExitCode, cut(text, maxLastWords))
}
