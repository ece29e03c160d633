package desired

import (
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// InitialReplicas is how many receivers a new endpoint has if it does not say.
const InitialReplicas int32 = 2

// FirstReplicas returns how many receivers the workload of a new endpoint begins
// with: as many as the endpoint says, the least that its autoscaler may choose, or
// InitialReplicas.
func FirstReplicas(ep *v1alpha1.WebhookEndpoint) int32 {
	rc := resolve.Filled(ep).Spec.Receiver
	switch {
	case rc.Replicas > 0:
		return rc.Replicas
	case rc.Autoscaling != nil:
		return max(rc.Autoscaling.MinReplicas, 1)
	}
	return InitialReplicas
}

// OperatorLabels are the labels of the operator's own pods, by which receivers'
// network policies let them in. The manifests in config/ and charts/ set them.
func OperatorLabels() map[string]string {
	return map[string]string{LabelName: "fairlead-operator"}
}
