package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/controllers/endpoint"
	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

const (
	operatorUser = "operator"
	ownNamespace = "fairlead-system"
)

// auditPolicy has the API server record what the operator asks for, and not what is
// about itself: its Lease, the Events of that, and who may read its metrics.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [list, watch]
- level: None
  resources:
  - group: authentication.k8s.io
  - group: authorization.k8s.io
  - group: coordination.k8s.io
- level: None
  namespaces: [` + ownNamespace + `]
- level: Metadata
  users: [` + operatorUser + `]
  resources:
  - group: "*"
- level: None
`

// cluster is an API server with etcd, and who acts on it.
type cluster struct {
	env        *envtest.Environment
	dir        string
	config     *rest.Config  // may do everything
	admin      client.Client // the same
	kubeconfig string        // of the operator, which may do what config/rbac grants
	token      string        // of one who may read metrics
	audit      *audit
}

// startCluster must be called where config/ is.
func startCluster(ctx context.Context) (c *cluster, err error) {
	assets, err := plane.Assets()
	if err != nil {
		return nil, err
	}
	c = &cluster{}
	if c.dir, err = os.MkdirTemp("", "fairlead-bench-operator-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	policy := filepath.Join(c.dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	c.audit = &audit{path: filepath.Join(c.dir, "audit.log")}
	c.env = &envtest.Environment{BinaryAssetsDirectory: assets, ErrorIfCRDPathMissing: true,
		CRDDirectoryPaths: []string{"config/crd/fairlead.dev_webhookendpoints.yaml", "config/crd/fairlead.dev_webhookproviders.yaml"}}
	c.env.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).Set("audit-log-path", c.audit.path).Set("audit-log-mode", "blocking").
		Set("service-cluster-ip-range", "10.96.0.0/16") // of the 256 addresses that envtest gives, two endpoints of three would get none
	if c.config, err = c.env.Start(); err != nil {
		return nil, fmt.Errorf("starting API server: %w", err)
	}
	c.config.QPS = -1
	if c.admin, err = client.New(c.config, client.Options{Scheme: endpoint.Scheme()}); err != nil {
		return nil, err
	}
	return c, c.users(ctx)
}

// stop ends the API server and etcd and removes what they wrote.
func (c *cluster) stop() error {
	var err error
	if c.env != nil {
		err = c.env.Stop()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// users makes the operator's user and one who may read its metrics.
func (c *cluster) users(ctx context.Context) error {
	made, err := c.env.AddUser(envtest.User{Name: operatorUser}, &rest.Config{})
	if err != nil {
		return err
	}
	config, err := made.KubeConfig()
	if err != nil {
		return err
	}
	c.kubeconfig = filepath.Join(c.dir, "operator.kubeconfig")
	if err := os.WriteFile(c.kubeconfig, config, 0o600); err != nil {
		return err
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "metrics", Namespace: ownNamespace}}
	for _, obj := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ownNamespace}}, sa} {
		if err := c.admin.Create(ctx, obj); err != nil {
			return err
		}
	}
	request := &authenticationv1.TokenRequest{}
	if err := c.admin.SubResource("token").Create(ctx, sa, request); err != nil {
		return fmt.Errorf("making a token: %w", err)
	}
	c.token = request.Status.Token
	operator := rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: operatorUser}
	for _, file := range []string{"role.yaml", "provider_role.yaml", "leader-election/role.yaml", "metrics/auth_role.yaml"} {
		if err := c.grant(ctx, file, operator); err != nil {
			return err
		}
	}
	return c.grant(ctx, "metrics/reader_role.yaml", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: sa.Name, Namespace: sa.Namespace})
}

// grant makes a role of config/rbac and binds somebody to it.
func (c *cluster) grant(ctx context.Context, file string, to rbacv1.Subject) error {
	role := &unstructured.Unstructured{}
	data, err := os.ReadFile(filepath.Join("config/rbac", file))
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(data, &role.Object); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	meta := metav1.ObjectMeta{Name: role.GetName(), Namespace: role.GetNamespace()}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.GetKind(), Name: role.GetName()}
	var binding client.Object = &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: []rbacv1.Subject{to}}
	if meta.Namespace != "" {
		binding = &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: []rbacv1.Subject{to}}
	}
	for _, obj := range []client.Object{role, binding} {
		if err := c.admin.Create(ctx, obj); err != nil {
			return fmt.Errorf("granting %s: %w", file, err)
		}
	}
	return nil
}
