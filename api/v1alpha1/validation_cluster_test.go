package v1alpha1_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/fairlead-dev/fairlead/config/crd"
)

// The rules of what only a cluster makes use of: exposure, network policy, the
// receivers' workload and its volumes.

func TestExposureRules(t *testing.T) {
	const exposure, lb, gateway = "spec.exposure", "spec.exposure.loadBalancer", "{type: Gateway, host: a, gateway: "
	const ref = "spec.exposure.gateway.parentRefs"
	host := []string{"spec.exposure.host=hooks.example.com"}
	viaGateway := []string{"spec.exposure={type: Gateway, host: a, gateway: {parentRefs: [{name: public}]}}"}
	viaIngress := []string{"spec.exposure={type: Ingress, host: a}"}
	viaBalancer := []string{"spec.exposure.type=LoadBalancer"}
	annotations := many(32, "a#: b")
	testRules(t, endpointKind, minimalEndpoint, []rule{
		{path: exposure + ".type", good: []string{"ClusterIP", "LoadBalancer", ""}, bad: []string{"NodePort"}, want: "Unsupported value"},
		{path: exposure + ".type", good: []string{"Ingress", "LoadBalancer"}, bad: []string{"Gateway"}, with: host,
			want: "gateway goes with type Gateway: set gateway.parentRefs for that type, and take gateway out for others"},
		{path: exposure + ".gateway", good: []string{"{parentRefs: [{name: public}]}"}, bad: []string{""}, with: []string{"spec.exposure={type: Gateway, host: a}"}, want: "gateway goes with type Gateway"},
		{path: exposure + ".gateway", bad: []string{"{parentRefs: [{name: public}]}"}, with: viaIngress, want: "gateway goes with type Gateway"},
		{path: exposure + ".ingress", good: []string{"{}", "{className: nginx}"}, with: viaIngress},
		{path: exposure + ".ingress", bad: []string{"{}"}, with: viaBalancer, want: "ingress is for type Ingress; take it out, or set type to Ingress"},
		{path: lb, good: []string{"{}", "{port: 443}"}, with: viaBalancer},
		{path: lb, bad: []string{"{}"}, with: viaIngress, want: "loadBalancer is for type LoadBalancer; take it out, or set type to LoadBalancer"},
		{path: exposure + ".tls", good: []string{"{secretName: cert}"}, with: viaIngress},
		{path: exposure + ".tls", bad: []string{"{secretName: cert}"}, with: viaGateway, want: "with a Gateway the listener has the certificate; take tls out"},
		{path: exposure + ".tls", bad: []string{"{}"}, with: viaIngress, want: "at least one of the fields in [secretName issuerRef] must be set"},
		{path: exposure + ".tls", bad: []string{"{secretName: A}"}, with: viaIngress, want: "should match"},
		{path: exposure + ".tls", good: []string{"{issuerRef: {name: a.b}}", "{secretName: cert, issuerRef: {name: a, kind: ClusterIssuer, group: cert-manager.io}}"}, with: viaIngress},
		{path: exposure + ".tls", good: []string{"{secretName: cert}"}, bad: []string{"{issuerRef: {name: a}}"}, with: viaBalancer, want: "set host to the public host name: tls.issuerRef asks for a certificate for it"},
		{path: exposure + ".tls", good: []string{"{issuerRef: {name: a}}"}, with: host},
		{path: exposure + ".tls", bad: []string{"{issuerRef: {kind: Issuer}}"}, with: host, want: "Required"},
		{path: exposure + ".tls", bad: []string{"{issuerRef: {name: A}}", "{issuerRef: {name: a, kind: issuer}}", "{issuerRef: {name: a, group: A}}"}, with: host, want: "should match"},
		{path: exposure + ".tls", bad: []string{"{issuerRef: {name: a, kind: " + strings.ToUpper(long(64)) + "}}"}, with: host, want: "may not be more than 63"},
		{path: exposure + ".tls", bad: []string{"{issuerRef: {name: " + long(254) + "}}", "{issuerRef: {name: a, group: " + long(254) + "}}"}, with: host, want: "may not be more than 253"},
		{path: exposure + ".proxyProtocol", good: []string{"None", "Required"}, bad: []string{"Optional"}, want: "Unsupported value"},
		{path: exposure + ".proxyProtocol", good: []string{"None", "Required"}, with: viaBalancer},
		{path: exposure + ".proxyProtocol", good: []string{"None"}, bad: []string{"Required"}, with: viaIngress, want: "proxyProtocol is for types ClusterIP and LoadBalancer: a Gateway or an Ingress controller speaks HTTP to the receiver; take it out"},
		{path: exposure + ".proxyProtocol", good: []string{"None"}, bad: []string{"Required"}, with: viaGateway, want: "proxyProtocol is for types ClusterIP and LoadBalancer"},
		{path: exposure + ".ingress.preset", good: []string{"ingress-nginx", "traefik", "haproxy", "aws-alb"}, bad: []string{"nginx", "''"}, with: viaIngress, want: "Unsupported value"},
		{path: exposure, good: []string{"{type: Ingress, host: a}", gateway + "{parentRefs: [{name: b}]}}", "{type: LoadBalancer}"},
			bad: []string{"{type: Ingress}", "{type: Gateway, gateway: {parentRefs: [{name: b}]}}"}, want: "set host to the public host name: without it the route would take the requests of every host"},
		{path: ref, with: viaGateway, good: []string{"[{name: a.b, namespace: infra, sectionName: https, port: 443}]", many(8, "{name: g#}")}, bad: []string{many(9, "{name: g#}")}, want: "must have at most 8 items"},
		{path: ref, with: viaGateway, bad: []string{"[]"}, want: "should have at least 1 items"},
		{path: ref, with: viaGateway, bad: []string{"[{namespace: infra}]"}, want: "Required"},
		{path: ref, with: viaGateway, bad: []string{"[{name: A}]", "[{name: a, namespace: a.b}]", "[{name: a, sectionName: A}]"}, want: "should match"},
		{path: ref, with: viaGateway, good: []string{"[{name: a, port: 65535}]"}, bad: []string{"[{name: a, port: 0}]", "[{name: a, port: 65536}]"}, want: "should be"},
		{path: exposure + ".ingress.className", with: viaIngress, good: []string{"a.b"}, bad: []string{"A", "a/b"}, want: "should match"},
		{path: exposure + ".ingress.annotations", with: viaIngress, good: []string{"{a.example/b: ''}"}, bad: []string{"{}"}, want: "should have at least 1 properties"},
		{path: exposure + ".ingress.annotations", with: viaIngress, bad: []string{"{a: " + long(4097) + "}"}, want: "may not be more than 4096"},
		{path: lb + ".className", with: viaBalancer, good: []string{"service.k8s.aws/nlb"}, bad: []string{"-a", "a b"}, want: "should match"},
		{path: lb + ".port", with: viaBalancer, good: []string{"1", "65535"}, bad: []string{"0", "65536"}, want: "should be"},
		{path: lb + ".annotations", with: viaBalancer, good: []string{"{" + annotations[1:len(annotations)-1] + "}"}, bad: []string{"{" + annotations[1:len(annotations)-1] + ", a: b}"}, want: "must have at most 32 items"},
	})
}

