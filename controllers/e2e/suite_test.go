package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/controllers/endpoint"
	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// The control plane of all tests, and who acts on it.
var (
	cluster *plane.Plane
	assets  string
	admin   client.WithWatch // may do everything
	asOp    *rest.Config     // the operator's ServiceAccount
)

// patience bounds each wait. A receiver that is added takes 5 s to be available.
const patience = 90 * time.Second

// atOnce is how many tests run at once. They have little to do but to wait.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	code, err := 1, flag.Set("test.parallel", atOnce)
	if err == nil {
		code, err = run(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	if assets, err = plane.Assets(); err != nil {
		return 1, err
	}
	if cluster, err = plane.Start(ctx, plane.Options{Level: 2}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	cfg, err := clientcmd.BuildConfigFromFlags("", cluster.Kubeconfig)
	if err != nil {
		return 1, err
	}
	cfg.QPS = -1
	if admin, err = client.NewWithWatch(cfg, client.Options{Scheme: endpoint.Scheme()}); err != nil {
		return 1, err
	}
	if err := install(ctx, cfg); err != nil {
		return 1, fmt.Errorf("installing: %w", err)
	}
	return m.Run(), nil
}

// install does what config/README.md says. The pods of the operator's Deployment
// run nothing: the tests run it, and act as its ServiceAccount.
func install(ctx context.Context, cfg *rest.Config) error {
	if out, err := command(ctx, "apply", "--server-side", "-k", "../../config/default").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if out, err := command(ctx, "wait", "--for=condition=Established", "crd", "--all").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead-system", Name: "fairlead-operator"}}
	token := &authenticationv1.TokenRequest{}
	if err := admin.SubResource("token").Create(ctx, sa, token); err != nil {
		return fmt.Errorf("making a token of the operator: %w", err)
	}
	asOp = rest.AnonymousClientConfig(cfg)
	asOp.BearerToken, asOp.QPS = token.Status.Token, -1
	return nil
}

// command returns a kubectl with all rights.
func command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"--kubeconfig", cluster.Kubeconfig, "--cache-dir", filepath.Join(cluster.Dir, "cache")}, args...)
	return exec.CommandContext(ctx, filepath.Join(assets, "kubectl"), args...)
}

// kubectl returns what the command prints; it must succeed.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := command(t.Context(), args...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %q: %v\n%s", args, err, out)
	}
	return string(out)
}
