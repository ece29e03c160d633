package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// document writes a role as controller-gen does.
func document(kind, name string) string {
	return fmt.Sprintf("\n---\nkind: %s\nmetadata:\n  name: %s\nrules:\n- verbs: [get]\n", kind, name)
}

func all() string {
	var s strings.Builder
	for name := range places {
		s.WriteString(document("ClusterRole", name))
	}
	return s.String()
}

func TestSplit(t *testing.T) {
	files, err := split([]byte(all()))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(places)+1 {
		t.Errorf("got %d files, want one for each role and one for the Role of a namespace", len(files))
	}
	for file, kind := range map[string]string{"rbac/role.yaml": "ClusterRole", perNamespace: "Role"} {
		want := header + "kind: " + kind + "\nmetadata:\n  name: fairlead-operator\nrules:\n- verbs:\n  - get\n"
		if diff := cmp.Diff(want, string(files[file])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for name, stream := range map[string]string{
		"no roles":       "",
		"a missing role": strings.Replace(all(), "fairlead-operator-metrics-auth", "fairlead-operator-provider", 1),
		"a new role":     all() + document("ClusterRole", "another"),
		"a role twice":   all() + document("Role", operator),
		"not YAML":       all() + "\n---\na: [",
	} {
		t.Run(name, func(t *testing.T) {
			if files, err := split([]byte(stream)); err == nil {
				t.Errorf("got %d files, want an error", len(files))
			}
		})
	}
}
