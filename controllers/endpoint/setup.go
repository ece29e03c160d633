package endpoint

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/probe"
)

// The indexes of the cache.
const (
	labelIndex            = "fairlead.endpoint" // of pods and ConfigMaps
	endpointProviderIndex = "spec.provider"
	endpointHostIndex     = "spec.exposure.host"
)

// reconcileTimeout bounds one reconcile: it only reads from memory and makes a
// dozen requests, so that what takes longer hangs, and is tried again.
const reconcileTimeout = 2 * time.Minute

// Scheme returns the kinds that the operator knows by type.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	utilruntime.Must(gatewayv1.Install(s))
	return s
}

// CacheOptions says what is kept in memory: our own kinds, and of all others
// only what has our label, with nothing in it that the operator does not read. No
// namespaces stand for all.
func CacheOptions(namespaces []string) cache.Options {
	o := cache.Options{
		// A read of a kind that is not watched is an error. Otherwise it would begin to
		// watch it, and wait forever for one that has just gone from the cluster.
		ReaderFailOnMissingInformer: true,
		DefaultLabelSelector:        labels.SelectorFromSet(labels.Set{desired.LabelManagedBy: desired.ManagedBy}),
		DefaultTransform:            trim,
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.WebhookEndpoint{}: {Label: labels.Everything()},
			&v1alpha1.WebhookProvider{}: {Label: labels.Everything()},
			&corev1.Pod{}:               {UnsafeDisableDeepCopy: ptr.To(true)},
		},
	}
	for _, obj := range children() { // they are only read, several of them by each reconcile
		o.ByObject[obj] = cache.ByObject{UnsafeDisableDeepCopy: ptr.To(true)}
	}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, n := range namespaces {
			o.DefaultNamespaces[n] = cache.Config{}
		}
	}
	return o
}

// children are the kinds of objects that endpoints have, but for those that a
// cluster may lack.
func children() []client.Object {
	return []client.Object{&corev1.ConfigMap{}, &appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}, &corev1.ServiceAccount{},
		&networkingv1.NetworkPolicy{}, &networkingv1.Ingress{}, &policyv1.PodDisruptionBudget{}, &autoscalingv2.HorizontalPodAutoscaler{}}
}

// trim drops from an object what the operator does not read: of fields who else
// manages them, of a pod all but where it is, how it fares and which ConfigMaps it
// mounts, and of a ConfigMap all but digests. A quarter of all that would be in memory
// is configurations, which are compared, and nearly never read.
func trim(obj any) (any, error) {
	switch o := obj.(type) {
	case *corev1.Pod:
		o.ManagedFields, o.Annotations, o.Spec = nil, nil, withConfigMaps(o.Spec)
	case *corev1.ConfigMap:
		digestConfigMap(o)
		trimManagers(o)
	case client.Object: // and not a tombstone
		trimManagers(o)
	}
	return obj, nil
}

func trimManagers(o client.Object) {
	var own []metav1.ManagedFieldsEntry
	for _, e := range o.GetManagedFields() {
		if e.Manager == fieldOwner && e.Operation == metav1.ManagedFieldsOperationApply {
			own = append(own, e)
		}
	}
	o.SetManagedFields(own)
}

// Parts is what a Reconciler is made of besides a manager.
type Parts struct {
	Clock      clock.WithDelayedExecution
	Registerer prometheus.Registerer
	// Probe says how receivers are asked; Changed and Registerer are set here.
	Probe probe.Options
}

