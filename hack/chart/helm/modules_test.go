package helm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// published is a Go module that describes kinds, with the checksum of its content.
// It is downloaded, some megabytes, and nothing of it is compiled.
type published struct{ module, sum string }

// supported are the versions whose API every object must fit: the oldest that is
// supported, the one that hack/cluster runs, and some between.
var supported = map[string]published{
	"1.31.14": {"k8s.io/kubernetes@v1.31.14", "h1:UtjLfqvXLuSVDdJ4+NpQCIfFkKkLnAAVmxAEMsnkhjk="},
	"1.33.13": {"k8s.io/kubernetes@v1.33.13", "h1:bmH31xUdSzeA5vk0wZAK9MZp11mdLuzUSeKk0qN3hPQ="},
	"1.35.4":  {"k8s.io/kubernetes@v1.35.4", "h1:o/8dBC/pHVpYoGV4OAIytAlNPZbdYVTXJHoYvXC4qzM="},
	"1.37.2":  {"k8s.io/kubernetes@v1.37.2", "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE="},
}

// others are the CRDs of kinds that are not ours: files of a module.
var others = []struct {
	published
	file string
}{
	{published{"sigs.k8s.io/gateway-api@v1.6.0", "h1:735YBRj5NXFrOGX0GoSjwzUIzbz8kiEOfADsqHFmHgE="}, "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"},
	{published{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="}, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"},
	{published{"github.com/cert-manager/cert-manager@v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68="}, "deploy/crds/cert-manager.io_certificates.yaml"},
}

// file returns a file of the module, from the module cache or else from where the
// go command gets modules.
func (p published) file(t *testing.T, name string) []byte {
	t.Helper()
	t.Logf("fetching %s, if it is not in the module cache", p.module)
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", p.module).Output()
	if err != nil {
		t.Fatalf("downloading %s: %v: %s", p.module, err, out)
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Sum != p.sum {
		t.Fatalf("%s has the checksum %s, want %s", p.module, got.Sum, p.sum)
	}
	data, err := os.ReadFile(filepath.Join(got.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
