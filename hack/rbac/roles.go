package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"
)

const (
	// operator is the role for what the operator does in namespaces.
	operator = "fairlead-operator"
	// perNamespace is the file of the Role that grants the same in one namespace.
	perNamespace = "namespaced/access/role.yaml"
	header       = "# Made by `make generate` from the markers in controllers/; do not edit.\n"
)

// places says in which file below config/ each role stands.
var places = map[string]string{
	operator:                            "rbac/role.yaml",
	"fairlead-operator-provider":        "rbac/provider_role.yaml",
	"fairlead-operator-metrics-auth":    "rbac/metrics/auth_role.yaml",
	"fairlead-operator-leader-election": "rbac/leader-election/role.yaml",
	"fairlead-operator-provider-reader": "namespaced/providers/role.yaml",
}

// split returns the files for a stream of roles. A role without a place, and a
// place without a role, is an error: a role must not be lost in silence.
func split(stream []byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, doc := range bytes.Split(stream, []byte("\n---\n")) {
		var role map[string]any
		if err := yaml.Unmarshal(doc, &role); err != nil {
			return nil, fmt.Errorf("decoding role: %w", err)
		}
		if len(role) == 0 {
			continue
		}
		if err := place(files, role); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(places)) {
		if files[places[name]] == nil {
			return nil, fmt.Errorf("no marker asks for role %q; add one, or take the role out of hack/rbac", name)
		}
	}
	return files, nil
}

// place adds the files of one role.
func place(files map[string][]byte, role map[string]any) error {
	meta, _ := role["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	at := places[name]
	if at == "" || files[at] != nil {
		return fmt.Errorf("role %q has no place, or stands there twice; say in hack/rbac where it goes", name)
	}
	var err error
	if files[at], err = write(role); err != nil || name != operator {
		return err
	}
	namespaced := maps.Clone(role)
	namespaced["kind"] = "Role"
	files[perNamespace], err = write(namespaced)
	return err
}

func write(role map[string]any) ([]byte, error) {
	data, err := yaml.Marshal(role)
	if err != nil {
		return nil, fmt.Errorf("writing role as YAML: %w", err)
	}
	return append([]byte(header), data...), nil
}