func TestNetworkPolicyRules(t *testing.T) {
	const peers, either = "spec.networkPolicy.ingressFrom", "set either ipBlock, or namespaceSelector and podSelector"
	testRules(t, endpointKind, minimalEndpoint, []rule{
		{path: "spec.networkPolicy.enabled", good: []string{"true", "false"}, bad: []string{"1"}, want: "must be of type boolean"},
		{path: "spec.networkPolicy.egress", good: []string{"Open", "Sinks"}, bad: []string{"Closed"}, want: "Unsupported value"},
		{path: peers, good: []string{"[{namespaceSelector: {}}]", "[{podSelector: {matchLabels: {app: a}}}]", "[{namespaceSelector: {}, podSelector: {}}]", "[{ipBlock: {cidr: 10.0.0.0/8}}]"},
			bad: []string{"[{}]", "[{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]", "[{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}]"}, want: either},
		{path: peers, good: []string{many(16, "{ipBlock: {cidr: 10.0.#.0/24}}")}, bad: []string{many(17, "{ipBlock: {cidr: 10.0.#.0/24}}")}, want: "must have at most 16 items"},
		{path: peers, bad: []string{"[{ipBlock: {}}]"}, want: "Required"},
		{path: peers, bad: []string{"[{ipBlock: {cidr: 0.0.0.0/0}}]"}, want: "a range of /0 lists every address"},
		{path: peers, bad: []string{"[{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0]}}]"}, want: "must be a CIDR"},
		{path: peers, good: []string{"[{ipBlock: {cidr: 10.0.0.0/8, except: " + many(32, "10.1.#.0/24") + "}}]"},
			bad: []string{"[{ipBlock: {cidr: 10.0.0.0/8, except: " + many(33, "10.1.#.0/24") + "}}]"}, want: "must have at most 32 items"},
		{path: "spec.networkPolicy.metricsFrom", good: []string{many(16, "{namespaceSelector: {}}")}, bad: []string{many(17, "{namespaceSelector: {}}")}, want: "must have at most 16 items"},
		{path: "spec.networkPolicy.metricsFrom", bad: []string{"[{}]"}, want: either},
		{path: "spec.networkPolicy.healthCheckRanges", good: []string{many(32, "10.0.#.0/24")}, bad: []string{many(33, "10.0.#.0/24")}, want: "must have at most 32 items"},
		{path: "spec.networkPolicy.healthCheckRanges", bad: []string{"[10.0.0.1]"}, want: "must be a CIDR"},
		{path: "spec.networkPolicy.healthCheckRanges", bad: []string{"[10.0.0.0/8, 10.0.0.0/8]"}, want: "Duplicate value"},
	})
}

