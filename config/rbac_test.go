// Package config_test holds what must be true of everything that a cluster is
// given: rights, manifests and samples.
package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// role is what a Role and a ClusterRole have in common.
type role struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Rules             []rbacv1.PolicyRule     `json:"rules"`
	AggregationRule   *rbacv1.AggregationRule `json:"aggregationRule"`
}

// forbidden says what is wrong with a rule, or nothing.
func forbidden(r rbacv1.PolicyRule) []string {
	var found []string
	bad := func(what string, all, never []string) {
		for _, v := range all {
			if slices.Contains(never, v) {
				found = append(found, what+" "+v)
			}
		}
	}
	bad("API group", r.APIGroups, []string{"*"})
	bad("verb", r.Verbs, []string{"*", "escalate", "bind", "impersonate"})
	bad("URL", r.NonResourceURLs, []string{"*", "/*"})
	bad("resource", r.Resources, []string{
		"*", "*/*", "*/status", "*/scale", // and with them what there will be
		"secrets", "serviceaccounts/token", "nodes/proxy", "services/proxy",
		"pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "pods/proxy",
		"roles", "rolebindings", "clusterroles", "clusterrolebindings",
		"certificatesigningrequests/approval", "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
	})
	for _, res := range r.Resources { // whatever subresource they have
		if strings.HasPrefix(res, "secrets/") || strings.HasPrefix(res, "*/") {
			found = append(found, "resource "+res)
		}
	}
	return found
}

// intoPods is the rule of the one role that leads into pods: it is for people, it is
// all that the tool needs, and no binding of ours names it.
const intoPods = `{"verbs":["create","get"],"apiGroups":[""],"resources":["pods/portforward"]}`

// isIntoPods reports whether a rule of a role is that one. A role of a chart's
// template has no name; whatever has this rule is for people (TestIntoPods).
func isIntoPods(rule rbacv1.PolicyRule) bool {
	text, err := json.Marshal(rule)
	return err == nil && string(text) == intoPods
}

// check says what is wrong with a role as it stands in a file, or nothing.
func check(r role) []string {
	var found []string
	for i, rule := range r.Rules {
		if isIntoPods(rule) {
			continue
		}
		for _, f := range forbidden(rule) {
			found = append(found, fmt.Sprintf("rules[%d]: %s", i, f))
		}
	}
	if r.AggregationRule != nil {
		found = append(found, "it takes in the rules of other roles")
	}
	for label := range r.Labels {
		if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") {
			found = append(found, "it is added to another role by label "+label)
		}
	}
	return found
}

// TestRolesGrantNothingMore reads every role in every file. The operator must not
// read Secrets, nor be able to gain what it does not have.
func TestRolesGrantNothingMore(t *testing.T) {
	all := roles(t, ".", "../charts")
	for path, r := range all {
		for _, f := range check(r) {
			t.Errorf("%s: %s", path, f)
		}
		if len(r.Rules) == 0 {
			t.Errorf("%s: it grants nothing; it was read wrongly, or is not needed", path)
		}
	}
	if len(all) < 8 {
		t.Errorf("found %d roles; some are not read", len(all))
	}
}

