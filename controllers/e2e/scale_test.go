package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

func wanted(d *appsv1.Deployment) int32 { return *d.Spec.Replicas }

// scaled waits until that many receivers are wanted, and the endpoint is Ready.
func scaled(t *testing.T, ep *v1alpha1.WebhookEndpoint, n int32) {
	t.Helper()
	until(t, fmt.Sprintf("%d receivers are wanted", n), func(context.Context) error {
		if got := wanted(deployment(t, ep)); got != n {
			return fmt.Errorf("there are %d", got)
		}
		return nil
	})
	until(t, "they are available", func(context.Context) error {
		if got := deployment(t, ep).Status.AvailableReplicas; got != n {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
	ready(t, ep)
}

// TestAutoscaler hands replicas to the autoscaler and back. What is left out of an
// apply can fall back to 1, and that would cut receivers off from their traffic.
func TestAutoscaler(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	operate(t, ns, image)
	ep := chat(ns, replicas(3))
	create(t, ep)
	ready(t, ep)
	seen := follow(t, ep, wanted)
	// Without metrics the autoscaler knows only that there are too few.
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Receiver.Replicas, ep.Spec.Receiver.Autoscaling = 0, &v1alpha1.Autoscaling{MinReplicas: 5, MaxReplicas: 8}
	})
	scaled(t, ep, 5)
	// What happens to the endpoint then is no reason to take replicas back.
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"mumbai"} })
	ready(t, ep)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Receiver.Replicas, ep.Spec.Receiver.Autoscaling = 4, nil
	})
	scaled(t, ep, 4)
	until(t, "the autoscaler is gone", func(ctx context.Context) error {
		err := admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: desired.ReceiverName(ep.Name)}, &autoscalingv2.HorizontalPodAutoscaler{})
		if err == nil {
			return fmt.Errorf("it is there")
		}
		return client.IgnoreNotFound(err)
	})
	if got, want := seen(), []int32{3, 5, 4}; !slices.Equal(got, want) {
		t.Errorf("the numbers of receivers that were wanted are %v, want %v", got, want)
	}
}

// TestScaledByHand holds that a person, or an autoscaler of their own, decides how
// many receivers there are, if the endpoint does not.
func TestScaledByHand(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	stop := operate(t, ns, image)
	ep := chat(ns)
	create(t, ep)
	ready(t, ep)
	seen := follow(t, ep, wanted)
	kubectl(t, "-n", ns, "scale", "deployment", "chat-receiver", "--replicas=4")
	scaled(t, ep, 4)
	change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"mumbai"} })
	ready(t, ep)
	stop()
	operate(t, ns, "receiver:two") // which applies the Deployment anew
	until(t, "the new image is applied", func(context.Context) error {
		if got := deployment(t, ep).Spec.Template.Spec.Containers[0].Image; got != "receiver:two" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	scaled(t, ep, 4)
	if got, want := seen(), []int32{desired.InitialReplicas, 4}; !slices.Equal(got, want) {
		t.Errorf("the numbers of receivers that were wanted are %v, want %v", got, want)
	}
}
