package config_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

const namespace = "fairlead-system"

// rendered are the objects of a kustomization.
type rendered []client.Object

// of returns those of a type.
func of[T client.Object](all rendered) []T {
	var some []T
	for _, o := range all {
		if t, ok := o.(T); ok {
			some = append(some, t)
		}
	}
	return some
}

// only returns the one object of a type.
func only[T client.Object](t *testing.T, all rendered) T {
	t.Helper()
	some := of[T](all)
	if len(some) != 1 {
		t.Fatalf("there are %d objects of type %T, want 1", len(some), *new(T))
	}
	return some[0]
}

// render returns what kubectl would apply, decoded so that no field is unknown.
func render(t *testing.T, folder string) rendered {
	t.Helper()
	dir, err := plane.Assets()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "kubectl"), "kustomize", folder)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 { // what is deprecated is said there
		t.Fatalf("kubectl kustomize %s: %v: %s", folder, err, &stderr)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all rendered
	for _, doc := range documents(out) {
		obj, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v in\n%s", folder, err, doc)
		}
		all = append(all, obj.(client.Object))
	}
	return all
}

// TestEveryKustomization renders each, also those that are parts of others.
func TestEveryKustomization(t *testing.T) {
	n := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "kustomization.yaml" {
			return err
		}
		n++
		t.Run(filepath.Dir(path), func(t *testing.T) {
			all := render(t, filepath.Dir(path))
			if len(all) == 0 {
				t.Error("it renders nothing")
			}
			for _, o := range all {
				if s, ok := o.(*corev1.Secret); ok {
					t.Errorf("it holds Secret %s", s.Name)
				}
			}
		})
		return nil
	})
	if err != nil || n < 6 {
		t.Fatalf("found %d kustomizations: %v", n, err)
	}
}

// TestWhole holds that the two kustomizations that people apply lack nothing, and
// what each grants where.
func TestWhole(t *testing.T) {
	for folder, want := range map[string]struct{ everywhere, within []string }{
		"default": {
			everywhere: []string{"fairlead-operator", "fairlead-operator-metrics-auth", "fairlead-operator-provider"},
			within:     []string{"fairlead-system/fairlead-operator-leader-election"},
		},
		"namespaced": {
			everywhere: []string{"fairlead-operator-metrics-auth", "fairlead-operator-provider-reader"},
			within:     []string{"default/fairlead-operator", "fairlead-system/fairlead-operator-leader-election"},
		},
	} {
		t.Run(folder, func(t *testing.T) {
			all := render(t, folder)
			if n := len(of[*apiextensionsv1.CustomResourceDefinition](all)); n != 2 {
				t.Errorf("there are %d CRDs, want 2", n)
			}
			var everywhere, within []string
			for _, b := range of[*rbacv1.ClusterRoleBinding](all) {
				everywhere = append(everywhere, b.Name)
				checkBinding(t, all, b.Name, "", b.RoleRef, b.Subjects)
			}
			for _, b := range of[*rbacv1.RoleBinding](all) {
				within = append(within, b.Namespace+"/"+b.Name)
				checkBinding(t, all, b.Name, b.Namespace, b.RoleRef, b.Subjects)
			}
			if diff := cmp.Diff(want.everywhere, everywhere) + cmp.Diff(want.within, within); diff != "" {
				t.Errorf("what is bound (-want +got):\n%s", diff)
			}
			checkOperator(t, all)
		})
	}
}

// checkBinding holds that a binding binds a role of the same kustomization to the
// operator's account, which is there too.
func checkBinding(t *testing.T, all rendered, name, within string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
	t.Helper()
	account := only[*corev1.ServiceAccount](t, all)
	want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: namespace}}
	if diff := cmp.Diff(want, subjects); diff != "" || account.Namespace != namespace {
		t.Errorf("binding %s: whom (-want +got):\n%s", name, diff)
	}
	found := slices.ContainsFunc(all, func(o client.Object) bool {
		return o.GetObjectKind().GroupVersionKind().Kind == ref.Kind && o.GetName() == ref.Name &&
			(ref.Kind == "ClusterRole" || o.GetNamespace() == within)
	})
	if !found {
		t.Errorf("binding %s: there is no %s %s", name, ref.Kind, ref.Name)
	}
}

