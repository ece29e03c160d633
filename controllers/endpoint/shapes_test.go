package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

var sorted = cmpopts.SortSlices(func(a, b string) bool { return a < b })

// everyShape returns endpoints of every exposure and queue.
func everyShape(namespace string) []*v1alpha1.WebhookEndpoint {
	shape := func(name string, edit func(*v1alpha1.WebhookEndpointSpec)) *v1alpha1.WebhookEndpoint {
		ep := chat(namespace)
		ep.Name = name
		edit(&ep.Spec)
		return ep
	}
	from := &v1alpha1.NetworkPolicy{IngressFrom: []v1alpha1.NetworkPeer{{IPBlock: &v1alpha1.IPBlock{CIDR: "10.0.0.0/8", Except: []v1alpha1.CIDR{"10.1.0.0/16"}}}},
		MetricsFrom: []v1alpha1.NetworkPeer{{IPBlock: &v1alpha1.IPBlock{CIDR: "2001:db8::/32"}}}, HealthCheckRanges: []v1alpha1.CIDR{"192.0.2.0/24"}, Egress: v1alpha1.EgressSinks}
	return []*v1alpha1.WebhookEndpoint{
		shape("inside", func(*v1alpha1.WebhookEndpointSpec) {}),
		shape("balanced", func(s *v1alpha1.WebhookEndpointSpec) {
			s.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer, Host: "a.example.com", LoadBalancer: &v1alpha1.LoadBalancerExposure{Port: 443}}
			s.NetworkPolicy = from
		}),
		shape("gated", func(s *v1alpha1.WebhookEndpointSpec) {
			s.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureGateway, Host: "b.example.com", Gateway: &v1alpha1.GatewayExposure{
				ParentRefs: []v1alpha1.GatewayReference{{Name: "public", Namespace: "infra", SectionName: "https"}}}}
			s.NetworkPolicy = from
		}),
		shape("ingressed", func(s *v1alpha1.WebhookEndpointSpec) {
			s.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "c.example.com", Path: "/chat", TLS: &v1alpha1.ExposureTLS{SecretName: "tls"},
				Ingress: &v1alpha1.IngressExposure{Preset: v1alpha1.PresetIngressNginx}}
			s.NetworkPolicy = from
			s.Receiver = &v1alpha1.Receiver{Autoscaling: &v1alpha1.Autoscaling{MaxReplicas: 5}}
		}),
		shape("served", func(s *v1alpha1.WebhookEndpointSpec) {
			s.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer, Host: "d.example.com", ProxyProtocol: v1alpha1.ProxyProtocolRequired,
				TLS: &v1alpha1.ExposureTLS{IssuerRef: &v1alpha1.IssuerReference{Name: "public"}}}
			s.Sources = &v1alpha1.Sources{TrustedProxies: []v1alpha1.CIDR{"10.0.0.0/24"}}
			s.Responders = []v1alpha1.Responder{{Hook: "before-message-send", HTTP: &v1alpha1.HTTPSink{URL: "http://moderator.shop.svc"}, OnFailure: v1alpha1.FailureAllow}}
		}),
		shape("lasting", func(s *v1alpha1.WebhookEndpointSpec) {
			s.Queue = &v1alpha1.Queue{Type: v1alpha1.QueuePersistent, StorageClassName: "fast"}
			s.Receiver = &v1alpha1.Receiver{Replicas: 3}
		}),
	}
}

// gauge returns the sum of a metric of controller-runtime.
func gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return sum
}

// idle returns an error while the operator has something to do.
func idle(t *testing.T) error {
	t.Helper()
	return errors.Join(zero("queued", gauge(t, "workqueue_depth")-residue), zero("being reconciled", gauge(t, "controller_runtime_active_workers")))
}

func zero(what string, n float64) error {
	if n != 0 {
		return fmt.Errorf("%g %s", n, what)
	}
	return nil
}

// quiet waits until the operator has nothing to do and has written nothing for a
// while. It returns the writes up to then.
func quiet(t *testing.T, op *operator) (writes []string) {
	t.Helper()
	since := time.Now()
	until(t, "the operator is quiet", func(context.Context) error {
		fresh := op.written()
		writes = append(writes, fresh...)
		if err := idle(t); err != nil || len(fresh) > 0 {
			since = time.Now()
			return errors.Join(err, fmt.Errorf("writes: %q", fresh))
		}
		if rest := 300*time.Millisecond - time.Since(since); rest > 0 {
			return fmt.Errorf("it has been quiet for too short a time")
		}
		return nil
	})
	return writes
}

// reconciled waits until the operator has reconciled n times more, and then has
// nothing to do.
func reconciled(t *testing.T, from float64, n int) {
	t.Helper()
	until(t, "endpoints are reconciled", func(context.Context) error {
		if got := reconciles(t) - from; got < float64(n) {
			return fmt.Errorf("%g of %d", got, n)
		}
		return idle(t)
	})
}

func reconciles(t *testing.T) float64 {
	t.Helper()
	return gauge(t, "controller_runtime_reconcile_total")
}

func has(t *testing.T, ep *v1alpha1.WebhookEndpoint, want ...string) {
	t.Helper()
	have := present(t.Context(), t, ep)
	for _, w := range want {
		if !strings.Contains(strings.Join(have, " "), w) {
			t.Errorf("there is no %s among %q", w, have)
		}
	}
}

func hasNot(t *testing.T, ep *v1alpha1.WebhookEndpoint, never ...string) {
	t.Helper()
	have := " " + strings.Join(present(t.Context(), t, ep), " ") + " "
	for _, w := range never {
		if strings.Contains(have, " "+w+" ") {
			t.Errorf("there is still %s among %q", w, have)
		}
	}
}
