package endpoint

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/probe"
)

const endpointKind = "WebhookEndpoint"

// foreignRetry is how often a name that somebody else has is looked at again:
// objects that are not ours are not watched.
const foreignRetry = 15 * time.Second

// Options is what the operator is told from outside.
type Options struct {
	// Image is the receivers' image.
	Image string
	// Operator says where the operator's pods are.
	Operator desired.Operator
	// Providers is whether WebhookProviders may be read.
	Providers bool
	// Allowed limits what endpoints may ask for.
	Allowed Allowed
	// Concurrency is how many endpoints are reconciled at once.
	Concurrency int
	// KindsEvery is how often kinds that a cluster may lack are looked for.
	KindsEvery time.Duration
}

// Reconciler makes WebhookEndpoints so. It may reconcile many at once, each by
// one goroutine.
type Reconciler struct {
	options Options
	client  client.Client // reads from the cache
	live    client.Reader // reads from the API server
	clock   clock.WithDelayedExecution
	events  recorder.EventRecorder
	poller  *probe.Poller
	kinds   *kinds
	alarm   *alarm
	metrics *metrics
	builtIn map[string]*v1alpha1.WebhookProvider
}

// Reconcile makes one endpoint so: resolve, build, apply, observe, and then one
// write of its status, whatever happened.
func (r *Reconciler) Reconcile(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (ctrl.Result, error) {
	key := client.ObjectKeyFromObject(ep)
	if !ep.DeletionTimestamp.IsZero() {
		r.forget(key)
		return ctrl.Result{}, nil // owner references let the cluster collect the rest
	}
	before := ep.DeepCopy()
	err := r.sync(ctx, ep)
	result := ctrl.Result{RequeueAfter: retry(ep, err)}
	err = errors.Join(setReady(ep, err), r.patchStatus(ctx, before, ep))
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil // what was read is old; the cache is catching up
	}
	switch {
	case err == nil:
		return result, nil
	case errors.Is(context.Cause(ctx), context.Canceled):
		return ctrl.Result{}, nil // the operator stops; the next one goes on
	}
	return ctrl.Result{}, err
}

// conflictRetry is how long a cache gets to catch up.
const conflictRetry = 250 * time.Millisecond

// unlistedRetry is how often it is looked whether a valid signature from an
// unlisted address is long enough ago.
const unlistedRetry = 10 * time.Minute

// retry returns when to look again at what is not watched; 0 for not at all.
func retry(ep *v1alpha1.WebhookEndpoint, err error) time.Duration {
	var w *waiting
	if errors.As(err, &w) && w.retry > 0 {
		return w.retry
	}
	if c := condition(ep, v1alpha1.ConditionSourcePreserved); c != nil && c.Reason == v1alpha1.ReasonUnlistedSender {
		return unlistedRetry
	}
	return 0
}

// sync does all but write the status. Trouble with the newest specification does
// not keep what runs from being repaired and observed. What is not allowed is not
// made, and leaves everything as it is.
func (r *Reconciler) sync(ctx context.Context, ep *v1alpha1.WebhookEndpoint) error {
	res, problem := r.resolve(ctx, ep)
	if err := r.options.Allowed.check(ep); err != nil {
		res, problem = nil, first(problem, err)
	}
	if res != nil {
		setRanges(ep, res)
		r.setAlarm(ep, res)
		conflict, err := r.conflict(ctx, ep)
		if err != nil {
			return err
		}
		res.conflict = conflict
		problem = first(problem, r.applyAll(ctx, ep, res))
	}
	workload := r.observeWorkload(ctx, ep) // and with it, which receivers there are to be asked
	return first(problem,
		r.observeReports(ep, res),
		workload,
		r.observeExposure(ctx, ep, res))
}

// setAlarm has the endpoint reconciled when its ranges change, or when there is
// something to say of its certificate.
func (r *Reconciler) setAlarm(ep *v1alpha1.WebhookEndpoint, res *resolution) {
	at := nextOfCertificate(r.certificates(ep), r.clock.Now())
	if res.result != nil {
		at = earlier(at, res.result.NextChange)
	}
	r.alarm.at(client.ObjectKeyFromObject(ep), at)
}

// forget drops what is remembered of an endpoint that is gone.
func (r *Reconciler) forget(key types.NamespacedName) {
	r.alarm.at(key, time.Time{})
	r.poller.Forget(key)
}
