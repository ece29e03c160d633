package desired_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// shape is an edit of the minimal endpoint, and of what else there is.
type shape struct {
	ep func(*v1alpha1.WebhookEndpoint)
	in func(*desired.Inputs)
}

// shapes are the endpoints whose objects are all in golden files.
var shapes = map[string]shape{
	"minimal": {},
	"persistent": {ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Queue.Type = v1alpha1.QueuePersistent
		ep.Spec.Queue.Capacity = ptr.To(resource.MustParse("1G"))
		ep.Spec.Queue.StorageClassName = "fast"
		ep.Spec.Queue.Reclaim = v1alpha1.ReclaimDelete
	}},
	"loadbalancer": {ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{
			Type: v1alpha1.ExposureLoadBalancer, Path: "/",
			LoadBalancer: &v1alpha1.LoadBalancerExposure{
				ClassName: "cloud.example.com/nlb", Port: 443,
				Annotations: map[string]v1alpha1.AnnotationValue{"cloud.example.com/tls": "hooks"},
			},
		}
	}, in: func(in *desired.Inputs) { in.ServiceFamilies = []string{"IPv4"} }},
	"gateway": {ep: gateway, in: func(in *desired.Inputs) { in.Gateways, in.RouteTimeouts = true, true }},
	"ingress": {ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{
			Type: v1alpha1.ExposureIngress, Host: "hooks.example.com", Path: "/shop",
			Ingress: &v1alpha1.IngressExposure{
				ClassName:   "public",
				Annotations: map[string]v1alpha1.AnnotationValue{"proxy.example.com/body-size": "1m"},
			},
			TLS: &v1alpha1.ExposureTLS{SecretName: "hooks-tls"},
		}
	}},
	"autoscaling": {ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Receiver.Autoscaling = &v1alpha1.Autoscaling{MinReplicas: 2, MaxReplicas: 8, TargetCPUPercent: 60}
	}, in: func(in *desired.Inputs) { in.Replicas = nil }},
	"loadbalancer-tls": {ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{
			Type: v1alpha1.ExposureLoadBalancer, Host: "hooks.example.com", Path: "/shop",
			TLS:           &v1alpha1.ExposureTLS{IssuerRef: &v1alpha1.IssuerReference{Name: "public", Kind: "ClusterIssuer", Group: "cert-manager.io"}},
			ProxyProtocol: v1alpha1.ProxyProtocolRequired,
		}
		ep.Spec.Sources.TrustedProxies = []v1alpha1.CIDR{"10.20.0.0/24"}
	}, in: func(in *desired.Inputs) { in.Certificates = true }},
	"clusterip-tls": {ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure.TLS = &v1alpha1.ExposureTLS{SecretName: "hooks-tls"}
	}},
	"responders": {ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Responders = []v1alpha1.Responder{{Hook: "check", OnFailure: v1alpha1.FailureDeny, Concurrency: 64, HTTP: &v1alpha1.HTTPSink{
			URL: "https://moderator.example.org/check", CASecretRef: &v1alpha1.SecretKeyReference{Name: "moderator-ca", Key: "ca.crt"},
			Headers: []v1alpha1.SinkHeader{{Name: "Authorization", ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "moderator", Key: "token"}}}}}}}
		ep.Spec.NetworkPolicy.Egress = v1alpha1.EgressSinks
	}},
	"podmonitor": {in: func(in *desired.Inputs) { in.PodMonitors = true }},
	"observe":    {ep: func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources.Mode = v1alpha1.SourceObserve }},
	"everything": {ep: everything, in: func(in *desired.Inputs) {
		in.Gateways, in.PodMonitors, in.Replicas, in.Profile = true, true, nil, profile()
	}},
}

func gateway(ep *v1alpha1.WebhookEndpoint) {
	ep.Spec.Exposure = &v1alpha1.Exposure{
		Type: v1alpha1.ExposureGateway, Host: "hooks.example.com", Path: "/shop",
		Gateway: &v1alpha1.GatewayExposure{ParentRefs: []v1alpha1.GatewayReference{
			{Name: "public", Namespace: "infra", SectionName: "https", Port: 443}, {Name: "own"},
		}},
	}
}

