package desired_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// template returns the pod template of what a shape makes.
func template(t *testing.T, s shape) map[string]any {
	t.Helper()
	for _, o := range build(t, s) {
		if k := *o.GetKind(); k == "Deployment" || k == "StatefulSet" {
			return tree(t, o)["spec"].(map[string]any)["template"].(map[string]any)
		}
	}
	t.Fatal("there is no workload")
	return nil
}

// responder asks with a token from a Secret.
func responder(secret string) v1alpha1.Responder {
	return v1alpha1.Responder{Hook: "check", OnFailure: v1alpha1.FailureAllow, Concurrency: 64, HTTP: &v1alpha1.HTTPSink{URL: "http://moderator/",
		Headers: []v1alpha1.SinkHeader{{Name: "Authorization", ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: secret, Key: "token"}}}}}}
}

func sink(ep *v1alpha1.WebhookEndpoint) *v1alpha1.Sink { return &ep.Spec.Sinks[0] }

// TestNoRestart holds that what receivers take live does not replace them.
func TestNoRestart(t *testing.T) {
	ep := func(edit func(*v1alpha1.WebhookEndpoint)) shape { return shape{ep: edit} }
	before := template(t, shape{})
	for name, s := range map[string]shape{
		"generation": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Generation = 4 }),
		"sink URL":   ep(func(ep *v1alpha1.WebhookEndpoint) { sink(ep).HTTP.URL = "https://elsewhere.example.com/" }),
		"new sink": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Sinks = append(ep.Spec.Sinks, httpSink("more", "http://more.shop.svc"))
		}),
		"sink delivery": ep(func(ep *v1alpha1.WebhookEndpoint) { sink(ep).Delivery.MaxAttempts = 3 }),
		"sink header": ep(func(ep *v1alpha1.WebhookEndpoint) {
			sink(ep).HTTP.Headers = []v1alpha1.SinkHeader{{Name: "X", Value: "y"}}
		}),
		"header of a Secret that is mounted": ep(func(ep *v1alpha1.WebhookEndpoint) {
			sink(ep).HTTP.CASecretRef = &v1alpha1.SecretKeyReference{Name: "signing", Key: "ca.crt"}
		}),
		"secret keys":       ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.SecretRef.Keys = []string{"next"} }),
		"regions":           ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"west"} }),
		"additional ranges": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources.AdditionalRanges = []v1alpha1.CIDR{"192.0.2.0/24"} }),
		"trusted proxies":   ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources.TrustedProxies = []v1alpha1.CIDR{"10.0.0.0/8"} }),
		"mode":              ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources.Mode = v1alpha1.SourceObserve }),
		"limits":            ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Limits.RequestsPerSecond = 7 }),
		"retention":         ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Queue.Retention = "1h" }),
		"dead letters":      ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Queue.DeadLetters.WhenFull = v1alpha1.WhenFullDropOldest }),
		"full sink":         ep(func(ep *v1alpha1.WebhookEndpoint) { sink(ep).WhenFull = v1alpha1.WhenFullDropOldest }),
		"order": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.Replicas, sink(ep).Delivery.Ordering = 1, v1alpha1.OrderingBySubject
		}),
		"suspend":   ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Suspend = v1alpha1.SuspendIntake }),
		"host":      ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.Host = "hooks.example.com" }),
		"path":      ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.Path = "/shop" }),
		"exposure":  ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.Type = v1alpha1.ExposureLoadBalancer }),
		"no policy": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.NetworkPolicy.Enabled = ptr.To(false) }),
		"egress":    ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.NetworkPolicy.Egress = v1alpha1.EgressSinks }),
		"autoscaling": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.Autoscaling = &v1alpha1.Autoscaling{MaxReplicas: 9}
		}),
		"identity elsewhere": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.ServiceAccountAnnotations = map[string]v1alpha1.AnnotationValue{"a": "b"}
		}),
		"resources written otherwise": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("0.1"), "memory": resource.MustParse("131072Ki")}
		}),
		"drain with the same sum": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.Drain = &v1alpha1.Drain{Delay: "15s", Grace: "50s"}
		}),
		"responder": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Responders = []v1alpha1.Responder{responder("signing")} }),
		"PROXY protocol": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Sources.TrustedProxies, ep.Spec.Exposure.ProxyProtocol = []v1alpha1.CIDR{"10.0.0.0/8"}, v1alpha1.ProxyProtocolRequired
		}),
		"certificate of a proxy": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "a", Path: "/", TLS: &v1alpha1.ExposureTLS{SecretName: "cert"}}
		}),
		"replicas":                {in: func(in *desired.Inputs) { in.Replicas = ptr.To[int32](9) }},
		"profile":                 {in: func(in *desired.Inputs) { in.Profile = profile() }},
		"revision of the profile": {in: func(in *desired.Inputs) { in.Config.Provider.Revision = "sha256:0" }},
		"families":                {in: func(in *desired.Inputs) { in.ServiceFamilies = []string{"IPv6"} }},
		"operator":                {in: func(in *desired.Inputs) { in.Operator.Namespace = "elsewhere" }},
		"kinds":                   {in: func(in *desired.Inputs) { in.PodMonitors, in.Gateways = true, true }},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(before, template(t, s)); diff != "" {
				t.Errorf("the pod template changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestRestart holds that what a receiver reads only when it starts, or what the
// kubelet gives it, replaces it.
func TestRestart(t *testing.T) {
	ep := func(edit func(*v1alpha1.WebhookEndpoint)) shape { return shape{ep: edit} }
	before := template(t, shape{})
	for name, s := range map[string]shape{
		"image":      {in: func(in *desired.Inputs) { in.Image += ".1" }},
		"new Secret": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.SecretRef.Name = "other" }),
		"Secret of a sink": ep(func(ep *v1alpha1.WebhookEndpoint) {
			sink(ep).HTTP.CASecretRef = &v1alpha1.SecretKeyReference{Name: "ca", Key: "ca.crt"}
		}),
		"Secret of a responder": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Responders = []v1alpha1.Responder{responder("other")} }),
		"TLS":                   ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure.TLS = &v1alpha1.ExposureTLS{SecretName: "cert"} }),
		"dead letters": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Queue.DeadLetters.Capacity = ptr.To(resource.MustParse("1Gi"))
		}),
		"quarantine": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Queue.Quarantine = &v1alpha1.Quarantine{MaxRequests: 1, Capacity: ptr.To(resource.MustParse("1Mi")), MaxAge: "1h"}
		}),
		"capacity":   ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Queue.Capacity = ptr.To(resource.MustParse("2Gi")) }),
		"queue type": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Queue.Type = v1alpha1.QueuePersistent }),
		"resources": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.Resources.Limits["memory"] = resource.MustParse("1Gi")
		}),
		"nodes": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver.NodeSelector = map[string]string{"pool": "edge"} }),
		"tolerations": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}),
		"affinity": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
		}),
		"spread": ep(func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Receiver.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "rack", WhenUnsatisfiable: corev1.DoNotSchedule}}
		}),
		"drain": ep(func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver.Drain.Grace = "10m" }), // the kubelet must wait as long
	} {
		t.Run(name, func(t *testing.T) {
			if cmp.Equal(before, template(t, s)) {
				t.Error("the pod template is the same")
			}
		})
	}
}