// checkOperator holds that the parts of the operator find each other, and that its
// pods pass the strictest Pod Security.
func checkOperator(t *testing.T, all rendered) {
	t.Helper()
	if ns := only[*corev1.Namespace](t, all); ns.Name != namespace || ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("namespace %s has labels %v", ns.Name, ns.Labels)
	}
	d := only[*appsv1.Deployment](t, all)
	pod := d.Spec.Template.Spec
	podLabels := labels.Set(d.Spec.Template.Labels)
	service, budget := only[*corev1.Service](t, all), only[*policyv1.PodDisruptionBudget](t, all)
	for what, selector := range map[string]map[string]string{
		"Deployment": d.Spec.Selector.MatchLabels, "Service": service.Spec.Selector, "PodDisruptionBudget": budget.Spec.Selector.MatchLabels,
		"receivers": {"app.kubernetes.io/name": "fairlead-operator"}, // whose policies let it read their status
	} {
		if !labels.SelectorFromSet(selector).Matches(podLabels) {
			t.Errorf("the %s selects %v, and pods have %v", what, selector, podLabels)
		}
	}
	if pod.ServiceAccountName != only[*corev1.ServiceAccount](t, all).Name {
		t.Errorf("pods run as %q", pod.ServiceAccountName)
	}
	c := pod.Containers[0]
	s := c.SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the pods may more than they need: %+v, %+v", pod.SecurityContext, s)
	}
	if c.Image != "fairlead/operator:devel" || !slices.Contains(c.Args, "--receiver-image=fairlead/receiver:devel") {
		t.Errorf("image %q, arguments %q", c.Image, c.Args)
	}
}

// TestNamespacedIsToldItsNamespaces holds that the operator serves just the
// namespaces in which it has the rights to.
func TestNamespacedIsToldItsNamespaces(t *testing.T) {
	all := render(t, "namespaced")
	var granted []string
	for _, b := range of[*rbacv1.RoleBinding](all) {
		if b.RoleRef.Name == "fairlead-operator" {
			granted = append(granted, b.Namespace)
		}
	}
	var told []string
	for _, arg := range only[*appsv1.Deployment](t, all).Spec.Template.Spec.Containers[0].Args {
		if list, ok := strings.CutPrefix(arg, "--namespaces="); ok {
			told = strings.Split(list, ",")
		}
	}
	if diff := cmp.Diff(granted, told); diff != "" {
		t.Errorf("namespaces (-granted +told):\n%s", diff)
	}
}

// TestOperatorKnowsItsArguments holds that the program takes what the Deployments
// tell it.
func TestOperatorKnowsItsArguments(t *testing.T) {
	for _, folder := range []string{"default", "namespaced"} {
		args := only[*appsv1.Deployment](t, render(t, folder)).Spec.Template.Spec.Containers[0].Args
		run := append([]string{"run", "../controllers"}, args...)
		if out, err := exec.Command("go", append(run, "--version")...).CombinedOutput(); err != nil {
			t.Errorf("%s: operator %q: %v: %s", folder, args, err, out)
		}
	}
}

// TestRenderedRolesGrantNothingMore holds the same of what is applied as of what
// stands in files.
func TestRenderedRolesGrantNothingMore(t *testing.T) {
	for _, folder := range []string{"default", "namespaced"} {
		all := render(t, folder)
		for _, r := range of[*rbacv1.ClusterRole](all) {
			for _, f := range check(role{ObjectMeta: r.ObjectMeta, Rules: r.Rules, AggregationRule: r.AggregationRule}) {
				t.Errorf("%s: ClusterRole %s: %s", folder, r.Name, f)
			}
		}
		for _, r := range of[*rbacv1.Role](all) {
			for _, f := range check(role{ObjectMeta: r.ObjectMeta, Rules: r.Rules}) {
				t.Errorf("%s: Role %s: %s", folder, r.Name, f)
			}
		}
	}
}