// everything sets every field that objects depend on, and writes values as
// people do and the API server does not.
func everything(ep *v1alpha1.WebhookEndpoint) {
	gateway(ep)
	ep.Spec.SecretRef.Keys = []string{"current"}
	ep.Spec.Regions = []string{"west"}
	ep.Spec.Sources.AdditionalRanges = []v1alpha1.CIDR{"203.0.113.7/24"}
	app := &ep.Spec.Sinks[0]
	app.HTTP.CASecretRef = &v1alpha1.SecretKeyReference{Name: "shop.ca", Key: "ca.crt"}
	app.HTTP.Headers = []v1alpha1.SinkHeader{
		{Name: "X-Team", Value: "orders"},
		{Name: "Authorization", ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "app", Key: "token"}}},
		{Name: "X-Also", ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "signing", Key: "current"}}},
	}
	ep.Spec.Sinks = append(ep.Spec.Sinks, v1alpha1.Sink{Name: "print", Stdout: &v1alpha1.StdoutSink{}, Delivery: app.Delivery.DeepCopy()})
	ep.Spec.Queue.Capacity = ptr.To(resource.MustParse("1536Mi"))
	ep.Spec.NetworkPolicy = &v1alpha1.NetworkPolicy{
		Egress:            v1alpha1.EgressSinks,
		IngressFrom:       somePeers(),
		MetricsFrom:       []v1alpha1.NetworkPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "metrics"}}}},
		HealthCheckRanges: []v1alpha1.CIDR{"192.0.2.64/26"},
	}
	ep.Spec.Receiver = &v1alpha1.Receiver{
		Autoscaling: &v1alpha1.Autoscaling{MaxReplicas: 4},
		Resources: &v1alpha1.Resources{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("0.25"), "memory": resource.MustParse("1024Mi")},
			Limits:   corev1.ResourceList{"cpu": resource.MustParse("2000m"), "memory": resource.MustParse("2048Mi")},
		},
		NodeSelector: map[string]string{"pool": "edge", "arch": "any"},
		Tolerations: []corev1.Toleration{
			{Key: "edge", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](60)},
		},
		Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "disk", Operator: corev1.NodeSelectorOpIn, Values: []string{"ssd"}}},
				MatchFields:      []corev1.NodeSelectorRequirement{},
			}}},
		}},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{
			{MaxSkew: 2, TopologyKey: "rack", WhenUnsatisfiable: corev1.DoNotSchedule},
			{MaxSkew: 1, TopologyKey: "room", WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"tier": "edge"}}},
		},
		ServiceAccountAnnotations: map[string]v1alpha1.AnnotationValue{"cloud.example.com/role": "hooks"},
		Drain:                     &v1alpha1.Drain{Delay: "1500ms", Grace: "2m"},
	}
}

func build(t testing.TB, s shape) []desired.Object {
	t.Helper()
	ep := endpoint()
	if s.ep != nil {
		s.ep(ep)
	}
	in := inputs(t, ep)
	if s.in != nil {
		s.in(&in)
	}
	return objects(t, ep, in)
}

func TestObjects(t *testing.T) {
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			all := build(t, s)
			for _, o := range all {
				checkCanonical(t, o)
			}
			golden(t, name, stream(t, all))
		})
	}
}

// TestPossible holds that whatever is ever made can be found again and removed,
// and that everything has its endpoint's labels, namespace and owner.
func TestPossible(t *testing.T) {
	possible := desired.Possible("chat")
	seen := map[desired.Ref]bool{}
	for _, s := range shapes {
		for _, o := range build(t, s) {
			seen[desired.RefOf(o)] = true
			if !slices.Contains(possible, desired.RefOf(o)) {
				t.Errorf("%v is made and is not possible", desired.RefOf(o))
			}
			meta, _ := tree(t, o)["metadata"].(map[string]any)
			if diff := cmp.Diff(tree(t, desired.Labels("chat")), meta["labels"]); diff != "" {
				t.Errorf("labels of %v (-want +got):\n%s", desired.RefOf(o), diff)
			}
			if owner, ok := meta["ownerReferences"].([]any); !ok || len(owner) != 1 || *o.GetNamespace() != "shop" {
				t.Errorf("%v has owners %v and namespace %q", desired.RefOf(o), meta["ownerReferences"], *o.GetNamespace())
			}
		}
	}
	for _, r := range possible {
		if !seen[r] {
			t.Errorf("%v is possible and no shape makes it", r)
		}
	}
}

// TestOwner holds that objects of an endpoint that is in no cluster have none.
func TestOwner(t *testing.T) {
	for _, o := range build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) { ep.UID = "" }, in: func(in *desired.Inputs) { in.PodMonitors = true }}) {
		if meta := tree(t, o)["metadata"].(map[string]any); meta["ownerReferences"] != nil {
			t.Errorf("%v has owners %v", desired.RefOf(o), meta["ownerReferences"])
		}
	}
}

// TestSameAgain holds that the same inputs give the same objects, and stay as
// they are: they come from caches.
func TestSameAgain(t *testing.T) {
	ep := endpoint()
	everything(ep)
	in := inputs(t, ep)
	in.Gateways, in.PodMonitors, in.Profile = true, true, profile()
	epBefore := ep.DeepCopy()
	first := stream(t, objects(t, ep, in))
	for range 20 {
		if diff := cmp.Diff(first, stream(t, objects(t, ep, in))); diff != "" {
			t.Fatalf("objects differ (-first +later):\n%s", diff)
		}
	}
	if diff := cmp.Diff(epBefore, ep) + cmp.Diff(profile(), in.Profile); diff != "" {
		t.Errorf("the inputs were changed:\n%s", diff)
	}
	if diff := cmp.Diff(in.Config.Sources.Ranges, inputs(t, ep).Config.Sources.Ranges, cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("the ranges were changed:\n%s", diff)
	}
}