func TestReceiverRules(t *testing.T) {
	const r, scaled = "spec.receiver", "spec.receiver.autoscaling"
	most := []string{scaled + ".maxReplicas=100"}
	labels := many(33, "a#: b")
	testRules(t, endpointKind, minimalEndpoint, []rule{
		{path: r + ".replicas", good: []string{"1", "100"}, bad: []string{"0", "101"}, want: "should be"},
		{path: r + ".replicas", bad: []string{"2"}, with: most, want: "replicas and autoscaling exclude each other; take replicas out to let the autoscaler decide"},
		{path: r + ".resources", good: []string{"{requests: {cpu: 1}}"}, bad: []string{"{}", "{requests: {memory: 1Gi}}", "{limits: {cpu: 1}}"}, with: most,
			want: "autoscaling goes by CPU in relation to what is requested; set resources.requests.cpu"},
		{path: r + ".resources", good: []string{"{requests: {memory: 1Gi, cpu: 250m}, limits: {cpu: 2}}", "{limits: {cpu: 1}}", "{}"}, bad: []string{"{limits: {cpu: lots}}"}, want: "should match"},
		{path: r + ".resources", bad: []string{"{requests: {}}"}, want: "should have at least 1 properties"},
		{path: scaled, bad: []string{"{}"}, want: "Required"},
		{path: scaled, good: []string{"{maxReplicas: 2}", "{minReplicas: 100, maxReplicas: 100}"}, bad: []string{"{maxReplicas: 1}", "{minReplicas: 4, maxReplicas: 3}"},
			want: "minReplicas must not be more than maxReplicas; raise maxReplicas or lower minReplicas"},
		{path: scaled, bad: []string{"{minReplicas: 0, maxReplicas: 3}", "{maxReplicas: 101}"}, want: "should be"},
		{path: scaled + ".targetCPUPercent", good: []string{"1", "1000"}, bad: []string{"0", "1001"}, with: most, want: "should be"},
		{path: scaled, good: []string{"{maxReplicas: 3}"}, with: []string{"spec.queue.type=Ephemeral"}},
		{path: scaled, bad: []string{"{maxReplicas: 3}"}, with: []string{"spec.queue.type=Persistent"},
			want: "a Persistent queue has a volume for each replica, so it cannot be scaled automatically; take out spec.receiver.autoscaling and set spec.receiver.replicas"},
		{path: r + ".nodeSelector", good: []string{"{disk: ssd}"}, bad: []string{"{" + labels[1:len(labels)-1] + "}"}, want: "must have at most 32 items"},
		{path: r + ".tolerations", good: []string{many(32, "{key: k#, operator: Exists}")}, bad: []string{many(33, "{key: k#}")}, want: "must have at most 32 items"},
		{path: r + ".affinity", good: []string{"{podAntiAffinity: {}}"}, bad: []string{"{podFriendship: {}}"}, want: "unknown field"},
		{path: r + ".topologySpreadConstraints", good: []string{many(8, "{maxSkew: 1, topologyKey: k#, whenUnsatisfiable: DoNotSchedule}")}, bad: []string{many(9, "{maxSkew: 1, topologyKey: k#, whenUnsatisfiable: DoNotSchedule}")},
			want: "must have at most 8 items"},
		{path: r + ".topologySpreadConstraints", bad: []string{"[{maxSkew: 1}]"}, want: "Required"},
		{path: r + ".serviceAccountAnnotations", good: []string{"{a.example/role: b}"}, bad: []string{"{}"}, want: "should have at least 1 properties"},
		{path: r + ".serviceAccountAnnotations", bad: []string{"{a: " + long(4097) + "}"}, want: "may not be more than 4096"},
		// An endpoint cannot choose what would let it be more than a receiver.
		{path: r + ".image", bad: []string{"evil"}, want: "unknown field"},
		{path: r + ".serviceAccountName", bad: []string{"admin"}, want: "unknown field"},
		{path: r + ".volumes", bad: []string{"[]"}, want: "unknown field"},
		{path: r + ".env", bad: []string{"[]"}, want: "unknown field"},
		{path: "spec.queue.storageClassName", good: []string{"fast", ""}, with: []string{"spec.queue.type=Persistent"}, bad: []string{"Fast", "a/b"}, want: "should match"},
		{path: "spec.queue.storageClassName", bad: []string{"fast"}, want: "storageClassName is for a Persistent queue; take it out, or set type to Persistent"},
	})
}

