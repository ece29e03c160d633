package desired_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/config/crd"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// annotated returns what a preset puts on an Ingress.
func annotated(t *testing.T, preset v1alpha1.IngressPreset, edits ...func(*v1alpha1.WebhookEndpoint)) map[string]string {
	t.Helper()
	all := build(t, shape{ep: func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure = &v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "hooks.example.com", Path: "/shop",
			Ingress: &v1alpha1.IngressExposure{Preset: preset}}
		for _, edit := range edits {
			edit(ep)
		}
	}})
	return typed[networkingv1.Ingress](t, object(t, all, "Ingress")).Annotations
}

func annotate(key, value string) func(*v1alpha1.WebhookEndpoint) {
	return func(ep *v1alpha1.WebhookEndpoint) {
		ep.Spec.Exposure.Ingress.Annotations = map[string]v1alpha1.AnnotationValue{key: v1alpha1.AnnotationValue(value)}
	}
}

func observing(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Sources.Mode = v1alpha1.SourceObserve }

// TestPresets has what each preset puts on an Ingress in a golden file, and holds
// that there is a preset for each that the schema takes, and no other.
func TestPresets(t *testing.T) {
	all, err := desired.Presets()
	if err != nil {
		t.Fatal(err)
	}
	var docs, names []string
	for _, p := range all {
		names = append(names, string(p.Name))
		for _, mode := range []struct {
			name  string
			edits []func(*v1alpha1.WebhookEndpoint)
		}{{"Enforce", nil}, {"Observe", []func(*v1alpha1.WebhookEndpoint){observing}}} {
			text, err := yaml.Marshal(annotated(t, p.Name, mode.edits...))
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, fmt.Sprintf("# %s, %s\n%s", p.Name, mode.name, text))
		}
	}
	golden(t, "presets", strings.Join(docs, "---\n"))

	d, err := crd.Definition("WebhookEndpoint")
	if err != nil {
		t.Fatal(err)
	}
	field := d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["exposure"].Properties["ingress"].Properties["preset"]
	var known []string
	for _, v := range field.Enum {
		known = append(known, strings.Trim(string(v.Raw), `"`))
	}
	slices.Sort(known)
	if !slices.Equal(known, names) {
		t.Errorf("there are presets %q, and the schema takes %q", names, known)
	}
}

// TestFence holds where a preset's second fence is left out, and that an
// annotation of the author's goes before the preset's.
func TestFence(t *testing.T) {
	const nginx, alb = "nginx.ingress.kubernetes.io/whitelist-source-range", "alb.ingress.kubernetes.io/inbound-cidrs"
	many := func(ep *v1alpha1.WebhookEndpoint) {
		for i := range 60 {
			ep.Spec.Sources.AdditionalRanges = append(ep.Spec.Sources.AdditionalRanges, v1alpha1.CIDR(fmt.Sprintf("192.0.2.%d/32", 128+i)))
		}
	}
	for name, tt := range map[string]struct {
		got   map[string]string
		key   string
		parts int // ranges between commas; 0: there is no such annotation
	}{
		"enforced":            {annotated(t, v1alpha1.PresetIngressNginx), nginx, 4},
		"observed":            {annotated(t, v1alpha1.PresetIngressNginx, observing), nginx, 0},
		"own":                 {annotated(t, v1alpha1.PresetIngressNginx, annotate(nginx, "192.0.2.1/32")), nginx, 1},
		"many":                {annotated(t, v1alpha1.PresetIngressNginx, many), nginx, 64},
		"load balancer":       {annotated(t, v1alpha1.PresetAWSALB), alb, 4},
		"more than it holds":  {annotated(t, v1alpha1.PresetAWSALB, many), alb, 0},
		"around others too":   {annotated(t, v1alpha1.PresetAWSALB, annotate("alb.ingress.kubernetes.io/group.name", "public")), alb, 0},
		"without a preset":    {annotated(t, ""), nginx, 0},
		"none of this preset": {annotated(t, v1alpha1.PresetTraefik), nginx, 0},
	} {
		value, ok := tt.got[tt.key]
		if parts := len(strings.Split(value, ",")); ok != (tt.parts > 0) || ok && parts != tt.parts {
			t.Errorf("%s: %s is %q, want %d ranges", name, tt.key, value, tt.parts)
		}
	}
}