// TestIntoPods holds that nobody is given the rule that leads into pods: it stands in
// one role, and no file binds that.
func TestIntoPods(t *testing.T) {
	const name = "receiver-admin"
	var found []string
	for path, r := range roles(t, ".", "../charts") {
		if slices.ContainsFunc(r.Rules, isIntoPods) {
			found = append(found, strings.TrimSuffix(path, path[strings.LastIndex(path, "#"):]))
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff([]string{"../charts/fairlead/templates/rbac/people.yaml", "rbac/people/receiver_admin_role.yaml"}, found); diff != "" {
		t.Errorf("roles that lead into pods (-want +got):\n%s", diff)
	}
	binds := regexp.MustCompile(`(?s)roleRef:.{0,200}` + name)
	for _, folder := range []string{".", "../charts"} {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			data, err := os.ReadFile(path)
			if binds.Match(data) {
				t.Errorf("%s binds %s", path, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRolesAreCaught holds that the test above would fail.
func TestRolesAreCaught(t *testing.T) {
	for _, text := range []string{
		"rules: [{apiGroups: [''], resources: [configmaps, secrets], verbs: [get]}]",
		"rules: [{apiGroups: [''], resources: [secrets], resourceNames: [one], verbs: [watch]}]",
		"rules: [{apiGroups: [''], resources: ['*'], verbs: [get]}]",
		"rules: [{apiGroups: [''], resources: ['*/status'], verbs: [get]}]",
		"rules: [{apiGroups: ['*'], resources: [pods], verbs: [get]}]",
		"rules: [{apiGroups: [''], resources: [pods], verbs: ['*']}]",
		"rules: [{apiGroups: [''], resources: [pods/exec], verbs: [create]}]",
		"rules: [{apiGroups: [''], resources: [pods/attach], verbs: [create]}]",
		"rules: [{apiGroups: [''], resources: [pods/portforward], verbs: [create]}]",
		"rules: [{apiGroups: [''], resources: [pods/portforward, pods/exec], verbs: [create, get]}]",
		"rules: [{apiGroups: [''], resources: [pods/ephemeralcontainers], verbs: [patch]}]",
		"rules: [{apiGroups: [''], resources: [nodes/proxy], verbs: [get]}]",
		"rules: [{apiGroups: [''], resources: [serviceaccounts/token], verbs: [create]}]",
		"rules: [{apiGroups: [''], resources: [serviceaccounts], verbs: [impersonate]}]",
		"rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [bind]}]",
		"rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [escalate]}]",
		"rules: [{nonResourceURLs: ['*'], verbs: [get]}]",
		"metadata: {labels: {rbac.authorization.k8s.io/aggregate-to-edit: 'true'}}",
		"aggregationRule: {clusterRoleSelectors: [{}]}",
	} {
		var r role
		if err := yaml.UnmarshalStrict([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if len(check(r)) == 0 {
			t.Errorf("nothing is said of: %s", text)
		}
	}
}

// TestNamespacedGrantsTheSame holds that an operator for some namespaces may do
// there what one for all may do everywhere, and that neither file was edited.
func TestNamespacedGrantsTheSame(t *testing.T) {
	all := roles(t, ".")
	everywhere, one := all["rbac/role.yaml#0"], all["namespaced/access/role.yaml#0"]
	if everywhere.Kind != "ClusterRole" || one.Kind != "Role" {
		t.Fatalf("the kinds are %q and %q, want ClusterRole and Role", everywhere.Kind, one.Kind)
	}
	if diff := cmp.Diff(everywhere.Rules, one.Rules); diff != "" {
		t.Errorf("run `make generate`: (-ClusterRole +Role)\n%s", diff)
	}
}

// TestOperatorWrites holds what the operator may change at all, role by role: a
// new one is to be thought about here.
func TestOperatorWrites(t *testing.T) {
	want := map[string][]string{
		"rbac/role.yaml#0": {
			"apps/deployments", "apps/statefulsets", "autoscaling/horizontalpodautoscalers", "cert-manager.io/certificates", "configmaps",
			"events.k8s.io/events", "fairlead.dev/webhookendpoints/finalizers", "fairlead.dev/webhookendpoints/status",
			"gateway.networking.k8s.io/httproutes", "monitoring.coreos.com/podmonitors", "networking.k8s.io/ingresses",
			"networking.k8s.io/networkpolicies", "policy/poddisruptionbudgets", "serviceaccounts", "services",
		},
		"rbac/provider_role.yaml#0":        {"fairlead.dev/webhookproviders/status"},
		"namespaced/providers/role.yaml#0": nil,
		"rbac/metrics/auth_role.yaml#0":    {"authentication.k8s.io/tokenreviews", "authorization.k8s.io/subjectaccessreviews"},
		"rbac/leader-election/role.yaml#0": {"coordination.k8s.io/leases", "events"},
	}
	all := roles(t, ".")
	for path, want := range want {
		r, ok := all[path]
		if !ok {
			t.Errorf("%s is gone", path)
		}
		if diff := cmp.Diff(want, written(r)); diff != "" {
			t.Errorf("%s: what may be changed (-want +got):\n%s", path, diff)
		}
	}
}

// written lists the resources that a role may change.
func written(r role) []string {
	var all []string
	for _, rule := range r.Rules {
		reads := func(verb string) bool { return slices.Contains([]string{"get", "list", "watch"}, verb) }
		if !slices.ContainsFunc(rule.Verbs, func(v string) bool { return !reads(v) }) {
			continue
		}
		for _, g := range rule.APIGroups {
			for _, res := range rule.Resources {
				all = append(all, strings.TrimPrefix(g+"/"+res, "/"))
			}
		}
	}
	slices.Sort(all)
	return all
}

// roles reads the Roles and ClusterRoles in the YAML below folders, by file and
// place in it, as in rbac/role.yaml#0. A folder may be missing. A chart's templates
// are read without what stands between their braces.
func roles(t *testing.T, folders ...string) map[string]role {
	t.Helper()
	all := map[string]role{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == folder {
				return fs.SkipDir
			}
			if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
				return err
			}
			return readRoles(all, path)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func readRoles(all map[string]role, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i, doc := range documents(data) {
		if !isRole(doc) {
			continue
		}
		var r role
		if err := yaml.UnmarshalStrict(plain(doc), &r); err != nil {
			return fmt.Errorf("reading role in %s: %w", path, err)
		}
		all[fmt.Sprintf("%s#%d", path, i)] = r
	}
	return nil
}

// documents cuts a file at its lines of ---.
func documents(data []byte) [][]byte {
	return bytes.Split(bytes.TrimPrefix(data, []byte("---\n")), []byte("\n---\n"))
}

// isRole reports whether a document is a Role or ClusterRole. What is no YAML, as a
// template need not be, is judged by its text.
func isRole(doc []byte) bool {
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &is); err == nil {
		return is.Kind == "Role" || is.Kind == "ClusterRole"
	}
	return roleLine.Match(doc)
}

var roleLine = regexp.MustCompile(`(?m)^kind: *["']?(Cluster)?Role["']?\s*$`)

// plain leaves out the lines that are a template's alone.
func plain(doc []byte) []byte {
	var kept []string
	for line := range strings.Lines(string(doc)) {
		if !strings.Contains(line, "{{") {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, ""))
}
