package desired

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	autoscalingv2ac "k8s.io/client-go/applyconfigurations/autoscaling/v2"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const (
	// revisions is how many old pod templates are kept to go back to. Each is an
	// object in every namespace with endpoints.
	revisions = 3
	// settleSeconds is how long a new receiver must stay ready before the next is
	// replaced: one that falls over on its first events stops the rollout.
	settleSeconds = 5
)

// The defaults of the CRD.
const (
	defaultMinReplicas = 2
	defaultCPUPercent  = 70
)

// Persistent reports whether each receiver of the endpoint has a volume of its own.
func Persistent(ep *v1alpha1.WebhookEndpoint) bool {
	return ep.Spec.Queue != nil && ep.Spec.Queue.Type == v1alpha1.QueuePersistent
}

func workloadKind(ep *v1alpha1.WebhookEndpoint) string {
	if Persistent(ep) {
		return "StatefulSet"
	}
	return "Deployment"
}

func (b *builder) workload() (Object, error) {
	template, err := b.podTemplate()
	if err != nil {
		return nil, fmt.Errorf("building pod template of endpoint %q: %w", b.ep.Name, err)
	}
	if Persistent(b.ep) {
		return b.statefulSet(template), nil
	}
	return b.deployment(template), nil
}

// deployment replaces receivers one at a time, each only after its successor is
// ready. More at once would be no safer: what a leaving receiver hands over
// should not land on one that leaves next.
func (b *builder) deployment(template *corev1ac.PodTemplateSpecApplyConfiguration) Object {
	spec := appsv1ac.DeploymentSpec().
		WithSelector(b.selector()).
		WithTemplate(template).
		WithRevisionHistoryLimit(revisions).
		WithMinReadySeconds(settleSeconds).
		WithStrategy(appsv1ac.DeploymentStrategy().
			WithType(appsv1.RollingUpdateDeploymentStrategyType).
			WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
				WithMaxUnavailable(intstr.FromInt32(0)).
				WithMaxSurge(intstr.FromInt32(1))))
	if b.in.Replicas != nil {
		spec.WithReplicas(*b.in.Replicas)
	}
	return appsv1ac.Deployment(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).WithSpec(spec)
}

// statefulSet gives each receiver a volume of its own. Scaling in keeps the
// volume, because events may be left in it; they go on when it is scaled out
// again.
func (b *builder) statefulSet(template *corev1ac.PodTemplateSpecApplyConfiguration) Object {
	reclaim := or(b.ep.Spec.Queue.Reclaim, v1alpha1.ReclaimRetain)
	spec := appsv1ac.StatefulSetSpec().
		WithSelector(b.selector()).
		WithTemplate(template).
		WithServiceName(HeadlessName(b.ep.Name)).
		WithPodManagementPolicy(appsv1.ParallelPodManagement).
		WithRevisionHistoryLimit(revisions).
		WithMinReadySeconds(settleSeconds).
		WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().
			WithType(appsv1.RollingUpdateStatefulSetStrategyType)).
		WithPersistentVolumeClaimRetentionPolicy(appsv1ac.StatefulSetPersistentVolumeClaimRetentionPolicy().
			WithWhenDeleted(appsv1.PersistentVolumeClaimRetentionPolicyType(reclaim)).
			WithWhenScaled(appsv1.RetainPersistentVolumeClaimRetentionPolicyType)).
		WithVolumeClaimTemplates(b.volumeClaim())
	if b.in.Replicas != nil {
		spec.WithReplicas(*b.in.Replicas)
	}
	return appsv1ac.StatefulSet(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).WithSpec(spec)
}

func (b *builder) volumeClaim() *corev1ac.PersistentVolumeClaimApplyConfiguration {
	spec := corev1ac.PersistentVolumeClaimSpec().
		WithAccessModes(corev1.ReadWriteOnce).
		WithResources(corev1ac.VolumeResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceStorage: quantity(b.volumeBytes())}))
	if class := b.ep.Spec.Queue.StorageClassName; class != "" {
		spec.WithStorageClassName(class)
	}
	// The constructor would set a namespace, and the kind, which is not stored.
	claim := &corev1ac.PersistentVolumeClaimApplyConfiguration{}
	return claim.
		WithName(dataVolume).WithLabels(b.labels()).WithSpec(spec)
}

// podDisruptionBudget lets nodes be drained one receiver at a time, and never
// holds up a drain for a receiver that does not work anyway.
func (b *builder) podDisruptionBudget() *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	return policyv1ac.PodDisruptionBudget(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithSelector(b.selector()).
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow))
}

func (b *builder) autoscaler() *autoscalingv2ac.HorizontalPodAutoscalerApplyConfiguration {
	a := b.ep.Spec.Receiver.Autoscaling
	return autoscalingv2ac.HorizontalPodAutoscaler(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).
		WithSpec(autoscalingv2ac.HorizontalPodAutoscalerSpec().
			WithScaleTargetRef(autoscalingv2ac.CrossVersionObjectReference().
				WithAPIVersion("apps/v1").WithKind(workloadKind(b.ep)).WithName(b.name())).
			WithMinReplicas(or(a.MinReplicas, defaultMinReplicas)).
			WithMaxReplicas(a.MaxReplicas).
			WithMetrics(autoscalingv2ac.MetricSpec().
				WithType(autoscalingv2.ResourceMetricSourceType).
				WithResource(autoscalingv2ac.ResourceMetricSource().
					WithName(corev1.ResourceCPU).
					WithTarget(autoscalingv2ac.MetricTarget().
						WithType(autoscalingv2.UtilizationMetricType).
						WithAverageUtilization(or(a.TargetCPUPercent, defaultCPUPercent))))))
}
