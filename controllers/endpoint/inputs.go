package endpoint

import (
	"context"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// inputs gathers what the desired objects depend on besides the endpoint, and
// the live workload, nil if there is none.
func (r *Reconciler) inputs(ctx context.Context, ep *v1alpha1.WebhookEndpoint, res *resolution) (desired.Inputs, *workload, error) {
	live, err := r.workload(ctx, ep)
	if err != nil {
		return desired.Inputs{}, nil, err
	}
	svc, err := r.service(ctx, ep)
	if err != nil {
		return desired.Inputs{}, nil, err
	}
	in := desired.Inputs{
		Config: res.config, Profile: res.profile, Image: r.options.Image, Operator: r.options.Operator,
		PodMonitors: r.kinds.podMonitors(), Gateways: r.kinds.gateways(), RouteTimeouts: r.kinds.routeTimeouts(),
		Certificates: r.kinds.certificates(), Unrouted: res.conflict != nil,
	}
	if live != nil {
		in.VolumeBytes = live.volumeBytes
	}
	if in.Replicas, err = replicas(ep, live); err != nil {
		return desired.Inputs{}, nil, err
	}
	if svc != nil {
		for _, f := range svc.Spec.IPFamilies {
			in.ServiceFamilies = append(in.ServiceFamilies, string(f))
		}
	}
	return in, live, nil
}

// replicas returns how many replicas are to be applied; nil leaves them to
// whoever set them last.
//
// A number that the endpoint names is applied. Otherwise a new workload begins
// with some, and from then on others decide. As long as none has, the number is
// the operator's own, and it must go on applying what it is: to leave out a field
// that one owns removes it, and the API server would put 1 in its place. So that
// this does not undo what an autoscaler does at the same moment, such an apply is
// bound to the version of the workload that was read.
func replicas(ep *v1alpha1.WebhookEndpoint, live *workload) (*int32, error) {
	if rc := ep.Spec.Receiver; live == nil || (rc != nil && rc.Replicas > 0) {
		return ptr.To(desired.FirstReplicas(ep)), nil
	}
	own, err := ownsReplicas(live.object)
	if err != nil || !own {
		return nil, err
	}
	live.keepsReplicas = true
	return ptr.To(live.replicas), nil
}

// ownsReplicas reports whether the operator set spec.replicas last.
func ownsReplicas(obj client.Object) (bool, error) {
	owned, err := ownedBy(obj, fieldOwner)
	if err != nil || owned == nil {
		return false, err
	}
	return owned.Has(fieldpath.MakePathOrDie("spec", "replicas")), nil
}