// Setup adds the reconciler of WebhookEndpoints, and all that it needs, to a
// manager whose scheme and cache are those of Scheme and CacheOptions.
// It asks the API server which kinds there are.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options, p Parts) error {
	r := &Reconciler{options: o, client: mgr.GetClient(), live: mgr.GetAPIReader(), clock: p.Clock,
		events: mgr.GetEventRecorder("fairlead.dev/operator"), builtIn: map[string]*v1alpha1.WebhookProvider{}}
	profiles, err := provider.BuiltIn()
	if err != nil {
		return fmt.Errorf("loading built-in profiles: %w", err)
	}
	for _, profile := range profiles {
		r.builtIn[profile.Name] = profile
	}
	if r.metrics, err = newMetrics(p.Registerer, mgr.GetCache()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	bell := &bell{}
	r.alarm = &alarm{clock: p.Clock, ring: bell.ring, set: map[types.NamespacedName]setAlarm{}}
	p.Probe.Changed, p.Probe.Registerer = bell.ring, p.Registerer
	r.poller = probe.New(p.Probe)
	if err := mgr.Add(r.poller); err != nil {
		return err
	}
	if err := r.index(ctx, mgr); err != nil {
		return fmt.Errorf("indexing: %w", err)
	}
	return r.setup(ctx, mgr, bell)
}

func (r *Reconciler) setup(ctx context.Context, mgr ctrl.Manager, bell *bell) error {
	d, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making discovery client: %w", err)
	}
	r.kinds = &kinds{discovery: d, fields: routeFields{schemas: d.OpenAPIV3WithContext(ctx)}, every: r.options.KindsEvery, log: mgr.GetLogger().WithName("kinds"), is: map[schema.GroupVersionKind]bool{}}
	if err := r.kinds.begin(ctx); err != nil {
		return err
	}
	partings := &partings{r: r, log: mgr.GetLogger().WithName("partings"), seen: map[types.UID]bool{}}
	b := ctrl.NewControllerManagedBy(mgr).
		Named("webhookendpoint").
		For(&v1alpha1.WebhookEndpoint{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.WebhookEndpoint{}, &late{handler.EnqueueRequestsFromMapFunc(r.neighbours)}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, &late{handler.EnqueueRequestsFromMapFunc(ofPod)}).
		Watches(&corev1.Pod{}, partings.handler()).
		WatchesRawSource(source.Func(bell.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.options.Concurrency, ReconciliationTimeout: reconcileTimeout})
	for _, obj := range children() {
		b = b.Watches(obj, r.owner(mgr))
	}
	for _, gvk := range optional {
		if !r.kinds.present(gvk) {
			continue
		}
		obj, err := r.empty(gvk)
		if err != nil {
			return err
		}
		b = b.Watches(obj, r.owner(mgr))
	}
	if r.options.Providers {
		b = b.Watches(&v1alpha1.WebhookProvider{}, handler.EnqueueRequestsFromMapFunc(r.usersOf), builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	}
	c, err := b.Build(reconcile.AsReconciler(r.client, r))
	if err != nil {
		return fmt.Errorf("building controller: %w", err)
	}
	return r.watchKinds(mgr, c, bell)
}

func (r *Reconciler) index(ctx context.Context, mgr ctrl.Manager) error {
	byEndpoint := func(o client.Object) []string { return []string{o.GetLabels()[desired.LabelEndpoint]} }
	err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, labelIndex, byEndpoint)
	if err != nil {
		return err
	}
	err = mgr.GetFieldIndexer().IndexField(ctx, &corev1.ConfigMap{}, labelIndex, byEndpoint)
	if err != nil {
		return err
	}
	err = mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.WebhookEndpoint{}, endpointProviderIndex, func(o client.Object) []string {
		return []string{o.(*v1alpha1.WebhookEndpoint).Spec.Provider}
	})
	if err != nil {
		return err
	}
	err = mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.WebhookEndpoint{}, endpointHostIndex, byHost)
	if err != nil {
		return err
	}
	informer, err := mgr.GetCache().GetInformer(ctx, &v1alpha1.WebhookEndpoint{}, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
		key, err := toolscache.DeletionHandlingObjectToName(obj)
		if err == nil {
			r.forget(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
		}
	}})
	return err
}

