package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
	"github.com/fairlead-dev/fairlead/controllers/endpointtest"
	"github.com/fairlead-dev/fairlead/controllers/probe"
)

const image = "receiver:one"

// operate runs an operator for one namespace until the test ends, or the function
// that is returned is called.
func operate(t *testing.T, namespace, image string) (stop func()) {
	t.Helper()
	return operateIn(t, []string{namespace}, image)
}

// operateIn runs an operator for several namespaces.
func operateIn(t *testing.T, namespaces []string, image string) (stop func()) {
	t.Helper()
	_, stop = endpointtest.Start(t, asOp, namespaces, endpoint.Options{
		Image: image, Operator: desired.Operator{Namespace: "fairlead-system", Labels: desired.OperatorLabels()},
		Providers: true, Concurrency: 2, KindsEvery: time.Minute,
	}, endpoint.Parts{Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(),
		Probe: probe.Options{Client: &http.Client{Transport: nobody{}}, Port: desired.TelemetryPort}})
	return stop
}

// nobody is the way to receivers that do not run.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}

// namespace makes a namespace of the test's own. It goes with the control plane.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	create(t, ns)
	return ns.Name
}

func chat(namespace string, edits ...func(*v1alpha1.WebhookEndpoint)) *v1alpha1.WebhookEndpoint {
	return endpointtest.Chat(namespace, edits...)
}

// replicas is an edit.
func replicas(n int32) func(*v1alpha1.WebhookEndpoint) {
	return func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver = &v1alpha1.Receiver{Replicas: n} }
}

func create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := admin.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

var waiter = endpointtest.Wait{Every: 50 * time.Millisecond, Patience: patience}

func change(t *testing.T, ep *v1alpha1.WebhookEndpoint, edit func(*v1alpha1.WebhookEndpoint)) {
	t.Helper()
	endpointtest.Change(t, waiter, admin, ep, edit)
}

func until(t *testing.T, what string, ok func(context.Context) error) {
	t.Helper()
	waiter.Until(t, what, ok)
}

func is(t *testing.T, ep *v1alpha1.WebhookEndpoint, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	return waiter.Is(t, admin, ep, kind, status, reason)
}

// ready waits until the endpoint is Ready, with nothing left to be said.
func ready(t *testing.T, ep *v1alpha1.WebhookEndpoint) {
	t.Helper()
	is(t, ep, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonAvailable)
}

// receivers returns the endpoint's pods that are not on their way out, sorted, each
// as its name, uid and image.
func receivers(t *testing.T, ep *v1alpha1.WebhookEndpoint) []string {
	t.Helper()
	var list corev1.PodList
	if err := admin.List(t.Context(), &list, client.InNamespace(ep.Namespace), client.MatchingLabels(desired.Selector(ep.Name))); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		p := &list.Items[i]
		if p.DeletionTimestamp.IsZero() {
			out = append(out, fmt.Sprintf("%s %s %s", p.Name, p.UID, p.Spec.Containers[0].Image))
		}
	}
	slices.Sort(out)
	return out
}

// deployment returns the endpoint's Deployment as it is now.
func deployment(t *testing.T, ep *v1alpha1.WebhookEndpoint) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: ep.Namespace, Name: desired.ReceiverName(ep.Name)}, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// follow records a number of the endpoint's Deployment from now on, each value that
// differs from the one before. The function that is returned ends that and returns
// what was seen.
func follow(t *testing.T, ep *v1alpha1.WebhookEndpoint, number func(*appsv1.Deployment) int32) (seen func() []int32) {
	t.Helper()
	d := deployment(t, ep)
	w, err := admin.Watch(t.Context(), &appsv1.DeploymentList{}, client.InNamespace(ep.Namespace),
		client.MatchingFields{"metadata.name": d.Name}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: d.ResourceVersion}})
	if err != nil {
		t.Fatal(err)
	}
	all := []int32{number(d)}
	last, ended := d.ResourceVersion, false
	var mu sync.Mutex
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range w.ResultChan() {
			mu.Lock()
			d, ok := event.Object.(*appsv1.Deployment)
			switch {
			case !ok && !ended:
				t.Errorf("the watch ended: %v", event.Object)
			case ok:
				if n := number(d); n != all[len(all)-1] {
					all = append(all, n)
				}
				last = d.ResourceVersion
			}
			mu.Unlock()
		}
	}()
	return func() []int32 {
		t.Helper()
		until(t, "the watch has seen all", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if now := deployment(t, ep).ResourceVersion; now != last {
				return fmt.Errorf("it is at version %s of %s", last, now)
			}
			ended = true
			return nil
		})
		w.Stop()
		<-done
		return all
	}
}