// TestSecretVolumes holds that another Secret leaves the names of the volumes of
// the rest as they are, and that long and dotted names make valid ones.
func TestSecretVolumes(t *testing.T) {
	mounts := func(names ...string) map[string]string {
		all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) {
			for _, n := range names {
				sink(ep).HTTP.Headers = append(sink(ep).HTTP.Headers, v1alpha1.SinkHeader{Name: "X-" + n,
					ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: n, Key: "token"}}})
			}
		}})
		pod := typed[corev1.PodTemplateSpec](t, object(t, all, "Deployment")["spec"].(map[string]any)["template"]).Spec
		out := map[string]string{}
		for _, v := range pod.Volumes {
			if v.Secret != nil {
				out[v.Secret.SecretName] = v.Name
				if !*v.Secret.Optional || *v.Secret.DefaultMode != 0o440 || len(v.Name) > 63 {
					t.Errorf("volume %+v of Secret %q", v, v.Secret.SecretName)
				}
			}
		}
		return out
	}
	few, more := mounts("m"), mounts("m", "a", "z.dotted", "z-"+string(make250()))
	if len(few) != 2 || len(more) != 5 {
		t.Fatalf("got %v and %v, want one for each Secret", few, more)
	}
	for name, volume := range few {
		if more[name] != volume {
			t.Errorf("the volume of %q is %q and becomes %q", name, volume, more[name])
		}
	}
}

