package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// What run.sh says to the tests.
const (
	modeVariable   = "FAIRLEAD_E2E"        // short or full
	sourceVariable = "FAIRLEAD_E2E_SOURCE" // the folder of the repository
	outVariable    = "FAIRLEAD_E2E_OUT"    // where logs are kept when something fails
)

// Names of the release, and what of images is not the chart's default.
const (
	release         = "fairlead"
	systemNamespace = "fairlead-system"
	operatorName    = "fairlead-operator"
	imageTag        = "devel"
	testRegistry    = "registry.test"
)

// nodeAddress is the address of the one node, where node ports are.
const nodeAddress = "10.240.0.10"

// rig is what the scenarios share: a cluster, and what the rest of the world would
// have.
type rig struct {
	kube   client.Client
	config *rest.Config
	source string
	out    string
	short  bool
	report *report
	links  atomic.Int32
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		source: os.Getenv(sourceVariable), out: os.Getenv(outVariable), short: os.Getenv(modeVariable) == "short", report: newReport(),
	}
	for name, value := range map[string]string{sourceVariable: r.source, outVariable: r.out, "KUBECONFIG": os.Getenv("KUBECONFIG")} {
		if value == "" {
			t.Fatalf("%s is not set; run the tests by make e2e", name)
		}
	}
	var err error
	if r.config, err = clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG")); err != nil {
		t.Fatal(err)
	}
	r.config.QPS, r.config.WarningHandlerWithContext = -1, rest.NoWarnings{}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	if r.kube, err = client.New(r.config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	r.report.versions(t, r)
	return r
}

// command runs a program with stdin, and returns what it prints.
func command(t testing.TB, stdin, name string, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// run is command, and a failure of it the test's.
func run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	out, err := command(t, stdin, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies manifests as a user does.
func (r *rig) apply(t testing.TB, manifests ...string) {
	t.Helper()
	run(t, strings.Join(manifests, "\n---\n"), "kubectl", "apply", "--server-side", "--validate=strict", "-f", "-")
}

// patch merges a patch into an object of a user's.
func (r *rig) patch(t testing.TB, namespace, object, patch string) {
	t.Helper()
	run(t, "", "kubectl", "patch", "-n", namespace, object, "--type=merge", "-p", patch)
}

// namespace makes a namespace that enforces the restricted Pod Security. It goes,
// with all that is in it, when the test ends.
func (r *rig) namespace(t testing.TB, name string) {
	t.Helper()
	r.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: "+name+
		"\n  labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}")
	t.Cleanup(func() {
		r.keep(t, name)
		run(t, "", "kubectl", "delete", "namespace", name, "--wait=false", "--ignore-not-found")
	})
}

// helm runs Helm in the namespace of the release.
func (r *rig) helm(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, "", "helm", append(args, "--namespace", systemNamespace)...)
}

// imageValues are the values that a user sets who has images of his own: a tag, and
// that they are on the node already.
func imageValues(tag string) []string {
	return []string{"--set=image.tag=" + tag, "--set=receiver.image.tag=" + tag, "--set=image.pullPolicy=IfNotPresent"}
}

// install installs the chart, or changes the release to these values, and waits as
// Helm does.
func (r *rig) install(t testing.TB, values ...string) {
	t.Helper()
	args := append([]string{"upgrade", "--install", release, filepath.Join(r.source, "charts", "fairlead"), "--wait", "--timeout=120s"}, imageValues(imageTag)...)
	r.helm(t, append(args, values...)...)
}

// pods are the pods of a namespace that have a label.
func (r *rig) pods(t testing.TB, namespace string, labels map[string]string) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := r.kube.List(t.Context(), &list, client.InNamespace(namespace), client.MatchingLabels(labels)); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// names are the names of pods, in order.
func names(pods []corev1.Pod) []string {
	var all []string
	for i := range pods {
		all = append(all, pods[i].Name)
	}
	slices.Sort(all)
	return all
}
