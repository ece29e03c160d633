package helm

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// TestAPIServerTakesIt applies what each case renders to a real API server, of the
// one version that hack/cluster builds. Fields that it does not know, and endpoints
// and providers that the CRDs refuse, fail.
func TestAPIServerTakesIt(t *testing.T) {
	assets, err := plane.Assets()
	if err != nil {
		t.Fatal(err)
	}
	p, err := plane.Start(t.Context(), plane.Options{Level: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubectl := func(stdin []byte, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(assets, "kubectl"), append([]string{"--kubeconfig", p.Kubeconfig}, args...)...)
		cmd.Stdin = bytes.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl %v: %v: %s", args, err, out)
		}
	}
	for _, ns := range []string{namespace, "community", "shop"} {
		kubectl(nil, "create", "namespace", ns)
	}
	var kinds, rest []byte
	for _, name := range cases(t) {
		for _, obj := range render(t, valuesOf(t, name)) {
			doc, err := yaml.Marshal(obj.Object)
			if err != nil {
				t.Fatal(err)
			}
			if obj.GetKind() == "CustomResourceDefinition" {
				kinds = append(append(kinds, "---\n"...), doc...)
			} else {
				rest = append(append(rest, "---\n"...), doc...)
			}
		}
	}
	kubectl(kinds, "apply", "--server-side", "--force-conflicts", "-f", "-")
	kubectl(nil, "wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
	kubectl(rest, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
}