func make250() []byte {
	b := make([]byte, 250)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// TestSizes holds how sizes are computed, at the odd ends too.
func TestSizes(t *testing.T) {
	for name, tt := range map[string]struct {
		capacity, memory string
		volume, heap     string
	}{
		"binary":          {"1Gi", "512Mi", "3584Mi", "456340275"}, // and 256Mi of dead letters, and 256Mi
		"decimal":         {"1G", "1G", "3536870912", "850000000"},
		"odd":             {"1048577", "101", "540016643", "85"},
		"beyond counting": {"7Ei", "8E", "9223372036854775807", "6800000000000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) {
				ep.Spec.Queue.Capacity = ptr.To(resource.MustParse(tt.capacity))
				ep.Spec.Receiver.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse(tt.memory)}
			}})
			pod := typed[corev1.PodTemplateSpec](t, object(t, all, "Deployment")["spec"].(map[string]any)["template"]).Spec
			got := ""
			for _, v := range pod.Volumes {
				if v.EmptyDir != nil {
					got = v.EmptyDir.SizeLimit.String()
				}
			}
			if env := pod.Containers[0].Env; got != tt.volume || len(env) != 3 || env[2].Value != tt.heap {
				t.Errorf("got a volume of %s and environment %v, want %s and %s", got, env, tt.volume, tt.heap)
			}
		})
	}
}

// TestVolumes holds how large volumes are, what of them receivers may use, and
// that a volume which is there decides on itself.
func TestVolumes(t *testing.T) {
	small := func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Queue.Capacity, ep.Spec.Queue.DeadLetters.Capacity = ptr.To(resource.MustParse("1Mi")), ptr.To(resource.MustParse("2Mi"))
	}
	kept := func(ep *v1alpha1.WebhookEndpoint) {
		small(ep)
		ep.Spec.Queue.Quarantine = &v1alpha1.Quarantine{MaxRequests: 1, Capacity: ptr.To(resource.MustParse("16Mi")), MaxAge: "1h"}
	}
	persistent := func(ep *v1alpha1.WebhookEndpoint) {
		kept(ep)
		ep.Spec.Queue.Type = v1alpha1.QueuePersistent
	}
	made := func(bytes int64) func(*desired.Inputs) {
		return func(in *desired.Inputs) { in.VolumeBytes = bytes }
	}
	for name, tt := range map[string]struct {
		shape
		volume, use string
	}{
		"small":                      {shape{ep: small}, "261Mi", "240123904"},
		"with quarantine":            {shape{ep: kept}, "277Mi", "256901120"},
		"Persistent":                 {shape{ep: persistent}, "277Mi", "256901120"},
		"Persistent, made otherwise": {shape{ep: persistent, in: made(300 << 20)}, "300Mi", "281018368"},
		"Persistent, made tiny":      {shape{ep: persistent, in: made(3 << 20)}, "3Mi", "1"},
		"Ephemeral, as it says":      {shape{ep: small, in: made(300 << 20)}, "261Mi", "240123904"},
	} {
		t.Run(name, func(t *testing.T) {
			volume := ""
			if set := object(t, build(t, tt.shape), "StatefulSet"); set != nil {
				claims := typed[appsv1.StatefulSet](t, set).Spec.VolumeClaimTemplates
				volume = claims[0].Spec.Resources.Requests.Storage().String()
			}
			pod := typed[corev1.PodTemplateSpec](t, template(t, tt.shape)).Spec
			for _, v := range pod.Volumes {
				if v.EmptyDir != nil {
					volume += v.EmptyDir.SizeLimit.String()
				}
			}
			if want := "--data-max-bytes=" + tt.use; volume != tt.volume || !slices.Contains(pod.Containers[0].Args, want) {
				t.Errorf("got a volume of %s and arguments %q, want %s and %s", volume, pod.Containers[0].Args, tt.volume, want)
			}
		})
	}
}