// TestRefused holds that nothing is built that would open what must be closed.
func TestRefused(t *testing.T) {
	for name, edit := range map[string]func(*desired.Inputs){
		"no configuration": func(in *desired.Inputs) { in.Config = nil },
		"enforcing no range": func(in *desired.Inputs) {
			in.Config.Sources.Ranges = nil
		},
		"unknown mode without a range": func(in *desired.Inputs) {
			in.Config.Sources = config.Sources{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ep := endpoint()
			in := inputs(t, ep)
			edit(&in)
			if all, err := desired.Objects(ep, in); err == nil {
				t.Errorf("got %d objects, want an error", len(all))
			}
		})
	}
}

// TestBare holds that an endpoint without the CRD's defaults gets them.
func TestBare(t *testing.T) {
	ep := endpoint()
	in := inputs(t, ep)
	ep.Spec = v1alpha1.WebhookEndpointSpec{Receiver: &v1alpha1.Receiver{Autoscaling: &v1alpha1.Autoscaling{MaxReplicas: 3}}}
	all := objects(t, ep, in)
	for _, o := range all {
		checkCanonical(t, o)
	}
	hpa := object(t, all, "HorizontalPodAutoscaler")["spec"].(map[string]any)
	svc := object(t, all, "Service")["spec"].(map[string]any)
	if hpa["minReplicas"] != 2.0 || svc["type"] != "ClusterIP" || object(t, all, "NetworkPolicy") == nil || object(t, all, "Deployment") == nil {
		t.Errorf("got an autoscaler of %v, a Service of %v, and %d objects", hpa, svc, len(all))
	}
}

// TestConfigMap holds that what is written can be read back, odd characters of a
// provider's replies included.
func TestConfigMap(t *testing.T) {
	const odd = "\x00\x1b\x7f\u0085\u009f\u2028\ufeff\uffff\U0001f426 \t\r\n: #"
	p := profile()
	p.Spec.Replies.Accepted.Body = odd
	ep := endpoint()
	in := inputs(t, ep)
	in.Config.Replies.Accepted.Body, in.Profile = odd, p
	data := typed[corev1.ConfigMap](t, object(t, objects(t, ep, in), "ConfigMap")).Data
	var profile v1alpha1.WebhookProvider
	if err := yaml.UnmarshalStrict([]byte(data[desired.ProfileKey]), &profile); err != nil {
		t.Fatal(err)
	}
	var read config.Config
	if err := yaml.UnmarshalStrict([]byte(data[desired.ConfigKey]), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in.Config, &read, cmp.Comparer(samePrefix)) + cmp.Diff(p.Spec, profile.Spec); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	if profile.Name != p.Name || profile.UID != "" || profile.Kind != "WebhookProvider" {
		t.Errorf("the profile is kept with the metadata %+v", profile.ObjectMeta)
	}
}

// TestPodMonitor holds that a client can put the API server's answer into it.
func TestPodMonitor(t *testing.T) {
	all := build(t, shape{in: func(in *desired.Inputs) { in.PodMonitors = true }})
	o := all[len(all)-1]
	if err := json.Unmarshal([]byte(`{"kind":"PodMonitor","spec":{"interval":"30s"}}`), o); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"kind": "PodMonitor", "spec": map[string]any{"interval": "30s"}}
	if diff := cmp.Diff(want, tree(t, o)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestURLs(t *testing.T) {
	hook := func(name, url string) v1alpha1.HookStatus { return v1alpha1.HookStatus{Name: name, URL: url} }
	for name, tt := range map[string]struct {
		url, path, base string
		want            string
		hooks           []v1alpha1.HookStatus
	}{
		"public host": {"https://hooks.example.com/shop", "/shop", "http://ignored", "https://hooks.example.com/shop", []v1alpha1.HookStatus{
			hook("events", "https://hooks.example.com/shop"),
			hook("orders", "https://hooks.example.com/shop/orders/paid"), hook("orders", "https://hooks.example.com/shop/orders/sent"),
			hook("check", "https://hooks.example.com/shop/check"),
		}},
		"root": {"", "/", "http://chat-receiver.shop.svc", "http://chat-receiver.shop.svc/", []v1alpha1.HookStatus{
			hook("events", "http://chat-receiver.shop.svc/"),
			hook("orders", "http://chat-receiver.shop.svc/orders/paid"), hook("orders", "http://chat-receiver.shop.svc/orders/sent"),
			hook("check", "http://chat-receiver.shop.svc/check"),
		}},
		"nothing known": {"", "/", "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			url, hooks := desired.URLs(&config.Config{URL: tt.url, Path: tt.path, Hooks: profile().Spec.Hooks}, tt.base)
			if diff := cmp.Diff(tt.want, url) + cmp.Diff(tt.hooks, hooks); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
