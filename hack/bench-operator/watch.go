package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
)

// goal is something that must become true of many objects.
type goal struct {
	what string
	of   client.Object
	ok   func(any) bool
}

// newCIDR is the range that is added in the end.
const newCIDR = "203.0.113.77/32"

var (
	applied = goal{"applied", &v1alpha1.WebhookEndpoint{}, func(o any) bool {
		ep, ok := o.(*v1alpha1.WebhookEndpoint)
		return ok && ep.Status != nil && ep.Status.ObservedGeneration != nil && *ep.Status.ObservedGeneration == ep.Generation
	}}
	ready = goal{"ready", &v1alpha1.WebhookEndpoint{}, func(o any) bool {
		ep, ok := o.(*v1alpha1.WebhookEndpoint)
		return ok && ep.Status != nil && meta.IsStatusConditionTrue(ep.Status.Conditions, v1alpha1.ConditionReady)
	}}
	newConfig = goal{"ConfigMaps have the new range", &corev1.ConfigMap{}, func(o any) bool {
		cm, ok := o.(*corev1.ConfigMap)
		return ok && strings.Contains(cm.Data[desired.ConfigKey], newCIDR)
	}}
	newPolicy = goal{"NetworkPolicies have the new range", &networkingv1.NetworkPolicy{}, func(o any) bool {
		np, ok := o.(*networkingv1.NetworkPolicy)
		return ok && strings.Contains(np.Spec.String(), newCIDR)
	}}
)

// watcher sees all endpoints, and what is made for them.
type watcher struct{ cache cache.Cache }

// watch returns when everything is seen that the goals are about. It ends with ctx.
func watch(ctx context.Context, c *cluster) (*watcher, error) {
	o := cache.Options{Scheme: endpoint.Scheme()} // not the operator's, which drops what is looked for here
	all, err := cache.New(c.config, o)
	if err != nil {
		return nil, err
	}
	for _, g := range []goal{applied, newConfig, newPolicy} {
		if _, err := all.GetInformer(ctx, g.of, cache.BlockUntilSynced(false)); err != nil {
			return nil, err
		}
	}
	go func() { _ = all.Start(ctx) }() // it ends with ctx
	if !all.WaitForCacheSync(ctx) {
		return nil, fmt.Errorf("watching the API server: %w", context.Cause(ctx))
	}
	return &watcher{all}, nil
}

// await returns when n objects have reached the goal, and how long that took
// since a moment.
func (w *watcher) await(ctx context.Context, g goal, n int, since time.Time) (time.Duration, error) {
	informer, err := w.cache.GetInformer(ctx, g.of)
	if err != nil {
		return 0, err
	}
	reached := newTally(n)
	see := func(o any) {
		if obj, ok := o.(client.Object); ok {
			reached.set(obj.GetUID(), g.ok(o))
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: see, UpdateFunc: func(_, o any) { see(o) }})
	if err != nil {
		return 0, err
	}
	defer func() { _ = informer.RemoveEventHandler(registration) }()
	progress := time.NewTicker(5 * time.Second)
	defer progress.Stop()
	for {
		select {
		case <-reached.all:
			took := time.Since(since)
			say("%5.1f s: %d of %d: %s", took.Seconds(), n, n, g.what)
			return took, nil
		case <-progress.C:
			say("%5.1f s: %d of %d: %s", time.Since(since).Seconds(), reached.count(), n, g.what)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// tally counts who has reached a goal.
type tally struct {
	want int
	all  chan struct{} // closed when all have

	mu   sync.Mutex
	have map[types.UID]bool
	done bool
}

func newTally(want int) *tally {
	return &tally{want: want, all: make(chan struct{}), have: map[types.UID]bool{}}
}

func (t *tally) set(uid types.UID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !ok {
		delete(t.have, uid)
		return
	}
	t.have[uid] = true
	if len(t.have) == t.want && !t.done {
		t.done = true
		close(t.all)
	}
}

func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.have)
}
