package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// A part becomes one template: what some files of config/ hold, under a condition.
type part struct {
	template string
	when     string
	files    []string
	only     string // of the documents, those of this name; empty: all
	each     bool   // once for each served namespace
}

const (
	wide     = "and .Values.rbac.create (not .Values.namespaces)"
	watching = ` (ne (toString .Values.watchProviders) "false")`
)

var parts = []part{
	{template: "operator", when: wide, files: []string{"rbac/role.yaml", "rbac/role_bindings.yaml"}, only: "fairlead-operator"},
	{template: "provider", when: wide + watching, files: []string{"rbac/provider_role.yaml", "rbac/role_bindings.yaml"}, only: "fairlead-operator-provider"},
	{template: "namespaced", when: ".Values.rbac.create", each: true, files: []string{"namespaced/access/role.yaml", "namespaced/access/role_binding.yaml"}},
	{template: "provider-reader", when: "and .Values.rbac.create .Values.rbac.readProviders .Values.namespaces" + watching,
		files: []string{"namespaced/providers/role.yaml", "namespaced/providers/role_binding.yaml"}},
	{template: "leader-election", when: "and .Values.rbac.create .Values.leaderElection",
		files: []string{"rbac/leader-election/role.yaml", "rbac/leader-election/role_binding.yaml"}},
	{template: "metrics", when: "and .Values.rbac.create .Values.metrics.enabled",
		files: []string{"rbac/metrics/auth_role.yaml", "rbac/metrics/auth_role_binding.yaml", "rbac/metrics/reader_role.yaml"}},
	{template: "people", when: ".Values.rbac.people",
		files: []string{"rbac/people/endpoint_editor_role.yaml", "rbac/people/endpoint_viewer_role.yaml", "rbac/people/provider_editor_role.yaml", "rbac/people/receiver_admin_role.yaml"}},
}

var (
	errUnplaced = errors.New("it is in no template; add it to parts in hack/chart")
	errNobody   = errors.New("it holds something that no template takes")
	errNoAccess = errors.New("neither a role nor a binding")
)

// addRoles makes the templates of all parts. Every file with a role or a binding
// below config/rbac and config/namespaced must be in one.
func addRoles(files map[string][]byte, config string) error {
	placed := map[string]int{} // documents of a file that went into a template
	for _, p := range parts {
		data, err := p.render(config, placed)
		if err != nil {
			return fmt.Errorf("making template %q: %w", p.template, err)
		}
		files["templates/rbac/"+p.template+".yaml"] = data
	}
	for _, dir := range []string{"rbac", "namespaced"} {
		if err := allPlaced(config, dir, placed); err != nil {
			return err
		}
	}
	return nil
}

// allPlaced finds what would be missing from the chart.
func allPlaced(config, dir string, placed map[string]int) error {
	files := os.DirFS(config)
	return fs.WalkDir(files, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" || d.Name() == "kustomization.yaml" {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return fmt.Errorf("reading role: %w", err)
		}
		switch n := placed[name]; n {
		case len(documents(data)):
			return nil
		case 0:
			return fmt.Errorf("looking for %q: %w", name, errUnplaced)
		default:
			return fmt.Errorf("looking for %q: %w", name, errNobody)
		}
	})
}

// render reads the part's files, and counts in placed what it took of them.
func (p part) render(config string, placed map[string]int) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, made, "config/"+strings.Join(p.files, " and "))
	fmt.Fprintf(&b, "{{- if %s }}\n", p.when)
	if p.each {
		b.WriteString("{{- range .Values.namespaces }}\n")
	}
	for _, file := range p.files {
		data, err := os.ReadFile(filepath.Join(config, file))
		if err != nil {
			return nil, fmt.Errorf("reading role: %w", err)
		}
		for _, doc := range documents(data) {
			a, err := parseAccess(doc)
			if err != nil {
				return nil, fmt.Errorf("reading %q: %w", file, err)
			}
			if p.only != "" && p.only != a.Name {
				continue
			}
			placed[file]++
			if err := p.write(&b, a); err != nil {
				return nil, fmt.Errorf("writing %q: %w", file, err)
			}
		}
	}
	if p.each {
		b.WriteString("{{- end }}\n")
	}
	b.WriteString("{{- end }}\n")
	return b.Bytes(), nil
}

// access is a role or a binding of one.
type access struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Rules             []rbacv1.PolicyRule `json:"rules,omitempty"`
	RoleRef           *rbacv1.RoleRef     `json:"roleRef,omitempty"`
	Subjects          []rbacv1.Subject    `json:"subjects,omitempty"`
}

// parseAccess reads a document, of which nothing may be unknown.
func parseAccess(doc []byte) (access, error) {
	var a access
	if err := yaml.UnmarshalStrict(doc, &a); err != nil {
		return a, err
	}
	if !slices.Contains([]string{"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}, a.Kind) {
		return a, fmt.Errorf("kind %q: %w", a.Kind, errNoAccess)
	}
	return a, nil
}

// write writes one object, with names and namespaces of the release.
func (p part) write(b *bytes.Buffer, a access) error {
	fmt.Fprintf(b, "---\napiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", a.APIVersion, a.Kind, called(a.Name))
	if strings.HasPrefix(a.Kind, "Role") {
		namespace := "$.Release.Namespace"
		if p.each {
			namespace = "."
		}
		fmt.Fprintf(b, "  namespace: {{ %s }}\n", namespace)
	}
	b.WriteString("  labels:\n    {{- include \"fairlead.labels\" $ | nindent 4 }}\n")
	b.WriteString("  {{- include \"fairlead.annotations\" (dict \"root\" $) | nindent 2 }}\n")
	body := map[string]any{}
	if a.RoleRef != nil {
		ref := *a.RoleRef
		ref.Name = called(ref.Name)
		body["roleRef"] = ref
		body["subjects"] = []rbacv1.Subject{{Kind: "ServiceAccount",
			Name: `{{ include "fairlead.serviceAccount" $ }}`, Namespace: "{{ $.Release.Namespace }}"}}
	} else {
		body["rules"] = a.Rules
	}
	out, err := yaml.Marshal(body)
	b.Write(out)
	return err
}

// called is the name in a release of what config/ calls name.
func called(name string) string {
	if rest, ok := strings.CutPrefix(name, "fairlead-operator"); ok {
		return `{{ include "fairlead.operator" $ }}` + rest
	}
	return `{{ include "fairlead.name" $ }}` + strings.TrimPrefix(name, "fairlead")
}

// documents cuts a file at its lines of ---.
func documents(data []byte) [][]byte {
	return bytes.Split(bytes.TrimPrefix(data, []byte("---\n")), []byte("\n---\n"))
}