// TestParsePreset holds that a preset with a slip is not used.
func TestParsePreset(t *testing.T) {
	const whole = "{name: a, controller: b, documentation: c, checked: d, tried: e, clientAddress: f, trustedProxies: g, annotations: {h: '{seconds}'}}"
	if _, err := desired.ParsePreset([]byte(whole)); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"unknown key":         strings.Replace(whole, "checked:", "cheked:", 1),
		"unknown key, deeper": strings.Replace(whole, "annotations:", "fence: {annotation: x, mots: 1}, annotations:", 1),
		"missing key":         strings.Replace(whole, "tried: e, ", "", 1),
		"fence of nothing":    strings.Replace(whole, "annotations:", "fence: {most: 1}, annotations:", 1),
		"unknown placeholder": strings.Replace(whole, "{seconds}", "{second}", 1),
		"key twice":           strings.Replace(whole, "name: a", "name: a, name: b", 1),
		"no preset":           "",
	} {
		if p, err := desired.ParsePreset([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

// TestUnrouted holds that an endpoint whose host and path another has is made
// without its route, and with all else.
func TestUnrouted(t *testing.T) {
	for _, name := range []string{"gateway", "ingress"} {
		s := shapes[name]
		routed := len(build(t, s))
		was := s.in
		s.in = func(in *desired.Inputs) {
			if was != nil {
				was(in)
			}
			in.Unrouted = true
		}
		all := build(t, s)
		if len(all) != routed-1 || object(t, all, "HTTPRoute") != nil || object(t, all, "Ingress") != nil {
			t.Errorf("%s: %d objects of %d", name, len(all), routed)
		}
	}
}

// TestOldGateway holds that a field which an older Gateway API lacks is left out.
func TestOldGateway(t *testing.T) {
	all := build(t, shape{ep: gateway, in: func(in *desired.Inputs) { in.Gateways = true }})
	rule := object(t, all, "HTTPRoute")["spec"].(map[string]any)["rules"].([]any)[0].(map[string]any)
	if _, ok := rule["timeouts"]; ok {
		t.Errorf("the rule is %v", rule)
	}
}

// TestCertificate holds when cert-manager is asked, and for which Secret.
func TestCertificate(t *testing.T) {
	tls := func(kind v1alpha1.ExposureType, tls *v1alpha1.ExposureTLS, host string) shape {
		return shape{ep: func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Exposure.Type, ep.Spec.Exposure.TLS, ep.Spec.Exposure.Host = kind, tls, host
		}, in: func(in *desired.Inputs) { in.Certificates = true }}
	}
	issuer := &v1alpha1.IssuerReference{Name: "public"}
	for name, tt := range map[string]struct {
		shape  shape
		secret string // empty: no Certificate
	}{
		"Ingress":          {tls(v1alpha1.ExposureIngress, &v1alpha1.ExposureTLS{IssuerRef: issuer}, "a.example"), "chat-receiver-tls"},
		"ClusterIP":        {tls(v1alpha1.ExposureClusterIP, &v1alpha1.ExposureTLS{IssuerRef: issuer, SecretName: "mine"}, "a.example"), "mine"},
		"without issuer":   {tls(v1alpha1.ExposureClusterIP, &v1alpha1.ExposureTLS{SecretName: "mine"}, "a.example"), ""},
		"without host":     {tls(v1alpha1.ExposureClusterIP, &v1alpha1.ExposureTLS{IssuerRef: issuer}, ""), ""},
		"without the kind": {shape{ep: tls(v1alpha1.ExposureClusterIP, &v1alpha1.ExposureTLS{IssuerRef: issuer}, "a.example").ep}, ""},
	} {
		o := object(t, build(t, tt.shape), "Certificate")
		if tt.secret == "" {
			if o != nil {
				t.Errorf("%s: there is %v", name, o)
			}
			continue
		}
		if spec, ok := o["spec"].(map[string]any); !ok || spec["secretName"] != tt.secret {
			t.Errorf("%s: the Certificate is %v, want Secret %q", name, o, tt.secret)
		}
	}
}
