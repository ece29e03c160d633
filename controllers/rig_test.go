package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/endpointtest"
)

const ownNamespace = "fairlead-system"

// user is one that has no right but those that it is granted.
type user struct{ name, kubeconfig string }

func newUser(t *testing.T, name string) user {
	t.Helper()
	made, err := env.AddUser(envtest.User{Name: name}, &rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := made.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	u := user{name, filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(u.kubeconfig, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// operatorUser returns a user with all that config/rbac grants the operator.
func operatorUser(t *testing.T) user {
	t.Helper()
	u := newUser(t, "operator")
	u.operates(t)
	return u
}

// operatorAccount returns a ServiceAccount with all that config/rbac grants the
// operator, and a reference to it.
func operatorAccount(t *testing.T) (user, metav1.OwnerReference) {
	t.Helper()
	const name = "operator"
	config := api.NewConfig()
	config.Clusters["c"] = &api.Cluster{Server: env.Config.Host, CertificateAuthorityData: env.Config.CAData}
	config.AuthInfos["u"] = &api.AuthInfo{Token: token(t, name, false)}
	config.Contexts["x"] = &api.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	u := user{"system:serviceaccount:" + ownNamespace + ":" + name, filepath.Join(t.TempDir(), "kubeconfig")}
	if err := clientcmd.WriteToFile(*config, u.kubeconfig); err != nil {
		t.Fatal(err)
	}
	u.operates(t)
	sa := &corev1.ServiceAccount{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: ownNamespace, Name: name}, sa); err != nil {
		t.Fatal(err)
	}
	return u, metav1.OwnerReference{APIVersion: "v1", Kind: "ServiceAccount", Name: name, UID: sa.UID}
}

// operates grants all that config/rbac grants the operator.
func (u user) operates(t *testing.T) {
	t.Helper()
	for _, file := range []string{"role.yaml", "provider_role.yaml", "leader-election/role.yaml", "metrics/auth_role.yaml"} {
		u.grant(t, "", "../config/rbac/"+file)
	}
}

// grant makes the role in a file, and binds the user to it until the test ends. A
// Role is made in a namespace, or in its own if that is "".
func (u user) grant(t *testing.T, namespace, file string) {
	t.Helper()
	role := &unstructured.Unstructured{}
	data, err := os.ReadFile(file)
	if err == nil {
		err = yaml.UnmarshalStrict(data, &role.Object)
	}
	if err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.GetKind(), Name: u.name + "-" + role.GetName()}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: u.name}}
	role.SetName(ref.Name)
	var binding client.Object = &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: ref.Name}, RoleRef: ref, Subjects: subjects}
	if ref.Kind == "Role" {
		if namespace != "" {
			role.SetNamespace(namespace)
		}
		need(t, role.GetNamespace())
		binding = &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: ref.Name, Namespace: role.GetNamespace()}, RoleRef: ref, Subjects: subjects}
	}
	lend(t, role)
	lend(t, binding)
}

// lend makes an object that is there until the test ends.
func lend(t *testing.T, obj client.Object) {
	t.Helper()
	if err := admin.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), obj); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// need makes a namespace unless it is there.
func need(t *testing.T, name string) {
	t.Helper()
	err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// namespace makes one of the test's own.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name // there is no controller that could remove it
}

// chat makes the smallest endpoint.
func chat(t *testing.T, namespace, name, provider string) *v1alpha1.WebhookEndpoint {
	t.Helper()
	ep := endpointtest.Chat(namespace, func(ep *v1alpha1.WebhookEndpoint) { ep.Name, ep.Spec.Provider = name, provider })
	lend(t, ep)
	return ep
}

// reconciled waits until the newest generation of an endpoint is.
func reconciled(t *testing.T, ep *v1alpha1.WebhookEndpoint) {
	t.Helper()
	until(t, "the endpoint is reconciled", func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(ep), ep); err != nil {
			return err
		}
		if got := *ep.Status.ObservedGeneration; got != ep.Generation {
			return fmt.Errorf("observedGeneration is %d, not %d", got, ep.Generation)
		}
		return nil
	})
}

// resolved waits until an endpoint says why it has its profile, or none, and
// returns what it says.
func resolved(t *testing.T, ep *v1alpha1.WebhookEndpoint, reason string) string {
	t.Helper()
	var message string
	until(t, "ProviderResolved is because of "+reason, func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(ep), ep); err != nil {
			return err
		}
		c := meta.FindStatusCondition(ep.Status.Conditions, v1alpha1.ConditionProviderResolved)
		if c == nil || c.Reason != reason {
			return fmt.Errorf("the condition is %+v", c)
		}
		message = c.Message
		return nil
	})
	return message
}

// uids returns those of the objects of an endpoint, by kind and name.
func uids(t *testing.T, ep *v1alpha1.WebhookEndpoint) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, ref := range desired.Possible(ep.Name) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(ref.GroupVersionKind)
		err := admin.Get(t.Context(), client.ObjectKey{Namespace: ep.Namespace, Name: ref.Name}, u)
		if err == nil && metav1.IsControlledBy(u, ep) {
			out[ref.Kind+"/"+ref.Name] = string(u.GetUID())
		} else if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
			t.Fatal(err)
		}
	}
	return out
}

// holder returns who holds the Lease; "" for nobody.
func holder(ctx context.Context) (string, error) {
	l := &coordinationv1.Lease{}
	err := admin.Get(ctx, client.ObjectKey{Namespace: ownNamespace, Name: lease}, l)
	if apierrors.IsNotFound(err) || (err == nil && l.Spec.HolderIdentity == nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return *l.Spec.HolderIdentity, nil
}

// token returns one of a new ServiceAccount, which may read metrics if may is set.
func token(t *testing.T, name string, may bool) string {
	t.Helper()
	need(t, ownNamespace)
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ownNamespace}}
	lend(t, sa)
	if may {
		user{name: "system:serviceaccount:" + ownNamespace + ":" + name}.grant(t, "", "../config/rbac/metrics/reader_role.yaml")
	}
	request := &authenticationv1.TokenRequest{}
	if err := admin.SubResource("token").Create(t.Context(), sa, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// insecure is for a server whose certificate is of its own making.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}

func get(ctx context.Context, c *http.Client, url, token string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// applies returns how many objects an operator says that it has applied.
func (p *process) applies(token string) int {
	p.t.Helper()
	var code int
	var body string
	until(p.t, "metrics are served", func(ctx context.Context) (err error) { // readiness does not wait for them
		code, body, err = get(ctx, insecure, "https://"+p.metrics+"/metrics", token)
		return err
	})
	if code != http.StatusOK {
		p.t.Fatalf("reading metrics: %d", code)
	}
	sum := 0
	for text := range strings.Lines(body) {
		var n int
		if rest, ok := strings.CutPrefix(text, "fairlead_operator_applies_total{"); ok {
			_, value, _ := strings.Cut(rest, "} ")
			if _, err := fmt.Fscan(bytes.NewReader([]byte(value)), &n); err != nil {
				p.t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}
