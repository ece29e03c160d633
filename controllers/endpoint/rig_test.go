package endpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
	"github.com/fairlead-dev/fairlead/controllers/endpointtest"
	"github.com/fairlead-dev/fairlead/controllers/probe"
)

// operator is a running operator, with the clock and the receivers that it sees.
type operator struct {
	*calls
	clock    *clocktesting.FakeClock
	pods     *receivers
	registry *prometheus.Registry
	stop     func()
}

type setting func(*endpoint.Options, *[]string)

// start runs an operator under its own generated roles until the test ends or it
// is stopped.
func start(t *testing.T, settings ...setting) *operator {
	t.Helper()
	o := options()
	var namespaces []string
	for _, set := range settings {
		set(&o, &namespaces)
	}
	return startWith(t, asOp, o, namespaces, clocktesting.NewFakeClock(time.Now().Truncate(time.Second)))
}

func options() endpoint.Options {
	return endpoint.Options{Image: "receiver:test", Operator: desired.Operator{Namespace: "fairlead-system", Labels: desired.OperatorLabels()},
		Providers: true, Concurrency: 4, KindsEvery: 100 * time.Millisecond}
}

func startWith(t *testing.T, as *rest.Config, o endpoint.Options, namespaces []string, clk *clocktesting.FakeClock) *operator {
	t.Helper()
	return startBeside(t, as, o, namespaces, clk, &receivers{pages: map[string]func() (statusz.Endpoint, bool){}})
}

// startBeside runs an operator that finds receivers as they are.
func startBeside(t *testing.T, as *rest.Config, o endpoint.Options, namespaces []string, clk *clocktesting.FakeClock, pods *receivers) *operator {
	t.Helper()
	op := &operator{calls: &calls{}, clock: clk, registry: prometheus.NewRegistry(), pods: pods}
	cfg := rest.CopyConfig(as)
	cfg.Wrap(op.calls.wrap)
	mgr, stop := endpointtest.Start(t, cfg, namespaces, o, endpoint.Parts{Clock: op.clock, Registerer: op.registry, Probe: probe.Options{
		Client: &http.Client{Transport: op.pods}, Port: desired.TelemetryPort, Interval: 50 * time.Millisecond, FastInterval: 20 * time.Millisecond}})
	op.stop = sync.OnceFunc(func() {
		stop()
		residue = gauge(t, "workqueue_depth")
	})
	t.Cleanup(op.stop)
	if !mgr.GetCache().WaitForCacheSync(t.Context()) {
		t.Fatal("the cache does not sync")
	}
	return op
}

// again starts an operator after this one was stopped, beside the same receivers.
func (o *operator) again(t *testing.T) *operator {
	t.Helper()
	return startBeside(t, asOp, options(), nil, o.clock, o.pods)
}

// residue is what the queues of operators that were stopped had left: the gauge
// goes on to count it.
var residue float64

// calls counts requests to the API server.
type calls struct {
	mu     sync.Mutex
	writes []string
	reads  int
}

type wrapped struct {
	calls *calls
	next  http.RoundTripper
}

func (c *calls) wrap(next http.RoundTripper) http.RoundTripper { return &wrapped{c, next} }

func (w *wrapped) RoundTrip(req *http.Request) (*http.Response, error) {
	w.calls.mu.Lock()
	if req.Method == http.MethodGet {
		w.calls.reads++
	} else if !strings.Contains(req.URL.Path, "/events") { // told, and of no effect
		w.calls.writes = append(w.calls.writes, req.Method+" "+req.URL.Path)
	}
	w.calls.mu.Unlock()
	return w.next.RoundTrip(req)
}

// written returns the writes since it was last called.
func (c *calls) written() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.writes
	c.writes = nil
	return out
}

// receivers are the status pages of pods, by address.
type receivers struct {
	mu    sync.Mutex
	pages map[string]func() (statusz.Endpoint, bool)
	tls   map[string]*statusz.TLS
}

// serves sets what the receiver at an address says of its certificate.
func (r *receivers) serves(ip string, tls *statusz.TLS) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tls == nil {
		r.tls = map[string]*statusz.TLS{}
	}
	r.tls[ip] = tls
}

