package endpoint

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The kinds that a cluster may lack.
var (
	httpRouteKind   = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("HTTPRoute")
	certificateKind = schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"}
	podMonitorKind  = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"}
)

// kinds knows which of the kinds that a cluster may lack are there now. It asks
// the discovery API again and again, which everybody may read: to watch CRDs
// would take a right for the whole cluster.
type kinds struct {
	discovery discovery.ServerResourcesInterfaceWithContext
	every     time.Duration
	log       logr.Logger
	// appeared is called for a kind that has come, gone for one that has gone; never
	// at the same time, and not before Start.
	appeared func(context.Context, schema.GroupVersionKind) error
	gone     func(context.Context, schema.GroupVersionKind) error
	// changed is called when routes have got time-outs, or have them no more.
	changed func(context.Context) error
	fields  routeFields

	mu       sync.RWMutex
	is       map[schema.GroupVersionKind]bool
	timeouts bool
}

var optional = []schema.GroupVersionKind{httpRouteKind, certificateKind, podMonitorKind}

// present reports whether the cluster has the kind. It has all that are part of
// Kubernetes.
func (k *kinds) present(gvk schema.GroupVersionKind) bool {
	if !slices.Contains(optional, gvk) {
		return true
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.is[gvk]
}

func (k *kinds) gateways() bool     { return k.present(httpRouteKind) }
func (k *kinds) certificates() bool { return k.present(certificateKind) }
func (k *kinds) podMonitors() bool  { return k.present(podMonitorKind) }

// routeTimeouts reports whether HTTPRoutes have the field timeouts.
func (k *kinds) routeTimeouts() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.timeouts && k.is[httpRouteKind]
}

// begin finds out what is there, before anything is reconciled: an operator that
// starts must not take for missing what it has not looked for.
func (k *kinds) begin(ctx context.Context) error {
	for _, gvk := range optional {
		there, err := k.ask(ctx, gvk)
		if err != nil {
			return err
		}
		k.set(gvk, there)
	}
	_, err := k.lookAtRoutes(ctx)
	return err
}

// lookAtRoutes finds out whether HTTPRoutes have time-outs, and whether that is
// new.
func (k *kinds) lookAtRoutes(ctx context.Context) (news bool, err error) {
	has := false
	if k.gateways() {
		if has, err = k.fields.timeouts(ctx); err != nil {
			return false, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	news, k.timeouts = has != k.timeouts, has
	return news, nil
}

// Start looks until ctx ends. It is a Runnable of the manager.
func (k *kinds) Start(ctx context.Context) error {
	tick := time.NewTicker(k.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			k.look(ctx)
		}
	}
}

// look asks for each kind once. While the API server does not answer, what was
// there still is.
func (k *kinds) look(ctx context.Context) {
	for _, gvk := range optional {
		there, err := k.ask(ctx, gvk)
		if err == nil && there != k.present(gvk) {
			err = k.change(ctx, gvk, there)
		}
		if err != nil && ctx.Err() == nil {
			k.log.Error(err, "Looking for a kind that the cluster may lack", "kind", gvk.Kind)
		}
	}
	news, err := k.lookAtRoutes(ctx)
	if err == nil && news {
		err = k.changed(ctx)
	}
	if err != nil && ctx.Err() == nil {
		k.log.Error(err, "Looking whether HTTPRoutes have time-outs")
	}
}

func (k *kinds) ask(ctx context.Context, gvk schema.GroupVersionKind) (bool, error) {
	list, err := k.discovery.ServerResourcesForGroupVersionWithContext(ctx, gvk.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("discovering %s: %w", gvk.GroupVersion(), err)
	}
	for i := range list.APIResources {
		if list.APIResources[i].Kind == gvk.Kind {
			return true, nil
		}
	}
	return false, nil
}

// change takes note of a kind that has come or gone. One that could not be
// watched is not there yet, so that the next look tries again.
func (k *kinds) change(ctx context.Context, gvk schema.GroupVersionKind, there bool) error {
	k.log.Info("A kind that the cluster may lack has changed", "kind", gvk.Kind, "there", there)
	if !there {
		k.set(gvk, false)
		return k.gone(ctx, gvk)
	}
	k.set(gvk, true)
	if err := k.appeared(ctx, gvk); err != nil {
		k.set(gvk, false)
		return err
	}
	return nil
}

func (k *kinds) set(gvk schema.GroupVersionKind, there bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.is[gvk] = there
}
