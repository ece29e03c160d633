package cluster

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// Ended reports whether a pod has ended for good: there is nothing to ask.
func Ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Ready reports whether a pod takes requests.
func Ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Restarts counts how often the receiver was started anew.
func Restarts(p *corev1.Pod) int32 {
	if s := receiver(p); s != nil {
		return s.RestartCount
	}
	return 0
}

// Mute says why a pod cannot be asked, or nothing if it can.
func Mute(p *corev1.Pod) string {
	if Ended(p) {
		return fmt.Sprintf("the pod has ended (%s)", cmp.Or(p.Status.Reason, string(p.Status.Phase)))
	}
	s := receiver(p)
	switch {
	case s == nil:
		return waiting(p)
	case s.State.Running != nil:
		return ""
	case s.State.Waiting != nil && s.State.Waiting.Message != "":
		return fmt.Sprintf("its receiver does not run (%s): %s", s.State.Waiting.Reason, s.State.Waiting.Message)
	case s.State.Waiting != nil:
		return fmt.Sprintf("its receiver does not run (%s)", s.State.Waiting.Reason)
	case s.State.Terminated != nil:
		return fmt.Sprintf("its receiver has ended (%s)", s.State.Terminated.Reason)
	}
	return waiting(p)
}

// waiting says why a pod has not begun.
func waiting(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return fmt.Sprintf("the pod has no node yet (%s): %s", c.Reason, c.Message)
		}
	}
	return "the pod has not started yet"
}

// receiver returns how the receiver's container is.
func receiver(p *corev1.Pod) *corev1.ContainerStatus {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.Name == desired.ContainerName {
			return s
		}
	}
	return nil
}
