package endpoint_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/go-logr/logr"

	"github.com/fairlead-dev/fairlead/controllers/endpoint"
	"github.com/fairlead-dev/fairlead/controllers/endpointtest"
	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// The API server of all tests, and who acts on it.
var (
	env   *envtest.Environment
	admin client.Client // may do everything
	asOp  *rest.Config  // may do what the operator's generated roles grant
)

const patience = 30 * time.Second

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	assets, err := plane.Assets()
	if err != nil {
		return 1, err
	}
	env = &envtest.Environment{BinaryAssetsDirectory: assets, CRDDirectoryPaths: crds, ErrorIfCRDPathMissing: true}
	cfg, err := env.Start()
	if err != nil {
		return 1, fmt.Errorf("starting API server: %w", err)
	}
	defer func() {
		if stopErr := env.Stop(); stopErr != nil && err == nil {
			code, err = 1, fmt.Errorf("stopping API server: %w", stopErr)
		}
	}()
	cfg.QPS = -1
	scheme := endpoint.Scheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return 1, err
	}
	if admin, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	if asOp, err = operatorUser(context.Background()); err != nil {
		return 1, fmt.Errorf("making the operator's user: %w", err)
	}
	return m.Run(), nil
}

var crds = []string{"../../config/crd/fairlead.dev_webhookendpoints.yaml", "../../config/crd/fairlead.dev_webhookproviders.yaml"}

// operatorUser makes a user that has the ClusterRoles of config/rbac, as they
// are generated, and nothing else.
func operatorUser(ctx context.Context) (*rest.Config, error) {
	user, err := env.AddUser(envtest.User{Name: "operator"}, &rest.Config{QPS: -1})
	if err != nil {
		return nil, err
	}
	for _, file := range []string{"role.yaml", "provider_role.yaml"} {
		data, err := os.ReadFile(filepath.Join("../../config/rbac", file))
		if err != nil {
			return nil, err
		}
		role := &rbacv1.ClusterRole{}
		if err := yaml.UnmarshalStrict(data, role); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if err := admin.Create(ctx, role); err != nil {
			return nil, err
		}
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "operator"}},
		}
		if err := admin.Create(ctx, binding); err != nil {
			return nil, err
		}
	}
	return user.Config(), nil
}

var waiter = endpointtest.Wait{Every: 20 * time.Millisecond, Patience: patience}

func until(t *testing.T, what string, ok func(context.Context) error) {
	t.Helper()
	waiter.Until(t, what, ok)
}

// gone reports an error unless an object is not there.
func gone(ctx context.Context, obj client.Object) error {
	err := admin.Get(ctx, client.ObjectKeyFromObject(obj), obj)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%T %s is there", obj, obj.GetName())
}