// TestSisters holds how receivers find each other to hand over what is left: by a
// name that lists only those that are ready, at a port that is open to sisters
// alone. A Persistent queue hands nothing over, and is not waited for.
func TestSisters(t *testing.T) {
	for name, tt := range map[string]struct {
		queue v1alpha1.QueueType
		peers []string
		grace int64
	}{
		"Ephemeral":  {v1alpha1.QueueEphemeral, []string{"--peers=chat-receiver-headless.shop.svc:8082"}, 125},
		"Persistent": {v1alpha1.QueuePersistent, nil, 95},
	} {
		t.Run(name, func(t *testing.T) {
			s := shape{ep: func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Queue.Type = tt.queue }}
			pod := typed[corev1.PodTemplateSpec](t, template(t, s)).Spec
			c := pod.Containers[0]
			peers := slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool { return !strings.HasPrefix(a, "--peers") })
			if diff := cmp.Diff(tt.peers, peers, cmpopts.EquateEmpty()); diff != "" || *pod.TerminationGracePeriodSeconds != tt.grace {
				t.Errorf("got %v and %d s, want %v and %d s", peers, *pod.TerminationGracePeriodSeconds, tt.peers, tt.grace)
			}
			if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == desired.InternalPort }) {
				t.Errorf("the container's ports are %v", c.Ports)
			}
			for _, o := range build(t, s) {
				if *o.GetName() != "chat-receiver-headless" {
					continue
				}
				svc := typed[corev1.Service](t, tree(t, o))
				if svc.Spec.PublishNotReadyAddresses || svc.Spec.ClusterIP != corev1.ClusterIPNone ||
					!slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == desired.InternalPort }) {
					t.Errorf("the headless Service is %+v", svc.Spec)
				}
			}
		})
	}
}

// TestNoLimit holds that without a memory limit there is none for the heap, and
// that no resources at all are no null.
func TestNoLimit(t *testing.T) {
	for name, r := range map[string]*v1alpha1.Resources{
		"nothing":  nil,
		"requests": {Requests: corev1.ResourceList{"cpu": resource.MustParse("100m")}},
	} {
		t.Run(name, func(t *testing.T) {
			all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Receiver.Resources = r }})
			for _, o := range all {
				checkCanonical(t, o)
			}
			pod := typed[corev1.PodTemplateSpec](t, object(t, all, "Deployment")["spec"].(map[string]any)["template"]).Spec
			if c := pod.Containers[0]; len(c.Env) != 2 || // only addresses
				len(c.Resources.Limits) != 0 {
				t.Errorf("got environment %v and limits %v", c.Env, c.Resources.Limits)
			}
		})
	}
}

// TestFirstReplicas holds how many receivers a new endpoint begins with.
func TestFirstReplicas(t *testing.T) {
	for name, tt := range map[string]struct {
		receiver *v1alpha1.Receiver
		want     int32
	}{
		"nothing said":      {nil, desired.InitialReplicas},
		"empty":             {&v1alpha1.Receiver{}, desired.InitialReplicas},
		"replicas":          {&v1alpha1.Receiver{Replicas: 5}, 5},
		"autoscaler":        {&v1alpha1.Receiver{Autoscaling: &v1alpha1.Autoscaling{MinReplicas: 3, MaxReplicas: 9}}, 3},
		"autoscaler, unset": {&v1alpha1.Receiver{Autoscaling: &v1alpha1.Autoscaling{MaxReplicas: 9}}, 1}, // the CRD sets 2
	} {
		if got := desired.FirstReplicas(&v1alpha1.WebhookEndpoint{Spec: v1alpha1.WebhookEndpointSpec{Receiver: tt.receiver}}); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

// TestStreamIsReadBack holds that every text that an endpoint may hold comes back
// from what is printed, also where YAML would take it for something else.
func TestStreamIsReadBack(t *testing.T) {
	const odd = "a\u0085b\u2028c\ufeffd: 'x'\n--- e"
	all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Receiver.ServiceAccountAnnotations = map[string]v1alpha1.AnnotationValue{"a.example/b": odd}
	}})
	var account corev1.ServiceAccount
	if err := yaml.UnmarshalStrict([]byte(stream(t, all[:1])), &account); err != nil {
		t.Fatal(err)
	}
	if got := account.Annotations["a.example/b"]; got != odd {
		t.Errorf("got %q, want %q", got, odd)
	}
}
