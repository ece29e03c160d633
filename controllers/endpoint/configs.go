package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// kept is what an endpoint's live ConfigMap holds: the last good configuration,
// and the profile that it was made from if that was a WebhookProvider. It is what
// survives a restart of the operator.
type kept struct {
	config  *config.Config
	profile *v1alpha1.WebhookProvider
}

func (k kept) resolution() *resolution {
	if k.config == nil {
		return nil
	}
	return &resolution{config: k.config, profile: k.profile}
}

// kept reads the ConfigMap of this operator's schema or, as long as it holds
// nothing, that of another version: the operator has just been exchanged then.
func (r *Reconciler) kept(ctx context.Context, ep *v1alpha1.WebhookEndpoint) (kept, error) {
	others, err := r.otherConfigs(ctx, ep)
	if err != nil {
		return kept{}, err
	}
	var best kept
	for _, name := range slices.Insert(others, 0, desired.ConfigMapName(ep.Name)) {
		k, err := r.keptIn(ctx, ep, name)
		if err != nil {
			return kept{}, err
		}
		if k.config != nil {
			return k, nil
		}
		best.profile = cmp.Or(best.profile, k.profile)
	}
	return best, nil
}

// keptIn reads one ConfigMap, from the API server, because the cache has only
// digests of it. One that is not the endpoint's, or that this version cannot read,
// holds nothing.
func (r *Reconciler) keptIn(ctx context.Context, ep *v1alpha1.WebhookEndpoint, name string) (kept, error) {
	cm := &corev1.ConfigMap{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: ep.Namespace, Name: name}, cm)
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(cm, ep)) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, fmt.Errorf("reading ConfigMap %q: %w", name, err)
	}
	var k kept
	if data, err := yaml.YAMLToJSON([]byte(cm.Data[desired.ConfigKey])); err == nil {
		if c, err := config.Decode(data); err == nil {
			c.Schema = config.Schema // by which it is written again
			k.config = c
		}
	}
	if text, ok := cm.Data[desired.ProfileKey]; ok {
		if p, err := provider.Parse([]byte(text)); err == nil {
			k.profile = p
		}
	}
	return k, nil
}

// otherConfigs names the endpoint's ConfigMaps of other schemas than this
// operator's, earlier and later ones, the highest schema first.
func (r *Reconciler) otherConfigs(ctx context.Context, ep *v1alpha1.WebhookEndpoint) ([]string, error) {
	var list corev1.ConfigMapList
	if err := r.client.List(ctx, &list, client.InNamespace(ep.Namespace), client.MatchingFields{labelIndex: ep.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ConfigMaps: %w", err)
	}
	prefix := desired.ConfigMapPrefix(ep.Name)
	var names []string
	for i := range list.Items {
		cm := &list.Items[i]
		if strings.HasPrefix(cm.Name, prefix+"v") && cm.Name != desired.ConfigMapName(ep.Name) && metav1.IsControlledBy(cm, ep) {
			names = append(names, cm.Name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(schemaOf(b, prefix), schemaOf(a, prefix)), cmp.Compare(a, b))
	})
	return names, nil
}

// schemaOf returns the schema that a ConfigMap's name ends in; 0 for a name from
// before there were numbers.
func schemaOf(name, prefix string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(name, prefix), "v"))
	if err != nil {
		return 0
	}
	return n
}

// pruneConfigs removes the ConfigMaps of other schemas once no receiver can need
// one: the workload has been rolled out with this operator's, and no pod is left
// that mounts another.
func (r *Reconciler) pruneConfigs(ctx context.Context, ep *v1alpha1.WebhookEndpoint) error {
	others, err := r.otherConfigs(ctx, ep)
	if err != nil || len(others) == 0 {
		return err
	}
	w, err := r.workload(ctx, ep)
	if err != nil || w == nil || !w.current || !mounts(template(w.object), desired.ConfigMapName(ep.Name)) {
		return err
	}
	pods, err := r.pods(ctx, ep)
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range others {
		if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return !ran(&p) && mounts(&p.Spec, name) }) {
			problems = append(problems, r.remove(ctx, ep, desired.ConfigMapRef(name)))
		}
	}
	return errors.Join(problems...)
}

// ran reports whether a pod has ended for good: nothing in it starts again.
func ran(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// template returns the pods' specification of a workload.
func template(obj client.Object) *corev1.PodSpec {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &o.Spec.Template.Spec
	}
	return &corev1.PodSpec{}
}

func mounts(spec *corev1.PodSpec, configMap string) bool {
	return slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool {
		return v.ConfigMap != nil && v.ConfigMap.Name == configMap
	})
}

// withConfigMaps returns of a pod's specification the ConfigMaps that it mounts.
func withConfigMaps(spec corev1.PodSpec) corev1.PodSpec {
	var out corev1.PodSpec
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; v.ConfigMap != nil {
			out.Volumes = append(out.Volumes, corev1.Volume{Name: v.Name, VolumeSource: corev1.VolumeSource{ConfigMap: v.ConfigMap}})
		}
	}
	return out
}
