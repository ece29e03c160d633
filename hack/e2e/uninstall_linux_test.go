package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// foreign are objects of somebody else's, with names and labels like ours.
const foreign = `
apiVersion: v1
kind: ConfigMap
metadata: {name: fairlead-operator-notes, namespace: SYSTEM, labels: {app.kubernetes.io/part-of: fairlead}}
data: {a: b}
---
apiVersion: v1
kind: Service
metadata: {name: fairlead, namespace: SYSTEM, labels: {app.kubernetes.io/name: fairlead-operator}}
spec: {ports: [{port: 80}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: fairlead-auditor}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: chat-receiver-notes, namespace: NS, labels: {app.kubernetes.io/name: fairlead, app.kubernetes.io/managed-by: fairlead, fairlead.dev/endpoint: chat}}
data: {a: b}
---
apiVersion: v1
kind: Service
metadata: {name: chat, namespace: NS, labels: {fairlead.dev/endpoint: chat}}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: chat-receiver-more, namespace: NS, labels: {fairlead.dev/endpoint: chat}}
spec: {podSelector: {matchLabels: {nobody: has-it}}, policyTypes: [Ingress]}
`

// tryUninstall holds that what is uninstalled leaves nothing of ours behind, and
// takes nothing of anybody else's along.
func tryUninstall(t *testing.T, r *rig) {
	const ns, vip = "e2e-uninstall", "192.0.2.15"
	k := key{Namespace: ns, Name: "chat"}
	r.namespace(t, ns)
	sink := r.sink(t, ns, "app")
	listed := r.host(t, streamUSEast)
	r.remove(t)
	r.onlyLeft(t, objects{}, func(o object) bool { return !strings.Contains(o.name, release) || o.kind == "Namespace" })
	others := strings.NewReplacer("SYSTEM", systemNamespace, "NS", ns).Replace(foreign)
	r.apply(t, signingSecret(ns, streamChat), others)
	t.Cleanup(func() { run(t, others, "kubectl", "delete", "-f", "-", "--ignore-not-found") })
	before := r.settled(t)

	if r.short {
		r.install(t, "--set=crds.keep=false")
		r.apply(t, balanced(k, streamChat, sink))
		r.balance(t, k, vip)
		r.ready(t, k)
	} else {
		r.tryKeep(t, k, before, sink, listed, vip)
	}
	r.step(t, "helm uninstall with crds.keep false: the cluster's objects are those of before, and foreign ones of like names are untouched", func(t *testing.T, line *row) {
		r.helm(t, "uninstall", release, "--wait")
		line.note("all gone after %s", seconds(r.onlyLeft(t, before, func(object) bool { return false })))
		after := r.settled(t)
		if gone := before.without(after).names(); len(gone) > 0 {
			t.Errorf("these are gone: %v", gone)
		}
		for o, version := range before {
			if strings.HasPrefix(o.name, "fairlead") || strings.HasPrefix(o.name, "chat") {
				if got, ok := after[o]; ok && got != version {
					t.Errorf("%v has been changed", o)
				}
			}
		}
		line.note("%d objects compared", len(before))
	})
}

// tryKeep uninstalls the release without its kinds, and installs it again.
func (r *rig) tryKeep(t *testing.T, k key, before objects, sink *sink, listed *host, vip string) {
	t.Helper()
	r.step(t, "helm uninstall with crds.keep (the default): the kinds and endpoints stay, and receivers serve on", func(t *testing.T, line *row) {
		r.install(t)
		r.apply(t, balanced(k, streamChat, sink))
		r.balance(t, k, vip)
		r.ready(t, k)
		with := r.settled(t)
		line.note("%d objects of %d kinds are ours", len(with)-len(before), kinds(with.without(before)))
		r.helm(t, "uninstall", release, "--wait")
		line.note("all but those gone after %s", seconds(r.onlyLeft(t, before, func(o object) bool {
			// The endpoint's, and what the API server makes of kinds.
			return o.namespace == k.Namespace || slices.Contains([]string{"CustomResourceDefinition", "APIService"}, o.kind)
		})))
		answers(t, listed.client(), vip+":80", stream("/hooks", message("without an operator")), http.StatusOK, taken)
		r.arrive(t, sink, "/chat", 1)
		if _, err := r.endpoint(t.Context(), k); err != nil {
			t.Error(err)
		}
	})
	r.step(t, "installed again, the operator takes the endpoint over as it is: no receiver restarts", func(t *testing.T, _ *row) {
		pods := names(r.receivers(t, k))
		r.install(t, "--set=crds.keep=false")
		r.patch(t, k.Namespace, "webhookendpoint/chat", `{"spec":{"regions":["us-east"]}}`) // a new generation, to see it taken up
		r.ready(t, k)
		if diff := cmp.Diff(pods, names(r.receivers(t, k))); diff != "" {
			t.Errorf("receivers (-before +after):\n%s", diff)
		}
	})
}