func (r *receivers) set(ip string, page func() (statusz.Endpoint, bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages[ip] = page
}

func (r *receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	page, tls := r.pages[req.URL.Hostname()], r.tls[req.URL.Hostname()]
	r.mu.Unlock()
	if page == nil {
		return nil, errors.New("no route to host")
	}
	ep, ok := page()
	if !ok {
		return nil, errors.New("connection refused")
	}
	data, err := json.Marshal(statusz.Page{Version: "test", Endpoints: []statusz.Endpoint{ep}, TLS: tls})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(data)), Request: req}, err
}

// namespace makes a namespace of the test's own.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // there is no controller that would empty a namespace
		ctx := context.Background()
		if err := admin.DeleteAllOf(ctx, &v1alpha1.WebhookEndpoint{}, client.InNamespace(ns.Name)); err != nil {
			t.Error(err)
		}
	})
	return ns.Name
}

func chat(namespace string, edits ...func(*v1alpha1.WebhookEndpoint)) *v1alpha1.WebhookEndpoint {
	return endpointtest.Chat(namespace, edits...)
}

func create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := admin.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func change[T client.Object](t *testing.T, obj T, edit func(T)) {
	t.Helper()
	endpointtest.Change(t, waiter, admin, obj, edit)
}

func named[T client.Object](obj T, namespace, name string) T {
	obj.SetNamespace(namespace)
	obj.SetName(name)
	return obj
}

// deployed waits for the endpoint's Deployment.
func deployed(t *testing.T, ep *v1alpha1.WebhookEndpoint) *appsv1.Deployment {
	t.Helper()
	d := named(&appsv1.Deployment{}, ep.Namespace, ep.Name+"-receiver")
	until(t, "the Deployment is there", func(ctx context.Context) error { return admin.Get(ctx, client.ObjectKeyFromObject(d), d) })
	return d
}

// rollOut plays the controllers that make pods of a Deployment: its status says
// that all replicas are there.
func rollOut(t *testing.T, ep *v1alpha1.WebhookEndpoint) {
	t.Helper()
	d := deployed(t, ep)
	n := ptr.Deref(d.Spec.Replicas, 1)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, ep *v1alpha1.WebhookEndpoint, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	return waiter.Is(t, admin, ep, kind, status, reason)
}

// pending makes a receiver's pod that does not run yet.
func pending(t *testing.T, ep *v1alpha1.WebhookEndpoint, name string) *corev1.Pod {
	t.Helper()
	p := named(&corev1.Pod{}, ep.Namespace, name)
	p.Labels = desired.Labels(ep.Name)
	p.Spec = corev1.PodSpec{Containers: []corev1.Container{{Name: desired.ContainerName, Image: "receiver:test"}}}
	create(t, p)
	return p
}

// pod makes a receiver's pod with an address, and what it says of itself.
func (o *operator) pod(t *testing.T, ep *v1alpha1.WebhookEndpoint, name, ip string, edit func(*statusz.Endpoint)) *corev1.Pod {
	t.Helper()
	p := pending(t, ep, name)
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	if err := admin.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), p, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	o.says(ep, ip, edit)
	return p
}

// says sets what the receiver at an address says; nil: nothing, as if it were
// down.
func (o *operator) says(ep *v1alpha1.WebhookEndpoint, ip string, edit func(*statusz.Endpoint)) {
	namespace, name, generation := ep.Namespace, ep.Name, ep.Generation // tests read ep anew meanwhile
	o.pods.set(ip, func() (statusz.Endpoint, bool) {
		if edit == nil {
			return statusz.Endpoint{}, false
		}
		page := statusz.Endpoint{Namespace: namespace, Name: name, Ready: true,
			Config: statusz.Config{Generation: generation}, Secret: statusz.Secret{Entries: []statusz.Entry{{Name: "current"}}},
			Queue: statusz.Queue{SyncedBeforeReply: true}, Sinks: []statusz.Sink{{Name: "app", State: "ok"}}}
		edit(&page)
		return page, true
	})
}

func fine(*statusz.Endpoint) {}
