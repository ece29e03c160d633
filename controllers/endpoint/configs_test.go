package endpoint_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// The ConfigMaps of operators of another version.
const (
	earlierConfig = "chat-receiver-v1alpha1"
	laterConfig   = "chat-receiver-v99"
)

// ofSchema makes a ConfigMap as an operator of another version has left it: with
// the endpoint's configuration of now, edited.
func ofSchema(t *testing.T, ep *v1alpha1.WebhookEndpoint, name string, edit func(string) string) *corev1.ConfigMap {
	t.Helper()
	cm := named(&corev1.ConfigMap{}, ep.Namespace, desired.ConfigMapName(ep.Name))
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(cm), cm); err != nil {
		t.Fatal(err)
	}
	other := named(&corev1.ConfigMap{}, ep.Namespace, name)
	other.Labels, other.OwnerReferences = cm.Labels, cm.OwnerReferences
	other.Data = map[string]string{desired.ConfigKey: edit(cm.Data[desired.ConfigKey])}
	create(t, other)
	return other
}

// schemaLine is where a configuration tells its schema.
var schemaLine = fmt.Sprintf("schema: %d\n", config.Schema)

func withoutSchema(text string) string { return strings.Replace(text, schemaLine, "", 1) }

func laterSchema(text string) string {
	return strings.Replace(text, schemaLine, "schema: 99\ncolour: red\n", 1)
}

// mounting makes a receiver's pod that reads a ConfigMap.
func mounting(t *testing.T, ep *v1alpha1.WebhookEndpoint, name, configMap string) *corev1.Pod {
	t.Helper()
	p := named(&corev1.Pod{}, ep.Namespace, name)
	p.Labels = desired.Labels(ep.Name)
	p.Spec = corev1.PodSpec{
		Containers: []corev1.Container{{Name: desired.ContainerName, Image: "receiver:test"}},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: configMap}}}}},
	}
	create(t, p)
	return p
}

// there reports whether the API server has an object.
func there(t *testing.T, obj client.Object) bool {
	t.Helper()
	err := admin.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// TestOtherSchemas holds that the configuration of another version of the operator
// stays as long as a receiver may read it, and goes then; and that a ConfigMap that
// is not the endpoint's stays.
func TestOtherSchemas(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	is(t, ep, v1alpha1.ConditionReady, no, v1alpha1.ReasonNoReceivers)
	quiet(t, op)
	earlier, later := ofSchema(t, ep, earlierConfig, withoutSchema), ofSchema(t, ep, laterConfig, laterSchema)
	foreign := named(&corev1.ConfigMap{}, ep.Namespace, "chat-receiver-v98")
	foreign.Labels = earlier.Labels
	create(t, foreign)
	old := mounting(t, ep, "old", earlier.Name)
	mounting(t, ep, "new", desired.ConfigMapName(ep.Name))
	quiet(t, op)
	if !there(t, earlier) || !there(t, later) {
		t.Error("a ConfigMap of another version is gone while the workload is not rolled out: a pod of the old template may be made yet")
	}
	rollOut(t, ep)
	until(t, "what nobody mounts is gone", func(ctx context.Context) error { return gone(ctx, later) })
	quiet(t, op)
	if !there(t, earlier) {
		t.Error("a ConfigMap is gone that a receiver still mounts: it could not start again")
	}
	leave(t, old, corev1.PodFailed, terminated(0, ""))
	until(t, "the last one has ended, and its ConfigMap is gone", func(ctx context.Context) error { return gone(ctx, earlier) })
	quiet(t, op)
	if !there(t, foreign) {
		t.Error("a ConfigMap that is not the endpoint's is gone")
	}
}

// TestLastGoodConfigOfBefore holds that an operator which follows one of another
// version goes on with the last good configuration of that one, if it can read it;
// and touches nothing if it cannot.
func TestLastGoodConfigOfBefore(t *testing.T) {
	for name, tt := range map[string]struct {
		configMap string
		edit      func(string) string
		want      bool
	}{
		"of an earlier version": {earlierConfig, withoutSchema, true},
		"of a later version":    {laterConfig, laterSchema, false},
	} {
		t.Run(name, func(t *testing.T) {
			op := start(t)
			ep := chat(namespace(t))
			create(t, ep)
			rollOut(t, ep)
			is(t, ep, v1alpha1.ConditionReady, yes, v1alpha1.ReasonAvailable)
			op.stop()
			was := configOf(t, ep)
			other := ofSchema(t, ep, tt.configMap, tt.edit)
			mounting(t, ep, "old", other.Name)
			own := named(&corev1.ConfigMap{}, ep.Namespace, desired.ConfigMapName(ep.Name))
			if err := admin.Delete(t.Context(), own); err != nil {
				t.Fatal(err)
			}
			change(t, ep, func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"mars"} })
			op = start(t)
			is(t, ep, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonInvalidSpec)
			is(t, ep, v1alpha1.ConditionAvailable, yes, v1alpha1.ReasonReceiversAvailable)
			quiet(t, op)
			if got := there(t, own); got != tt.want {
				t.Fatalf("a configuration of this version was written: %v, want %v", got, tt.want)
			}
			if !there(t, other) {
				t.Error("the ConfigMap of the other version is gone while a receiver mounts it")
			}
			if tt.want {
				if diff := cmp.Diff(was, configOf(t, ep)); diff != "" {
					t.Errorf("the configuration is not the last good one:\n%s", diff)
				}
			}
		})
	}
}