// onlyLeft waits until there is nothing but what there was before, and what may stay.
func (r *rig) onlyLeft(t testing.TB, before objects, mayStay func(object) bool) time.Duration {
	t.Helper()
	return eventually(t, awhile, "the end of what is ours", func(ctx context.Context) error {
		after, err := r.snapshot(ctx)
		if err != nil {
			return err
		}
		left := after.without(before)
		maps.DeleteFunc(left, func(o object, _ string) bool { return mayStay(o) })
		if len(left) > 0 {
			return fmt.Errorf("%w: %v", errThere, left.names())
		}
		return nil
	})
}

// remove uninstalls the release, if it is there, with its kinds.
func (r *rig) remove(t testing.TB) {
	t.Helper()
	r.systemNamespace(t)
	r.helm(t, "uninstall", release, "--wait", "--ignore-not-found")
	run(t, "", "kubectl", "delete", "crd", "webhookendpoints.fairlead.dev", "webhookproviders.fairlead.dev", "--ignore-not-found", "--timeout=120s")
}

// object names an object.
type object struct{ group, kind, namespace, name string }

// objects are a cluster's, each with its resource version.
type objects map[object]string

func (s objects) without(other objects) objects {
	out := objects{}
	for o, v := range s {
		if _, ok := other[o]; !ok {
			out[o] = v
		}
	}
	return out
}

func (s objects) names() []string {
	var out []string
	for o := range s {
		out = append(out, fmt.Sprintf("%s %s/%s", o.kind, o.namespace, o.name))
	}
	slices.Sort(out)
	return out
}

func kinds(s objects) int {
	seen := map[string]bool{}
	for o := range s {
		seen[o.group+"/"+o.kind] = true
	}
	return len(seen)
}

// passing reports whether objects of a kind come and go by themselves: Events, what
// the API server notes of Services' addresses, and what is no object at all.
func passing(kind string) bool {
	return slices.Contains([]string{"Event", "IPAddress", "ComponentStatus"}, kind)
}

// snapshot lists all objects of all kinds, but those of namespaces on their way out.
func (r *rig) snapshot(ctx context.Context) (objects, error) {
	d, err := discovery.NewDiscoveryClientForConfig(r.config)
	if err != nil {
		return nil, err
	}
	all, err := discovery.ServerPreferredResources(d)
	if err != nil {
		return nil, err
	}
	out := objects{}
	for _, list := range all {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, kind := range list.APIResources {
			if !slices.Contains(kind.Verbs, "list") || passing(kind.Kind) {
				continue
			}
			if err := r.listInto(ctx, out, gv.WithKind(kind.Kind)); err != nil {
				return nil, err
			}
		}
	}
	return out, r.dropEnding(ctx, out)
}

func (r *rig) listInto(ctx context.Context, out objects, kind schema.GroupVersionKind) error {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(kind)
	if err := r.kube.List(ctx, &list); err != nil {
		return fmt.Errorf("listing %s: %w", kind, err)
	}
	for _, o := range list.Items {
		out[object{kind.Group, kind.Kind, o.Namespace, o.Name}] = o.ResourceVersion
	}
	return nil
}

// dropEnding takes namespaces on their way out from a snapshot, and what is in them.
func (r *rig) dropEnding(ctx context.Context, from objects) error {
	var all corev1.NamespaceList
	if err := r.kube.List(ctx, &all); err != nil {
		return err
	}
	maps.DeleteFunc(from, func(o object, _ string) bool {
		return slices.ContainsFunc(all.Items, func(ns corev1.Namespace) bool {
			return ns.DeletionTimestamp != nil && (o.namespace == ns.Name || o.kind == "Namespace" && o.name == ns.Name)
		})
	})
	return nil
}

var errChanging = errors.New("objects still come and go")

// settled is a snapshot after which nothing comes or goes for a moment.
func (r *rig) settled(t testing.TB) (last objects) {
	t.Helper()
	same := 0
	eventually(t, awhile, "a cluster at rest", func(ctx context.Context) error {
		now, err := r.snapshot(ctx)
		if err != nil {
			return err
		}
		if len(now) == len(last) && len(now.without(last)) == 0 {
			same++
		} else {
			same = 0
		}
		if last = now; same < 10 {
			return errChanging
		}
		return nil
	})
	return last
}
