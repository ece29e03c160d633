package helm

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

var endpointKind = schema.GroupVersionResource{Group: "fairlead.dev", Version: "v1alpha1", Resource: "webhookendpoints"}

// least are values with which the operator has no right in the whole cluster.
const least = "namespaces: [community]\nmetrics: {enabled: false}\nrbac: {readProviders: false, people: false}\nleaderElection: false\nreplicas: 1\n"

// operate installs the chart and starts the operator's program as its Deployment
// says: with those arguments and that environment, and with the token of that
// ServiceAccount. It becomes ready and makes what an endpoint wants, with no right
// but those of the chart.
func operate(t *testing.T, c *cluster, text string) {
	ports := freePorts(t, 2)
	wide := !strings.Contains(text, "namespaces:")
	measured := !strings.Contains(text, "metrics: {enabled: false}")
	text += fmt.Sprintf("probesPort: %d\ncrds: {keep: false}\n", ports[0])
	if measured {
		text += fmt.Sprintf("metrics: {port: %d}\n", ports[1])
	}
	h, before := helm4{c}, c.names(t)
	h.install(t, "", text)
	defer func() {
		h.uninstall(t)
		c.differs(t, before, nil) // or the next would take what is left for its own
	}()
	op := c.start(t, c.operator(t))
	op.ready(t, ports[0])

	c.kubectl(t, []byte(somebodys), "apply", "-f", "-")
	c.kubectl(t, []byte(strings.ReplaceAll(somebodys, "community", "shop")), "apply", "-f", "-")
	until(t, "the endpoint has its Deployment", func(ctx context.Context) error { return c.reconciled(ctx, "community") })
	if wide {
		until(t, "the other endpoint has its Deployment", func(ctx context.Context) error { return c.reconciled(ctx, "shop") })
	}
	if measured {
		c.measured(t, ports[1])
	}
	op.stop(t)
	if _, err := c.client.AppsV1().Deployments("shop").Get(t.Context(), "chat-receiver", metav1.GetOptions{}); wide == apierrors.IsNotFound(err) {
		t.Errorf("an endpoint in the namespace shop: %v; all are served: %t", err, wide)
	}
}

// freePorts returns ports that nobody listens at. (A pod has all of them to itself;
// this machine has not.)
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// A process is an operator that runs.
type process struct {
	cmd *exec.Cmd
	log bytes.Buffer // read when it has ended
}

// start runs what the first container of a Deployment is to run.
func (c *cluster) start(t *testing.T, d *appsv1.Deployment) *process {
	t.Helper()
	pod := d.Spec.Template.Spec
	p := &process{cmd: exec.CommandContext(t.Context(), program(t, "./controllers"), pod.Containers[0].Args...)}
	p.cmd.Env = append(environ(t, d), "KUBECONFIG="+c.as(t, pod.ServiceAccountName))
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			t.Logf("the operator's log:\n%s", &p.log)
		}
	})
	return p
}

// environ is that of the container, and nothing else.
func environ(t *testing.T, d *appsv1.Deployment) []string {
	t.Helper()
	var env []string
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		value := e.Value
		if e.ValueFrom != nil {
			if e.ValueFrom.FieldRef == nil || e.ValueFrom.FieldRef.FieldPath != "metadata.namespace" {
				t.Fatalf("this test does not know where %s is from", e.Name)
			}
			value = d.Namespace
		}
		env = append(env, e.Name+"="+value)
	}
	return env
}

// as writes a kubeconfig for a ServiceAccount of the release's namespace.
func (c *cluster) as(t *testing.T, account string) string {
	t.Helper()
	cfg, err := clientcmd.LoadFromFile(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name := range cfg.AuthInfos {
		cfg.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: c.token(t, account)}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *cluster) token(t *testing.T, account string) string {
	t.Helper()
	got, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.Token
}

// ready waits until the readiness probe would succeed.
func (p *process) ready(t *testing.T, port int) {
	t.Helper()
	until(t, "the operator is ready", func(ctx context.Context) error {
		return answers(ctx, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/readyz", port), "", http.StatusOK)
	})
}

func answers(ctx context.Context, client *http.Client, url, token string, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("the answer is %d, want %d", resp.StatusCode, want)
	}
	return nil
}

// stop ends the operator as the kubelet does, and fails if it had been refused
// anything.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the operator ended with %v; its log:\n%s", err, &p.log)
	}
	for line := range strings.Lines(p.log.String()) {
		var entry struct{ Level, Err string }
		err := json.Unmarshal([]byte(line), &entry)
		ending := entry.Err == "leader election lost" || strings.HasSuffix(entry.Err, "context canceled")
		if err != nil || entry.Level == "ERROR" && !ending || strings.Contains(line, "orbidden") {
			t.Errorf("the log has %s", line)
		}
	}
}

// reconciled returns nil when the operator has seen to the endpoint chat.
func (c *cluster) reconciled(ctx context.Context, ns string) error {
	if _, err := c.client.AppsV1().Deployments(ns).Get(ctx, "chat-receiver", metav1.GetOptions{}); err != nil {
		return err
	}
	ep, err := c.dynamic.Resource(endpointKind).Namespace(ns).Get(ctx, "chat", metav1.GetOptions{})
	if err != nil {
		return err
	}
	status, _ := ep.Object["status"].(map[string]any)
	if status["observedGeneration"] != ep.GetGeneration() {
		return fmt.Errorf("the status is of generation %v, not %d", status["observedGeneration"], ep.GetGeneration())
	}
	return nil
}

// measured holds that metrics are for those alone whom the chart's role lets read
// them.
func (c *cluster) measured(t *testing.T, port int) {
	t.Helper()
	for _, name := range []string{"prometheus", "somebody"} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
		if _, err := c.client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		defer c.kubectl(t, nil, "-n", namespace, "delete", "serviceaccount", name)
	}
	c.kubectl(t, nil, "create", "clusterrolebinding", "prometheus", "--clusterrole=fairlead-metrics-reader", "--serviceaccount="+namespace+":prometheus")
	defer c.kubectl(t, nil, "delete", "clusterrolebinding", "prometheus")
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	defer insecure.CloseIdleConnections()
	url := fmt.Sprintf("https://127.0.0.1:%d/metrics", port)
	check := func(what, token string, want int) {
		t.Helper()
		until(t, what, func(ctx context.Context) error { return answers(ctx, insecure, url, token, want) })
	}
	check("nobody is refused", "", http.StatusUnauthorized)
	check("who has no role is refused", c.token(t, "somebody"), http.StatusForbidden)
	check("who has the role is answered", c.token(t, "prometheus"), http.StatusOK)
}
