package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
)

// tryRelease holds what Helm promises of a release, with endpoints that go on while
// it changes.
func tryRelease(t *testing.T, r *rig) {
	const ns, vip = "e2e-release", "192.0.2.16"
	k := key{Namespace: ns, Name: "chat"}
	chart := filepath.Join(r.source, "charts", "fairlead")
	r.namespace(t, ns)
	sink := r.sink(t, ns, "app")
	c := r.host(t, streamUSEast).client()
	r.install(t, "--set=logLevel=debug", "--set=allowed.annotations={example.com/*}")
	revision := r.revision(t)
	r.apply(t, signingSecret(ns, streamChat), balanced(k, streamChat, sink))
	r.balance(t, k, vip)
	r.ready(t, k)
	pods := names(r.receivers(t, k))
	unmoved := func(t *testing.T) {
		t.Helper()
		answers(t, c, vip+":80", stream("/hooks", message("served")), http.StatusOK, taken)
		r.patch(t, ns, "webhookendpoint/chat", `{"metadata":{"labels":{"seen":"`+id()+`"}}}`)
		r.ready(t, k)
		if diff := cmp.Diff(pods, names(r.receivers(t, k))); diff != "" {
			t.Errorf("receivers (-before +after):\n%s", diff)
		}
	}
	r.step(t, "helm upgrade --reuse-values changes what is said and keeps the rest; receivers run on", func(t *testing.T, line *row) {
		line.note("helm waited %s", seconds(took(func() {
			r.helm(t, "upgrade", release, chart, "--reuse-values", "--set=replicas=1", "--wait", "--timeout=120s")
		})))
		d := r.operator(t)
		if args := d.Spec.Template.Spec.Containers[0].Args; *d.Spec.Replicas != 1 || !has(args, "debug") || !has(args, "example.com/*") {
			t.Errorf("the operator has %d replicas and arguments %q", *d.Spec.Replicas, args)
		}
		unmoved(t)
	})
	r.step(t, "helm rollback brings the revision before back; receivers run on", func(t *testing.T, line *row) {
		line.note("helm waited %s", seconds(took(func() { r.helm(t, "rollback", release, revision, "--wait", "--timeout=120s") })))
		if d := r.operator(t); *d.Spec.Replicas != 2 || d.Status.ReadyReplicas != 2 {
			t.Errorf("the operator has %d replicas, %d ready", *d.Spec.Replicas, d.Status.ReadyReplicas)
		}
		unmoved(t)
	})
	r.install(t)
}

// revision is the number of the release's newest revision.
func (r *rig) revision(t testing.TB) string {
	t.Helper()
	var status struct{ Version int }
	if err := json.Unmarshal([]byte(r.helm(t, "status", release, "--output=json")), &status); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(status.Version)
}

func (r *rig) operator(t testing.TB) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := r.kube.Get(t.Context(), key{Namespace: systemNamespace, Name: operatorName}, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// has reports whether one of the arguments has the text in it.
func has(args []string, text string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, text) })
}

// tryNamespaces installs the operator for one namespace, with rights in no other.
func tryNamespaces(t *testing.T, r *rig) {
	const ns, other, vip = "e2e-served", "e2e-other", "192.0.2.17"
	r.remove(t)
	r.namespace(t, ns)
	r.namespace(t, other)
	sink := r.sink(t, ns, "app")
	c := r.host(t, streamUSEast).client()
	r.step(t, "installed for one namespace, egress of operator and receivers restricted: an endpoint there is Ready, served and delivers; one elsewhere is not touched, and the operator has no right there", func(t *testing.T, line *row) {
		r.install(t, "--set=namespaces={"+ns+"}", "--set=networkPolicy.egress.restrict=true")
		served, foreign := key{Namespace: ns, Name: "chat"}, key{Namespace: other, Name: "chat"}
		r.apply(t, signingSecret(ns, streamChat), balanced(served, streamChat, sink)+"\n  networkPolicy: {egress: Sinks}", balanced(foreign, streamChat, sink))
		r.balance(t, served, vip)
		line.note("Ready %s after the load balancer's address", seconds(r.ready(t, served)))
		answers(t, c, vip+":80", stream("/hooks", message("served")), http.StatusOK, taken)
		r.arrive(t, sink, "/chat", 1)
		ep, err := r.endpoint(t.Context(), foreign)
		if err != nil {
			t.Fatal(err)
		}
		if *ep.Status.ObservedGeneration != -1 || len(ep.Status.Conditions) > 0 {
			t.Errorf("the other namespace's endpoint has the status %v", ep.Status)
		}
		for in, want := range map[string]string{ns: "yes", other: "no"} {
			out, _ := command(t, "", "kubectl", "auth", "can-i", "patch", "deployments", "-n", in, "--as=system:serviceaccount:"+systemNamespace+":"+operatorName)
			if got := strings.TrimSpace(out); got != want {
				t.Errorf("may the operator patch Deployments in %s: %q, want %q", in, got, want)
			}
		}
	})
	r.remove(t)
}

// tryKustomize installs config/default with kubectl alone.
func tryKustomize(t *testing.T, r *rig) {
	const ns, vip = "e2e-kustomize", "192.0.2.18"
	k := key{Namespace: ns, Name: "chat"}
	base := filepath.Join(r.source, "config", "default")
	r.remove(t)
	run(t, "", "kubectl", "delete", "namespace", systemNamespace, "--ignore-not-found", "--timeout=120s")
	r.namespace(t, ns)
	sink := r.sink(t, ns, "app")
	c := r.host(t, streamUSEast).client()
	r.step(t, "kubectl apply -k config/default instead of Helm: an endpoint is Ready and served", func(t *testing.T, line *row) {
		run(t, "", "kubectl", "apply", "--server-side", "-k", base)
		run(t, "", "kubectl", "rollout", "status", "-n", systemNamespace, "deployment/"+operatorName, "--timeout=120s")
		r.apply(t, signingSecret(ns, streamChat), balanced(k, streamChat, sink))
		r.balance(t, k, vip)
		line.note("Ready %s after the load balancer's address", seconds(r.ready(t, k)))
		answers(t, c, vip+":80", stream("/hooks", message("served")), http.StatusOK, taken)
		r.arrive(t, sink, "/chat", 1)
	})
	r.step(t, "kubectl delete -k takes all of it away, endpoints and receivers too", func(t *testing.T, line *row) {
		line.note("after %s", seconds(took(func() { run(t, "", "kubectl", "delete", "-k", base, "--timeout=120s") })))
		eventually(t, awhile, "the end of the receivers", func(context.Context) error {
			if left := r.pods(t, ns, receiverLabels(k.Name)); len(left) > 0 {
				return fmt.Errorf("%w: %v", errThere, names(left))
			}
			return nil
		})
	})
}
