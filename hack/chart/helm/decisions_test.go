package helm

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// A decision is what a value decides of the cluster's security: what the chart makes
// by default, and what it makes of text.
type decision struct {
	value           string // its path
	text            string
	look            func(t *testing.T, all objects) string
	byDefault, want string
}

const (
	zero     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	example  = "{provider: stripe, secretRef: {name: stripe}}"
	narrowed = "networkPolicy: {egress: {restrict: true, "
	scraped  = "metrics: {podMonitor: {enabled: true, "
)

// decisions has each value that changes security. TestEveryValueIsJudged finds one
// that is neither here nor among harmless.
var decisions = []decision{
	// Whose programs run.
	{"global.imageRegistry", "global: {imageRegistry: r.example.com}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "r.example.com/fairlead/operator:v0.1.0 r.example.com/fairlead/receiver:v0.1.0"},
	{"image.registry", "image: {registry: r.example.com}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "r.example.com/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0"},
	{"image.repository", "image: {repository: a/b}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "docker.io/a/b:v0.1.0 docker.io/fairlead/receiver:v0.1.0"},
	{"image.tag", "image: {tag: v9}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "docker.io/fairlead/operator:v9 docker.io/fairlead/receiver:v0.1.0"},
	{"image.digest", "image: {digest: '" + zero + "'}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "docker.io/fairlead/operator:v0.1.0@" + zero + " docker.io/fairlead/receiver:v0.1.0"},
	{"receiver.image.registry", "receiver: {image: {registry: r.example.com}}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "docker.io/fairlead/operator:v0.1.0 r.example.com/fairlead/receiver:v0.1.0"},
	{"receiver.image.repository", "receiver: {image: {repository: a/b}}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "docker.io/fairlead/operator:v0.1.0 docker.io/a/b:v0.1.0"},
	{"receiver.image.tag", "receiver: {image: {tag: v9}}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v9"},
	{"receiver.image.digest", "receiver: {image: {digest: '" + zero + "'}}", images, "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0", "docker.io/fairlead/operator:v0.1.0 docker.io/fairlead/receiver:v0.1.0@" + zero},
	{"image.pullPolicy", "image: {pullPolicy: Always}", container("imagePullPolicy"), "null", `"Always"`},
	{"imagePullSecrets", "imagePullSecrets: [{name: a}]", pod("imagePullSecrets"), "null", `[{"name":"a"}]`},
	{"global.imagePullSecrets", "global: {imagePullSecrets: [{name: a}]}", pod("imagePullSecrets"), "null", `[{"name":"a"}]`},
	{"extraEnv", "extraEnv: [{name: HTTPS_PROXY, value: 'http://p:1'}]", variables, "POD_NAMESPACE GOGC GOMEMLIMIT", "POD_NAMESPACE GOGC GOMEMLIMIT HTTPS_PROXY"},

	// As whom they run.
	{"runAsUser", "runAsUser: null", pod("securityContext"), `{"runAsGroup":65532,"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}}`, `{"runAsGroup":65532,"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}}`},
	{"runAsGroup", "runAsGroup: null", pod("securityContext"), `{"runAsGroup":65532,"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}}`, `{"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}}`},
	{"serviceAccount.create", "serviceAccount: {create: false, name: a}", named("ServiceAccount"), "fairlead-system/fairlead-operator", ""},
	{"serviceAccount.name", "serviceAccount: {name: a}", subjects, "fairlead-operator", "a"},
	{"serviceAccount.annotations", "serviceAccount: {annotations: {a: b}}", accountAnnotations, "null", `{"a":"b"}`},

	// What they may do, and for whom.
	{"namespaces", "namespaces: [a]", named("RoleBinding"), "fairlead-system/fairlead-operator-leader-election", "fairlead-system/fairlead-operator-leader-election a/fairlead-operator"},
	{"rbac.create", "rbac: {create: false}", named("ClusterRoleBinding"), "fairlead-operator-metrics-auth fairlead-operator fairlead-operator-provider", ""},
	{"rbac.readProviders", "{namespaces: [a], rbac: {readProviders: false}}", named("ClusterRoleBinding"), "fairlead-operator-metrics-auth fairlead-operator fairlead-operator-provider", "fairlead-operator-metrics-auth"},
	{"watchProviders", "watchProviders: false", named("ClusterRoleBinding"), "fairlead-operator-metrics-auth fairlead-operator fairlead-operator-provider", "fairlead-operator-metrics-auth fairlead-operator"},
	{"rbac.people", "rbac: {people: false}", peoples, "fairlead-endpoint-editor fairlead-endpoint-viewer fairlead-provider-editor fairlead-receiver-admin", ""},
	{"allowed.exposures", "allowed: {exposures: {'*': [ClusterIP]}}", argument("allowed-exposures"), "", "*=ClusterIP"},
	{"allowed.hosts", "allowed: {hosts: {shop: [a.example.com]}}", argument("allowed-hosts"), "", "shop=a.example.com"},
	{"allowed.annotations", "allowed: {annotations: ['example.com/*']}", argument("allowed-annotations"), "", "example.com/*"},
	{"endpoints", "endpoints: [{name: a, namespace: shop, spec: " + example + "}]", named("WebhookEndpoint"), "", "shop/a"},
	{"providers", "providers: [{name: a, spec: {replies: {}}}]", named("WebhookProvider"), "", "a"},
	{"crds.enabled", "crds: {enabled: false}", named("CustomResourceDefinition"), "webhookendpoints.fairlead.dev webhookproviders.fairlead.dev", ""},
	{"crds.keep", "crds: {keep: false}", policyOfKind, "keep", ""},

	// Who reaches them, and whom they reach.
	{"metrics.enabled", "metrics: {enabled: false}", argument("metrics-bind-address"), "", "0"},
	{"metrics.certificateSecret", "metrics: {certificateSecret: a}", argument("metrics-cert-dir"), "", "/etc/fairlead/metrics"},
	{"metrics.podMonitor.enabled", "metrics: {podMonitor: {enabled: true}}", named("PodMonitor"), "", "fairlead-system/fairlead-operator"},
	{"metrics.podMonitor.tokenSecret.name", scraped + "tokenSecret: {name: a}}}", scrape("authorization"), "null", `{"credentials":{"key":"token","name":"a"}}`},
	{"metrics.podMonitor.tokenSecret.key", scraped + "tokenSecret: {name: a, key: b}}}", scrape("authorization"), "null", `{"credentials":{"key":"b","name":"a"}}`},
	{"metrics.podMonitor.tlsConfig.insecureSkipVerify", scraped + "tlsConfig: {insecureSkipVerify: false}}}", scrape("tlsConfig"), "null", `{"insecureSkipVerify":false}`},
	{"pprofBindAddress", "pprofBindAddress: '127.0.0.1:6060'", argument("pprof-bind-address"), "", "127.0.0.1:6060"},
	{"networkPolicy.enabled", "networkPolicy: {enabled: false}", named("NetworkPolicy"), "fairlead-system/fairlead-operator", ""},
	{"networkPolicy.metricsFrom", "networkPolicy: {metricsFrom: [{podSelector: {}}]}", ingress, `[{"ports":[{"port":"metrics"}]}]`, `[{"ports":[{"port":"metrics"}],"from":[{"podSelector":{}}]}]`},
	{"networkPolicy.egress.restrict", narrowed + "}}", ports, "all", "443,6443 9090"},
	{"networkPolicy.egress.apiServerPorts", narrowed + "apiServerPorts: [1234]}}", ports, "all", "1234 9090"},
	{"networkPolicy.egress.apiServerCIDRs", narrowed + "apiServerCIDRs: [10.0.0.1/32]}}", ports, "all", "443,6443@10.0.0.1/32 9090"},
	{"networkPolicy.egress.extra", narrowed + "extra: [{ports: [{port: 53}]}]}}", ports, "all", "443,6443 9090 53"},

	// By these labels receivers let the operator's pods in: no value changes them.
	{"podLabels", "podLabels: {app.kubernetes.io/name: a, app.kubernetes.io/instance: b}", podLabels, "fairlead-operator fairlead", "fairlead-operator fairlead"},
	{"commonLabels", "commonLabels: {app.kubernetes.io/name: a, app.kubernetes.io/instance: b}", podLabels, "fairlead-operator fairlead", "fairlead-operator fairlead"},
}

// harmless are the values that change nobody's rights or reach, and why.
var harmless = map[string]string{
	"affinity": where, "nodeSelector": where, "tolerations": where, "topologySpreadConstraints": where, "priorityClassName": where,
	"commonAnnotations": told, "podAnnotations": told, "metrics.service.annotations": told, "metrics.service.labels": told, "metrics.podMonitor.labels": told,
	"concurrentReconciles": work, "discoveryInterval": work, "goGC": work, "goMemoryLimit": work, "metrics.podMonitor.interval": work,
	"resources.limits.memory": work, "resources.requests.cpu": work, "resources.requests.memory": work,
	"replicas": many, "leaderElection": many, "disruptionBudget.enabled": many, "disruptionBudget.maxUnavailable": many, "terminationGracePeriodSeconds": many,
	"enabled":          "it is not read",
	"fullnameOverride": "a name; roles and bindings change theirs together",
	"logLevel":         "no level logs a secret, a body or a URL",
	"metrics.port":     "the policy and the monitor name the port, and follow it",
	"probesPort":       "probes tell only whether the operator is there",
}

const (
	where = "says on which node the operator runs, whose rights are the same on all"
	told  = "is for other programs of the cluster, and who sets values may set it anyway"
	work  = "says how much the operator does or takes"
	many  = "says how many operators there are; two that act at once are refused"
)

func TestDecisions(t *testing.T) {
	for _, d := range decisions {
		t.Run(d.value, func(t *testing.T) {
			for text, want := range map[string]string{"": d.byDefault, d.text: d.want} {
				r, err := renderAs(t, release, text, monitors)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				if got := d.look(t, r.objects); got != want {
					t.Errorf("with %q it is %s, want %s", text, got, want)
				}
			}
		})
	}
}

// TestEveryValueIsJudged holds that each value either has a case among decisions or
// a reason among harmless: a new one has to be thought about.
func TestEveryValueIsJudged(t *testing.T) {
	data, err := os.ReadFile(folder + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	known := leaves("", schema)
	judged := map[string]int{}
	for _, d := range decisions {
		judged[d.value]++
	}
	for value := range harmless {
		judged[value]++
	}
	for _, value := range known {
		if judged[value] != 1 {
			t.Errorf("%s is judged %d times, want once: in decisions if it changes security, or else in harmless", value, judged[value])
		}
	}
	for value := range judged {
		if !slices.Contains(known, value) {
			t.Errorf("there is no value %s", value)
		}
	}
}

// leaves returns the paths of all values that a schema names.
func leaves(path string, schema map[string]any) []string {
	properties, _ := schema["properties"].(map[string]any)
	if len(properties) == 0 {
		return []string{path}
	}
	var all []string
	for name, child := range properties {
		below, _ := child.(map[string]any)
		all = append(all, leaves(strings.TrimPrefix(path+"."+name, "."), below)...)
	}
	return all
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func operatorOf(t *testing.T, all objects) appsv1.Deployment {
	t.Helper()
	return as[appsv1.Deployment](t, all, "Deployment", operator)
}

// images are the operator's and the receivers'.
func images(t *testing.T, all objects) string {
	return operatorOf(t, all).Spec.Template.Spec.Containers[0].Image + " " + argument("receiver-image")(t, all)
}

// argument returns the value of a flag; "" if it is not set.
func argument(flag string) func(*testing.T, objects) string {
	return func(t *testing.T, all objects) string {
		for _, arg := range operatorOf(t, all).Spec.Template.Spec.Containers[0].Args {
			if value, ok := strings.CutPrefix(arg, "--"+flag+"="); ok {
				return value
			}
		}
		return ""
	}
}

func variables(t *testing.T, all objects) string {
	var names []string
	for _, e := range operatorOf(t, all).Spec.Template.Spec.Containers[0].Env {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

// inPod returns a field of the operator's pods.
func inPod(all objects) map[string]any {
	return all.find("Deployment", operator).Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
}

func pod(field string) func(*testing.T, objects) string {
	return func(t *testing.T, all objects) string { return encoded(t, inPod(all)[field]) }
}

func container(field string) func(*testing.T, objects) string {
	return func(t *testing.T, all objects) string {
		return encoded(t, inPod(all)["containers"].([]any)[0].(map[string]any)[field])
	}
}

func podLabels(t *testing.T, all objects) string {
	labels := operatorOf(t, all).Spec.Template.Labels
	return labels["app.kubernetes.io/name"] + " " + labels["app.kubernetes.io/instance"]
}

func named(kind string) func(*testing.T, objects) string {
	return func(_ *testing.T, all objects) string { return strings.Join(all.kind(kind), " ") }
}

// peoples are the roles for people.
func peoples(_ *testing.T, all objects) string {
	return strings.Join(slices.DeleteFunc(all.kind("ClusterRole"), func(name string) bool {
		return strings.HasPrefix(name, operator) || name == "fairlead-metrics-reader"
	}), " ")
}

// subjects are the accounts that roles are bound to and that the pods have.
func subjects(t *testing.T, all objects) string {
	names := []string{operatorOf(t, all).Spec.Template.Spec.ServiceAccountName}
	for _, obj := range all {
		if strings.HasSuffix(obj.GetKind(), "RoleBinding") {
			for _, s := range obj.Object["subjects"].([]any) {
				names = append(names, s.(map[string]any)["name"].(string))
			}
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

func accountAnnotations(t *testing.T, all objects) string {
	return encoded(t, all.find("ServiceAccount", operator).GetAnnotations())
}

func policyOfKind(_ *testing.T, all objects) string {
	return all.find("CustomResourceDefinition", "webhookendpoints.fairlead.dev").GetAnnotations()["helm.sh/resource-policy"]
}

// scrape returns a field of how metrics are read.
func scrape(field string) func(*testing.T, objects) string {
	return func(t *testing.T, all objects) string {
		monitor := all.find("PodMonitor", operator)
		if monitor == nil {
			return "null"
		}
		endpoint := monitor.Object["spec"].(map[string]any)["podMetricsEndpoints"].([]any)[0].(map[string]any)
		return encoded(t, endpoint[field])
	}
}

func ingress(t *testing.T, all objects) string {
	return encoded(t, as[networkingv1.NetworkPolicy](t, all, "NetworkPolicy", operator).Spec.Ingress)
}

// ports says which ports the operator reaches, each rule's with its CIDRs.
func ports(t *testing.T, all objects) string {
	policy := as[networkingv1.NetworkPolicy](t, all, "NetworkPolicy", operator)
	if !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		return "all"
	}
	var rules []string
	for _, r := range policy.Spec.Egress {
		var numbers []string
		for _, p := range r.Ports {
			numbers = append(numbers, p.Port.String())
		}
		rule := strings.Join(numbers, ",")
		for _, peer := range r.To {
			if peer.IPBlock != nil {
				rule += "@" + peer.IPBlock.CIDR
			}
		}
		rules = append(rules, rule)
	}
	return strings.Join(rules, " ")
}
