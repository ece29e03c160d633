// Package provider reconciles WebhookProviders: it says in their status whether
// endpoints can use them. It makes nothing; endpoints read the profiles themselves
// and judge them by the same function.
package provider

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Reconciler reconciles WebhookProviders.
type Reconciler struct {
	// Client reads them and writes their status.
	Client client.Client
}

// SetupWithManager adds the reconciler to a manager whose scheme has our kinds.
// Changes of status are reconciled too, so that what another writes there is
// mended.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.WebhookProvider{}).
		Complete(reconcile.AsReconciler(r.Client, r))
}

// What the operator may do with WebhookProviders. The empty line below is needed:
// controller-gen passes over what belongs to a function.
//
// +kubebuilder:rbac:groups=fairlead.dev,resources=webhookproviders,verbs=get;list;watch,roleName=fairlead-operator-provider
// +kubebuilder:rbac:groups=fairlead.dev,resources=webhookproviders/status,verbs=get;patch;update,roleName=fairlead-operator-provider

// Reconcile judges a profile and writes its status, if that has changed. A profile
// that is wrong is no error: it is looked at again when it changes.
func (r *Reconciler) Reconcile(ctx context.Context, p *v1alpha1.WebhookProvider) (ctrl.Result, error) {
	if !p.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	before := p.DeepCopy()
	p.Status = judge(p)
	if equality.Semantic.DeepEqual(before.Status, p.Status) {
		return ctrl.Result{}, nil
	}
	err := r.Client.Status().Patch(ctx, p, client.MergeFrom(before))
	if err := client.IgnoreNotFound(err); err != nil { // gone meanwhile: nobody reads its status
		return ctrl.Result{}, fmt.Errorf("writing status: %w", err)
	}
	return ctrl.Result{}, nil
}
