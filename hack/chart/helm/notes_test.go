package helm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// notes runs the commands of NOTES.txt, in their order.
func notes(t *testing.T, c *cluster) {
	const text = "crds: {keep: false}"
	r, err := renderAs(t, release, text)
	if err != nil {
		t.Fatal(err)
	}
	h := helm4{c}
	h.install(t, "", text)
	defer h.uninstall(t)
	dir := t.TempDir()
	for name, content := range map[string]string{"FILE": "a signing secret of some length", "ENDPOINT.yaml": somebodys} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	for line := range strings.Lines(r.notes) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "kubectl ")
		if !ok || strings.Contains(command, "condition=Ready") { // no receiver runs here
			continue
		}
		command = strings.NewReplacer("NAMESPACE", "community", "TEAM", "payments", "FILE", filepath.Join(dir, "FILE"),
			"ENDPOINT.yaml", filepath.Join(dir, "ENDPOINT.yaml")).Replace(command)
		c.kubectl(t, nil, strings.Fields(command)...)
		ran++
	}
	if ran != 5 {
		t.Errorf("ran %d commands of the notes, want 5:\n%s", ran, r.notes)
	}
}