// watchKinds watches the kinds that the cluster may lack as soon as they are
// there, and has every endpoint reconciled then.
func (r *Reconciler) watchKinds(mgr ctrl.Manager, c controller.Controller, bell *bell) error {
	r.kinds.appeared = func(ctx context.Context, gvk schema.GroupVersionKind) error {
		obj, err := r.empty(gvk)
		if err != nil {
			return err
		}
		if err := c.Watch(source.Kind(mgr.GetCache(), obj, r.owner(mgr))); err != nil {
			return fmt.Errorf("watching %s: %w", gvk.Kind, err)
		}
		return r.ringAll(ctx, bell)
	}
	r.kinds.gone = func(ctx context.Context, gvk schema.GroupVersionKind) error {
		obj, err := r.empty(gvk)
		if err != nil {
			return err
		}
		if err := mgr.GetCache().RemoveInformer(ctx, obj); err != nil {
			return fmt.Errorf("not watching %s any more: %w", gvk.Kind, err)
		}
		return r.ringAll(ctx, bell)
	}
	r.kinds.changed = func(ctx context.Context) error { return r.ringAll(ctx, bell) }
	return mgr.Add(r.kinds)
}

func (r *Reconciler) ringAll(ctx context.Context, bell *bell) error {
	var list v1alpha1.WebhookEndpointList
	if err := r.client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing endpoints: %w", err)
	}
	for i := range list.Items {
		bell.ring(client.ObjectKeyFromObject(&list.Items[i]))
	}
	return nil
}

// gather is how long events of an endpoint's objects are gathered. To make an
// endpoint sets off a dozen of them, and each alone would be a reconcile.
const gather = 200 * time.Millisecond

// owner has the endpoint of an object reconciled, a moment after the object has
// changed.
func (r *Reconciler) owner(mgr ctrl.Manager) handler.EventHandler {
	return &late{handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &v1alpha1.WebhookEndpoint{}, handler.OnlyControllerOwner())}
}

type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]

// late hands events on to a handler whose requests wait for a moment.
type late struct{ handler.EventHandler }

func (l *late) Create(ctx context.Context, e event.CreateEvent, q requests) {
	l.EventHandler.Create(ctx, e, lateQueue{q})
}

func (l *late) Update(ctx context.Context, e event.UpdateEvent, q requests) {
	l.EventHandler.Update(ctx, e, lateQueue{q})
}

func (l *late) Delete(ctx context.Context, e event.DeleteEvent, q requests) {
	l.EventHandler.Delete(ctx, e, lateQueue{q})
}

func (l *late) Generic(ctx context.Context, e event.GenericEvent, q requests) {
	l.EventHandler.Generic(ctx, e, lateQueue{q})
}

type lateQueue struct{ requests }

func (q lateQueue) Add(item reconcile.Request) { q.AddAfter(item, gather) }

// ofPod returns the endpoint that a pod belongs to.
func ofPod(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[desired.LabelEndpoint]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

// usersOf returns the endpoints of a provider, and those that have a URL of theirs
// now: it may have got a hook.
func (r *Reconciler) usersOf(ctx context.Context, o client.Object) []reconcile.Request {
	var list v1alpha1.WebhookEndpointList
	if err := r.client.List(ctx, &list, client.MatchingFields{endpointProviderIndex: o.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the endpoints of a provider", "provider", o.GetName())
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		out = append(out, r.neighbours(ctx, &list.Items[i])...)
	}
	return out
}

// bell has endpoints reconciled for reasons that are not objects.
type bell struct {
	queue atomic.Pointer[requests]
}

func (b *bell) start(_ context.Context, q requests) error {
	b.queue.Store(&q)
	return nil
}

// ring has one endpoint reconciled. Before the controller runs it does nothing:
// everything is reconciled when it begins.
func (b *bell) ring(key types.NamespacedName) {
	if q := b.queue.Load(); q != nil {
		(*q).Add(reconcile.Request{NamespacedName: key})
	}
}
