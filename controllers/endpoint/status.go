package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// waiting is an error that trying again does not help: something watched must
// change first, or a person must change something. It becomes a condition.
type waiting struct {
	reason, message string
	// stalled means that a person must act.
	stalled bool
	// retry is set where what must change is not watched.
	retry time.Duration
}

func (w *waiting) Error() string { return w.message }

// maxMessage bounds the message of a condition, in bytes.
const maxMessage = 1024

// maxNote is what the API server takes as the note of an Event, in bytes.
const maxNote = 1024

// status returns the endpoint's status to write to.
func status(ep *v1alpha1.WebhookEndpoint) *v1alpha1.WebhookEndpointStatus {
	if ep.Status == nil {
		ep.Status = &v1alpha1.WebhookEndpointStatus{}
	}
	return ep.Status
}

// setCondition sets one condition. Times stay as they are while the status does.
func setCondition(ep *v1alpha1.WebhookEndpoint, kind string, is metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&status(ep).Conditions, metav1.Condition{
		Type: kind, Status: is, Reason: reason, Message: cut(message, maxMessage), ObservedGeneration: ep.Generation,
	})
}

func removeCondition(ep *v1alpha1.WebhookEndpoint, kind string) {
	meta.RemoveStatusCondition(&status(ep).Conditions, kind)
}

func condition(ep *v1alpha1.WebhookEndpoint, kind string) *metav1.Condition {
	if ep.Status == nil {
		return nil
	}
	return meta.FindStatusCondition(ep.Status.Conditions, kind)
}

// setReady sums err up in Ready, Reconciling and Stalled, as kstatus reads them,
// and returns what is to be tried again. It alone sets these.
func setReady(ep *v1alpha1.WebhookEndpoint, err error) error {
	generation := ep.Generation
	status(ep).ObservedGeneration = &generation
	if apierrors.IsConflict(err) {
		return err // read again and try again; nobody needs to hear of it
	}
	var w *waiting
	switch {
	case err == nil:
		reason, message := readyReason(ep)
		sumUp(ep, metav1.ConditionTrue, "", reason, message)
		return nil
	case errors.As(err, &w):
		kind := v1alpha1.ConditionReconciling
		if w.stalled {
			kind = v1alpha1.ConditionStalled
		}
		sumUp(ep, metav1.ConditionFalse, kind, w.reason, w.message)
		return nil
	}
	sumUp(ep, metav1.ConditionFalse, v1alpha1.ConditionReconciling, v1alpha1.ReasonFailed, sentence(err.Error()))
	return err
}

// sumUp sets Ready and, of Reconciling and Stalled, the one that is named; the
// other goes.
func sumUp(ep *v1alpha1.WebhookEndpoint, ready metav1.ConditionStatus, why, reason, message string) {
	setCondition(ep, v1alpha1.ConditionReady, ready, reason, message)
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if kind == why {
			setCondition(ep, kind, metav1.ConditionTrue, reason, message)
		} else {
			removeCondition(ep, kind)
		}
	}
}

// readyReason says what kind of Ready it is: suspended is what was asked for.
func readyReason(ep *v1alpha1.WebhookEndpoint) (reason, message string) {
	switch ep.Spec.Suspend {
	case v1alpha1.SuspendIntake:
		return v1alpha1.ReasonIntakeSuspended, "Intake is suspended, as spec.suspend says: every request is answered 503"
	case v1alpha1.SuspendDeliveries:
		return v1alpha1.ReasonDeliveriesSuspended, "Deliveries are suspended, as spec.suspend says: events are accepted and wait in the queue"
	}
	return v1alpha1.ReasonAvailable, "Receivers are available and exposed as specified"
}

// sentence makes a message of an error.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// cut shortens a text to at most n bytes.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:n-len(more)], "") + more
}

// patchStatus writes the status if it has changed since before, with one
// request, and then tells of the changes in Events.
func (r *Reconciler) patchStatus(ctx context.Context, before, ep *v1alpha1.WebhookEndpoint) error {
	if equality.Semantic.DeepEqual(before.Status, ep.Status) {
		return nil
	}
	r.metrics.statusWrites.Inc()
	err := r.client.Status().Patch(ctx, ep, client.MergeFrom(before))
	if apierrors.IsNotFound(err) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	r.tell(before, ep)
	r.awaitCache(ctx, ep)
	return nil
}

// cachePatience bounds how long a reconcile waits for the cache.
const cachePatience = 2 * time.Second

// awaitCache waits until the cache has the status that was just written.
// Otherwise the next reconcile, which what was applied sets off at once, would
// begin with the one before, and write and tell the same again. A cache that is
// slower than its patience costs only that.
func (r *Reconciler) awaitCache(ctx context.Context, ep *v1alpha1.WebhookEndpoint) {
	_ = wait.PollUntilContextTimeout(ctx, 2*time.Millisecond, cachePatience, true, func(ctx context.Context) (bool, error) {
		seen := &v1alpha1.WebhookEndpoint{}
		if err := r.client.Get(ctx, client.ObjectKeyFromObject(ep), seen); err != nil {
			return true, err // it is deleted, or the operator stops
		}
		order, err := resourceversion.CompareResourceVersion(seen.ResourceVersion, ep.ResourceVersion)
		return order >= 0, err
	})
}

// told lists the conditions whose changes become Events. Reconciling and Stalled
// repeat Ready.
var told = []string{
	v1alpha1.ConditionReady, v1alpha1.ConditionProviderResolved, v1alpha1.ConditionSecretReady, v1alpha1.ConditionSinksReady,
	v1alpha1.ConditionExposed, v1alpha1.ConditionSourcePreserved, v1alpha1.ConditionDurable,
}

// tell records an Event for each condition that is another than before, and for
// each store that begins to fill up. What is well from the start needs none but
// Ready's.
func (r *Reconciler) tell(before, ep *v1alpha1.WebhookEndpoint) {
	for _, kind := range told {
		was, is := condition(before, kind), condition(ep, kind)
		if is == nil || is.Status == metav1.ConditionUnknown {
			continue
		}
		reasons := announced(was, is)
		if changed(kind, was, is) && !slices.Contains(reasons, is.Reason) {
			reasons = append(reasons, is.Reason)
		}
		severity := corev1.EventTypeNormal
		if is.Status == metav1.ConditionFalse && (kind != v1alpha1.ConditionReady || condition(ep, v1alpha1.ConditionStalled) != nil || is.Reason == v1alpha1.ReasonFailed) {
			severity = corev1.EventTypeWarning
		}
		for _, reason := range reasons {
			r.events.Eventf(ep, nil, severity, reason, "Observe", "%s", cut(fmt.Sprintf("%s is %s: %s", kind, is.Status, is.Message), maxNote))
		}
	}
}

// changed reports whether a condition has become another.
func changed(kind string, was, is *metav1.Condition) bool {
	if was == nil {
		return is.Status != metav1.ConditionTrue || kind == v1alpha1.ConditionReady
	}
	return was.Status != is.Status || was.Reason != is.Reason
}
