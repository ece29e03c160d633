package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// providerName is the WebhookProvider that all endpoints use.
const providerName = "bench"

// writers is how many requests the bench makes at once.
const writers = 8

// createProvider makes a WebhookProvider that is as large as a built-in one.
func (c *cluster) createProvider(ctx context.Context) error {
	p, err := provider.Get("stream-chat")
	if err != nil {
		return err
	}
	p.Name = providerName
	return c.admin.Create(ctx, p)
}

// changeProvider adds a range.
func (c *cluster) changeProvider(ctx context.Context) error {
	p := &v1alpha1.WebhookProvider{}
	if err := c.admin.Get(ctx, client.ObjectKey{Name: providerName}, p); err != nil {
		return err
	}
	region := &p.Spec.Regions[0]
	region.Ranges = append(region.Ranges, v1alpha1.Range{CIDR: newCIDR})
	return c.admin.Update(ctx, p)
}

func (c *cluster) createEndpoints(ctx context.Context, o options) error {
	for i := range o.namespaces {
		if err := c.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}}); err != nil {
			return err
		}
	}
	return atOnce(ctx, o.endpoints, func(ctx context.Context, i int) error {
		ep := &v1alpha1.WebhookEndpoint{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("chat-%04d", i), Namespace: namespace(i % o.namespaces)},
			Spec: v1alpha1.WebhookEndpointSpec{Provider: providerName, SecretRef: v1alpha1.SecretReference{Name: "chat"},
				Sinks: []v1alpha1.Sink{{Name: "app", HTTP: &v1alpha1.HTTPSink{URL: "http://app.shop.svc/hooks"}}}},
		}
		return c.admin.Create(ctx, ep)
	})
}

func namespace(i int) string { return fmt.Sprintf("bench-%02d", i) }

// rollOut plays the controllers of a cluster: every Deployment says that its pods
// are available.
func (c *cluster) rollOut(ctx context.Context) error {
	var list appsv1.DeploymentList
	if err := c.admin.List(ctx, &list, client.MatchingLabels{desired.LabelManagedBy: desired.ManagedBy}); err != nil {
		return err
	}
	return atOnce(ctx, len(list.Items), func(ctx context.Context, i int) error {
		d := &list.Items[i]
		before := d.DeepCopy()
		n := ptr.Deref(d.Spec.Replicas, 1)
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
		return c.admin.Status().Patch(ctx, d, client.MergeFrom(before))
	})
}

// atOnce does n things, some at once, up to the first error.
func atOnce(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	ended := make(chan struct{})
	for range writers {
		go func() {
			defer func() { ended <- struct{}{} }()
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		}()
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	for range writers {
		<-ended
	}
	return context.Cause(ctx)
}
