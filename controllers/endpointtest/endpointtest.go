// Package endpointtest is what the tests of the operator on an API server share:
// an endpoint, an operator in the test's own process, and waiting for what it does.
package endpointtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
)

// Chat is the smallest endpoint, with edits.
func Chat(namespace string, edits ...func(*v1alpha1.WebhookEndpoint)) *v1alpha1.WebhookEndpoint {
	ep := &v1alpha1.WebhookEndpoint{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: namespace},
		Spec: v1alpha1.WebhookEndpointSpec{
			Provider:  "stream-chat",
			SecretRef: v1alpha1.SecretReference{Name: "stream"},
			Sinks:     []v1alpha1.Sink{{Name: "app", HTTP: &v1alpha1.HTTPSink{URL: "http://app.shop.svc/hooks"}}},
		},
	}
	for _, edit := range edits {
		edit(ep)
	}
	return ep
}

// Wait says how often a condition is looked at, and for how long.
type Wait struct{ Every, Patience time.Duration }

// Until waits for a condition and fails with the last reason why it is not there.
func (w Wait) Until(t *testing.T, what string, ok func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), w.Every, w.Patience, true, func(ctx context.Context) (bool, error) {
		last = ok(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting until %s: %v; at the end: %v", what, err, last)
	}
}

// Is waits until the newest generation of an endpoint has a condition, and returns
// it. It reads ep anew.
func (w Wait) Is(t *testing.T, c client.Reader, ep *v1alpha1.WebhookEndpoint, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	var found *metav1.Condition
	w.Until(t, fmt.Sprintf("%s is %s, %s", kind, status, reason), func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(ep), ep); err != nil {
			return err
		}
		found = meta.FindStatusCondition(ep.Status.Conditions, kind)
		switch {
		case found == nil:
			return fmt.Errorf("there is no such condition among %v", summary(ep))
		case found.Status != status || found.Reason != reason || found.ObservedGeneration != ep.Generation || *ep.Status.ObservedGeneration != ep.Generation:
			return fmt.Errorf("generation %d: %v", ep.Generation, summary(ep))
		}
		return nil
	})
	return *found
}

func summary(ep *v1alpha1.WebhookEndpoint) []string {
	var out []string
	for _, c := range ep.Status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s (%s, generation %d: %s)", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message))
	}
	return out
}

// Change edits an object as somebody would with kubectl edit.
func Change[T client.Object](t *testing.T, w Wait, c client.Client, obj T, edit func(T)) {
	t.Helper()
	w.Until(t, "it is changed", func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		edit(obj)
		return c.Update(ctx, obj, client.FieldOwner("somebody"))
	})
}

// Start runs an operator in this process, as the user of cfg and for some
// namespaces or all, until the test ends or stop is called.
func Start(t *testing.T, cfg *rest.Config, namespaces []string, o endpoint.Options, p endpoint.Parts) (mgr ctrl.Manager, stop func()) {
	t.Helper()
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: endpoint.Scheme(), Cache: endpoint.CacheOptions(namespaces), Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Logger:     testr.NewWithOptions(t, testr.Options{Verbosity: -1}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := endpoint.Setup(t.Context(), mgr, o, p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // outlives the test's own
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the operator ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return mgr, stop
}
