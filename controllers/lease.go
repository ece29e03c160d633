package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// leaseOwner has the Lease belong to the ServiceAccount as which the operator runs.
// No manifest lists the Lease, so without an owner it would stay when all else of
// the operator is removed.
type leaseOwner struct {
	client    client.Client
	reader    client.Reader // of what is not cached
	namespace string
	log       logr.Logger
}

// Start runs once the operator leads: the Lease is there then. That it has no owner
// is no reason not to lead, so what goes wrong is logged.
func (o *leaseOwner) Start(ctx context.Context) error {
	if err := o.own(ctx); err != nil && ctx.Err() == nil {
		o.log.Info("The Lease will stay when the operator is removed", "lease", lease, "reason", err.Error())
	}
	return nil
}

func (o *leaseOwner) own(ctx context.Context) error {
	me := &authenticationv1.SelfSubjectReview{}
	if err := o.client.Create(ctx, me); err != nil {
		return fmt.Errorf("asking who the operator is: %w", err)
	}
	owner, ok := serviceAccount(me.Status.UserInfo, o.namespace)
	if !ok { // a person's own operator, outside of the cluster
		return nil
	}
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { // the election writes the Lease every few seconds
		l := &coordinationv1.Lease{}
		if err := o.reader.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: lease}, l); err != nil {
			return err
		}
		if slices.Contains(l.OwnerReferences, owner) {
			return nil
		}
		l.OwnerReferences = append(slices.DeleteFunc(l.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Kind == owner.Kind }), owner)
		return o.client.Update(ctx, l)
	})
	if err != nil {
		return fmt.Errorf("writing the owner of Lease %q: %w", lease, err)
	}
	return nil
}

// serviceAccount refers to the ServiceAccount that a user is. It returns false for
// one that is none, or that is in another namespace, where it could own nothing.
func serviceAccount(u authenticationv1.UserInfo, namespace string) (metav1.OwnerReference, bool) {
	name, ok := strings.CutPrefix(u.Username, "system:serviceaccount:"+namespace+":")
	if !ok || u.UID == "" {
		return metav1.OwnerReference{}, false
	}
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ServiceAccount", Name: name, UID: types.UID(u.UID)}, true
}
