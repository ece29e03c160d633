package helm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// chosen are values that somebody installs with, and that later versions keep.
const chosen = "replicas: 1\nallowed: {hosts: {shop: [pay.example.com]}}\n"

// somebodys is an endpoint that does not belong to the release.
const somebodys = `{apiVersion: fairlead.dev/v1alpha1, kind: WebhookEndpoint, metadata: {name: chat, namespace: community}, spec: {
  provider: stream-chat, secretRef: {name: stream}, sinks: [{name: app, http: {url: "http://app.shop.svc/hooks"}}]}}`

// ofValues is one that does.
const ofValues = `endpoints:
- {name: stripe, namespace: shop, spec: {provider: stripe, secretRef: {name: stripe}, sinks: [{name: app, http: {url: "http://app.shop.svc/hooks"}}]}}
`

// The objects that an uninstall leaves: the kinds, and what the API server makes for
// them.
var kept = []string{
	"APIService v1alpha1.fairlead.dev",
	"CustomResourceDefinition webhookendpoints.fairlead.dev",
	"CustomResourceDefinition webhookproviders.fairlead.dev",
}

// live is the life of a release: installed from an earlier version, upgraded,
// upgraded to have an endpoint, rolled back, uninstalled, installed over what stayed,
// and uninstalled for good. At each end all objects of the cluster are compared with
// those of before.
func live(t *testing.T, c *cluster, h helm) {
	before := c.names(t)
	h.install(t, "0.1.0", chosen)
	first := c.operator(t)
	wantArgs(t, first, "--allowed-hosts=shop=pay.example.com")
	c.kubectl(t, []byte(somebodys), "apply", "-f", "-")

	h.upgrade(t, "logLevel: debug")
	second := c.operator(t)
	wantArgs(t, second, "--allowed-hosts=shop=pay.example.com", "--log-level=debug")
	if *second.Spec.Replicas != 1 {
		t.Errorf("after an upgrade that reuses values there are %d replicas, want 1", *second.Spec.Replicas)
	}

	h.upgrade(t, ofValues)
	c.has(t, before, slices.Concat(kept, []string{"WebhookEndpoint community/chat", "WebhookEndpoint shop/stripe"}))
	wantArgs(t, c.operator(t), "--log-level=debug")

	h.rollback(t, 1)
	if diff := cmp.Diff(first.Spec, c.operator(t).Spec); diff != "" {
		t.Errorf("the rollback's Deployment (-first +rolled back):\n%s", diff)
	}
	c.has(t, before, slices.Concat(kept, []string{"WebhookEndpoint community/chat"}))

	h.uninstall(t)
	c.differs(t, before, slices.Concat(kept, []string{"WebhookEndpoint community/chat"}))

	h.install(t, "", "crds: {keep: false}") // over the kinds that stayed
	c.has(t, before, slices.Concat(kept, []string{"WebhookEndpoint community/chat"}))
	h.uninstall(t)
	c.differs(t, before, nil)
}

func (c *cluster) operator(t *testing.T) *appsv1.Deployment {
	t.Helper()
	d, err := c.client.AppsV1().Deployments(namespace).Get(t.Context(), operator, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantArgs(t *testing.T, d *appsv1.Deployment, want ...string) {
	t.Helper()
	args := d.Spec.Template.Spec.Containers[0].Args
	for _, w := range want {
		if !slices.Contains(args, w) {
			t.Errorf("the arguments are %q, want %s among them", args, w)
		}
	}
}

// has waits until all of the wanted objects are among those that are new.
func (c *cluster) has(t *testing.T, before map[string]bool, want []string) {
	t.Helper()
	until(t, "what should be there is", func(context.Context) error {
		now := c.names(t)
		for _, w := range want {
			if !now[w] || before[w] {
				return fmt.Errorf("there is no new %s", w)
			}
		}
		return nil
	})
}

// differs waits until the cluster has just these objects besides those of before.
func (c *cluster) differs(t *testing.T, before map[string]bool, want []string) {
	t.Helper()
	until(t, "nothing else is left", func(context.Context) error {
		now := c.names(t)
		var added, gone []string
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if !before[name] {
				added = append(added, name)
			}
		}
		for name := range before {
			if !now[name] {
				gone = append(gone, name)
			}
		}
		if len(gone) > 0 {
			return fmt.Errorf("gone are %q", gone)
		}
		if diff := cmp.Diff(want, added); diff != "" {
			return fmt.Errorf("what is new (-want +got):\n%s", diff)
		}
		return nil
	})
}

// names are all objects of the cluster, KIND NAMESPACE/NAME, but for those that come
// and go by themselves.
func (c *cluster) names(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	lists, err := c.discovery.ServerPreferredResources()
	if gone := (&discovery.ErrGroupDiscoveryFailed{}); err != nil && !errors.As(err, &gone) {
		t.Fatal(err)
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || slices.Contains([]string{"Event", "ComponentStatus"}, r.Kind) {
				continue
			}
			for _, name := range c.list(t, gv.WithResource(r.Name)) {
				found[r.Kind+" "+name] = true
			}
		}
	}
	for name := range found {
		if strings.HasPrefix(name, "ConfigMap ") && strings.HasSuffix(name, "/kube-root-ca.crt") || strings.HasPrefix(name, "ServiceAccount ") && strings.HasSuffix(name, "/default") {
			delete(found, name) // every namespace gets them, some time after it is made
		}
	}
	return found
}

// list returns the names of a resource's objects; none if the resource has just gone.
func (c *cluster) list(t *testing.T, r schema.GroupVersionResource) []string {
	t.Helper()
	all, err := c.dynamic.Resource(r).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Logf("listing %s: %v", r.Resource, err)
		return nil
	}
	var names []string
	for _, obj := range all.Items {
		names = append(names, strings.TrimPrefix(obj.GetNamespace()+"/"+obj.GetName(), "/"))
	}
	return names
}