// TestPersistentUpdates holds that the volumes of a Persistent queue keep what
// they were made with, while an Ephemeral one may grow and shrink.
func TestPersistentUpdates(t *testing.T) {
	const refused = "capacity and storageClassName of a Persistent queue cannot change"
	for name, tt := range map[string]struct {
		old, changed string
		want         string // empty: the change is taken
	}{
		"capacity":            {"{type: Persistent, capacity: 1Gi}", "{type: Persistent, capacity: 2Gi}", refused},
		"same capacity":       {"{type: Persistent, capacity: 1Gi}", "{type: Persistent, capacity: 1024Mi}", ""}, // written differently
		"class":               {"{type: Persistent, storageClassName: a}", "{type: Persistent, storageClassName: b}", refused},
		"class added":         {"{type: Persistent}", "{type: Persistent, storageClassName: b}", refused},
		"class taken out":     {"{type: Persistent, storageClassName: a}", "{type: Persistent}", refused},
		"retention":           {"{type: Persistent, retention: 24h}", "{type: Persistent, retention: 48h, reclaim: Delete}", ""},
		"ephemeral capacity":  {"{capacity: 1Gi}", "{capacity: 2Gi}", ""},
		"to ephemeral":        {"{type: Persistent}", "{type: Ephemeral}", "spec.queue.type cannot change"},
		"capacity, both ways": {"{type: Persistent, capacity: 2Gi}", "{type: Persistent, capacity: 1Gi}", refused},
	} {
		t.Run(name, func(t *testing.T) {
			old, changed := object(t, minimalEndpoint), object(t, minimalEndpoint)
			set(t, old, "spec.queue", tt.old)
			set(t, changed, "spec.queue", tt.changed)
			testUpdate(t, endpointKind, old, changed, tt.want)
		})
	}
}

// explainWidth is where kubectl explain breaks a line, whatever follows.
const explainWidth = 76

// TestDescriptionsFit holds that kubectl explain shows the lines of a comment as
// they stand. What Kubernetes itself describes is not looked at.
func TestDescriptionsFit(t *testing.T) {
	for _, kind := range []string{endpointKind, providerKind} {
		d, err := crd.Definition(kind)
		if err != nil {
			t.Fatal(err)
		}
		top := d.Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, name := range []string{"spec", "status"} {
			described(t, kind+" "+name, top.Properties[name])
		}
	}
}

func described(t *testing.T, path string, s apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	for line := range strings.Lines(s.Description) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > explainWidth {
			t.Errorf("%s: a line of %d characters; break it before %d: %s", path, n, explainWidth, line)
		}
	}
	for name, f := range s.Properties {
		switch name {
		case "affinity", "tolerations", "topologySpreadConstraints", "namespaceSelector", "podSelector", "conditions":
			continue
		}
		described(t, path+"."+name, f)
		if f.Items != nil && f.Items.Schema != nil {
			described(t, path+"."+name+"[]", *f.Items.Schema)
		}
	}
}
