package helm

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// patience is how long what takes some seconds may take.
const patience = time.Minute

// A cluster has Kubernetes' own controllers, and a node that only seems to run pods.
type cluster struct {
	kubeconfig string
	programs   string
	config     *rest.Config
	client     kubernetes.Interface
	dynamic    dynamic.Interface
	discovery  discovery.DiscoveryInterface
}

// TestCluster does on a real API server, of the one version that hack/cluster
// builds, what people do with the chart.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	for _, ns := range []string{namespace, "community", "shop"} {
		if _, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"Helm 4", func(t *testing.T) { live(t, c, helm4{c}) }},
		{"Helm 3", func(t *testing.T) { live(t, c, helm3{c}) }},
		{"all namespaces", func(t *testing.T) { operate(t, c, "") }},
		{"some namespaces", func(t *testing.T) { operate(t, c, "namespaces: [community]\n") }},
		{"least", func(t *testing.T) { operate(t, c, least) }},
		{"notes", func(t *testing.T) { notes(t, c) }},
		{"API server", func(t *testing.T) { apply(t, c) }},
	} {
		if !t.Run(part.name, part.run) {
			return // what it left behind would fail the others
		}
	}
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	assets, err := plane.Assets()
	if err != nil {
		t.Fatal(err)
	}
	p, err := plane.Start(t.Context(), plane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{kubeconfig: p.Kubeconfig, programs: assets}
	if c.config, err = clientcmd.BuildConfigFromFlags("", p.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	c.config.QPS, c.config.WarningHandler = -1, rest.NoWarnings{}
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		t.Fatal(err)
	}
	if c.dynamic, err = dynamic.NewForConfig(c.config); err != nil {
		t.Fatal(err)
	}
	c.discovery = c.client.Discovery()
	return c
}

// kubectl returns what it prints.
func (c *cluster) kubectl(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.programs, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v: %s", args, err, out)
	}
	return string(out)
}

// until waits for a condition, and fails with the last reason why it is not there.
func until(t *testing.T, what string, ok func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = ok(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting until %s: %v; at the end: %v", what, err, last)
	}
}

// apply gives what each case renders to the API server. Fields that it does not
// know, and endpoints and providers that the CRDs refuse, fail.
func apply(t *testing.T, c *cluster) {
	var crds, rest []byte
	for _, name := range cases(t) {
		for _, obj := range render(t, valuesOf(t, name)) {
			doc, err := yaml.Marshal(obj.Object)
			if err != nil {
				t.Fatal(err)
			}
			if obj.GetKind() == "CustomResourceDefinition" {
				crds = append(append(crds, "---\n"...), doc...)
			} else {
				rest = append(append(rest, "---\n"...), doc...)
			}
		}
	}
	c.kubectl(t, crds, "apply", "--server-side", "--force-conflicts", "-f", "-")
	c.kubectl(t, nil, "wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
	c.kubectl(t, rest, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
}
