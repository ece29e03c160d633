package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/cluster"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/cluster/clustertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// For a second after a connection has ended, this offers its error to whoever
		// might ask.
		goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"),
		// This waits for half a minute for a stream on a connection that has ended.
		goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Stream).WaitTimeout"),
		goleak.IgnoreTopFunction("github.com/fairlead-dev/fairlead/cmd/fairlead/cluster.(*Tunnel).open.func2"))
}

// connect returns a client of a server that a test plays, and a context.
func connect(t *testing.T, s *clustertest.Server) (*cluster.Client, context.Context) {
	t.Helper()
	api := httptest.NewServer(s)
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, clustertest.Kubeconfig(api.URL, "community"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := flags(t, "--kubeconfig", file).Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, t.Context()
}

func flags(t *testing.T, args ...string) *cluster.Flags {
	t.Helper()
	f, fs := new(cluster.Flags), pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.Register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func endpoint(namespace, name string) v1alpha1.WebhookEndpoint {
	return v1alpha1.WebhookEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// echo answers each connection with what it is sent, until that ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v, want %q", got, err, text)
	}
}

func TestTunnel(t *testing.T) {
	for name, tt := range map[string]struct {
		noWebSocket bool
		forbidden   []string
		want        []string
	}{
		"WebSocket":          {false, nil, []string{"WebSocket"}},
		"SPDY":               {true, nil, []string{"WebSocket", "SPDY"}},
		"role without `get`": {false, []string{"get pods/portforward"}, []string{"WebSocket", "SPDY"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &clustertest.Server{Pods: []corev1.Pod{clustertest.Pod("community", "one", "chat")}, NoWebSocket: tt.noWebSocket,
				Forbidden: tt.forbidden, Ports: map[string]string{"one:8081": echo(t)}}
			c, ctx := connect(t, s)
			tunnel := c.Tunnel("one")
			defer tunnel.Close()
			a, err := tunnel.Dial(ctx, 8081)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			b, err := tunnel.Dial(ctx, 8081) // by the same connection
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			say(t, a, "to the one")
			say(t, b, strings.Repeat("to the other", 100_000))
			say(t, a, "and once more")
			if diff := cmp.Diff(tt.want, s.Tried()); diff != "" {
				t.Errorf("how it was tried (-want +got):\n%s", diff)
			}
		})
	}
}

// A port where nothing listens is said to be one.
func TestTunnelToNobody(t *testing.T) {
	s := &clustertest.Server{Pods: []corev1.Pod{clustertest.Pod("community", "one", "chat")}}
	c, ctx := connect(t, s)
	tunnel := c.Tunnel("one")
	defer tunnel.Close()
	conn, err := tunnel.Dial(ctx, 8081)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err = conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), `nothing listens on port 8081 of pod "one"`) {
		t.Errorf("got %v", err)
	}
}

// A connection that breaks is said to be lost, and made anew when it is needed.
func TestTunnelBreaks(t *testing.T) {
	s := &clustertest.Server{Pods: []corev1.Pod{clustertest.Pod("community", "one", "chat")}, Ports: map[string]string{"one:1": echo(t)}}
	c, ctx := connect(t, s)
	tunnel := c.Tunnel("one")
	defer tunnel.Close()
	conn, err := tunnel.Dial(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say(t, conn, "before")
	s.Break()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("read something of a broken connection")
	}
	again, err := tunnel.Dial(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	say(t, again, "after")
}

func TestTunnelRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		forbidden []string
		pod, want string
	}{
		"forbidden": {[]string{"get pods/portforward", "create pods/portforward"}, "one",
			`resources: [pods/portforward], verbs: [create, get]}; ClusterRole fairlead-receiver-admin has it`},
		"gone": {nil, "two", `pod "two": it is not there any more`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &clustertest.Server{Pods: []corev1.Pod{clustertest.Pod("community", "one", "chat")}, Forbidden: tt.forbidden}
			c, ctx := connect(t, s)
			tunnel := c.Tunnel(tt.pod)
			defer tunnel.Close()
			if _, err := tunnel.Dial(ctx, 1); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

// TestImpersonated holds that a port is forwarded as whom the flags say, and not as
// the one whose kubeconfig it is.
func TestImpersonated(t *testing.T) {
	for name, noWebSocket := range map[string]bool{"WebSocket": false, "SPDY": true} {
		t.Run(name, func(t *testing.T) {
			s := &clustertest.Server{Pods: []corev1.Pod{clustertest.Pod("community", "one", "chat")}, NoWebSocket: noWebSocket, Ports: map[string]string{"one:1": echo(t)}}
			var asked atomic.Int64
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				as := []string{r.Header.Get("Impersonate-User"), strings.Join(r.Header.Values("Impersonate-Group"), ","), r.Header.Get("Impersonate-Uid")}
				if diff := cmp.Diff([]string{"jo", "support,staff", "7"}, as); diff != "" {
					t.Errorf("%s %s (-want +got):\n%s", r.Method, r.URL.Path, diff)
				}
				s.ServeHTTP(w, r)
			}))
			defer api.Close()
			file := filepath.Join(t.TempDir(), "kubeconfig")
			if err := os.WriteFile(file, clustertest.Kubeconfig(api.URL, "community"), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := flags(t, "--kubeconfig", file, "--as", "jo", "--as-group", "support", "--as-group", "staff", "--as-uid", "7").Connect("test")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Pods(t.Context(), "chat"); err != nil {
				t.Fatal(err)
			}
			tunnel := c.Tunnel("one")
			defer tunnel.Close()
			conn, err := tunnel.Dial(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			say(t, conn, "hello")
			if asked.Load() < 2 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
}

func TestTunnelStops(t *testing.T) {
	stop := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop })) // answers never
	defer api.Close()
	defer close(stop)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, clustertest.Kubeconfig(api.URL, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := flags(t, "--kubeconfig", file).Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Tunnel("one").Dial(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was stopped", err)
	}
}

func TestReceivers(t *testing.T) {
	ended := clustertest.Pod("community", "b", "chat")
	ended.Status.Phase = corev1.PodFailed
	s := &clustertest.Server{
		Endpoints: []v1alpha1.WebhookEndpoint{endpoint("community", "chat"), endpoint("community", "idle")},
		Pods: []corev1.Pod{clustertest.Pod("community", "c", "chat"), ended, clustertest.Pod("community", "a", "chat"),
			clustertest.Pod("community", "d", "orders"), clustertest.Pod("shop", "e", "chat")},
	}
	c, ctx := connect(t, s)
	pods, err := c.Receivers(ctx, "chat")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range pods {
		got = append(got, pods[i].Name)
	}
	if diff := cmp.Diff([]string{"a", "c"}, got); diff != "" {
		t.Errorf("receivers (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"idle": `endpoint "idle" has no receiver: no operator has seen it`,
		"chta": `there is no endpoint "chta" in namespace "community"; there are: chat, idle`,
	} {
		if _, err := c.Receivers(ctx, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to say %q", name, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		server *clustertest.Server
		want   string
	}{
		"pods":            {&clustertest.Server{Forbidden: []string{"list pods"}}, `listing pods: pods is forbidden: jo may not list this. The right that is missing is {apiGroups: [""], resources: [pods], verbs: [list]}; ClusterRole fairlead-receiver-admin has it`},
		"endpoint unseen": {&clustertest.Server{Endpoints: []v1alpha1.WebhookEndpoint{endpoint("community", "chat")}, Forbidden: []string{"get webhookendpoints"}}, `you may not see whether there is such an endpoint`},
		"none at all":     {&clustertest.Server{}, `there is no endpoint "chat" in namespace "community"; there is none at all`},
		"not installed":   {&clustertest.Server{Missing: true}, cluster.ErrNotInstalled.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			c, ctx := connect(t, tt.server)
			if _, err := c.Receivers(ctx, "chat"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

// TestRefusedToList holds that nobody is told to let somebody into every pod of the
// cluster who wants to list endpoints.
func TestRefusedToList(t *testing.T) {
	c, ctx := connect(t, &clustertest.Server{Forbidden: []string{"list webhookendpoints"}})
	for namespace, want := range map[string]string{
		"":     "kubectl create clusterrolebinding NAME --clusterrole=fairlead-endpoint-viewer --user=USER",
		"shop": "kubectl -n shop create rolebinding NAME --clusterrole=fairlead-receiver-admin --user=USER",
	} {
		if _, err := c.Endpoints(ctx, namespace); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", namespace, err, want)
		}
	}
}

func TestNoServer(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	api.Close()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, clustertest.Kubeconfig(api.URL, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := flags(t, "--kubeconfig", file, "-n", "shop").Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Namespace != "shop" {
		t.Errorf("namespace %q, want the flag's", c.Namespace)
	}
	if _, err := c.Pods(t.Context(), "chat"); err == nil || !strings.Contains(err.Error(), "the API server at "+api.URL+" cannot be reached") {
		t.Errorf("got %v", err)
	}
}

func TestNoKubeconfig(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := flags(t).Connect("test"); !errors.Is(err, cluster.ErrNoCluster) {
		t.Errorf("got %v, want ErrNoCluster", err)
	}
}

func TestMute(t *testing.T) {
	state := func(s corev1.ContainerState) corev1.Pod {
		p := clustertest.Pod("a", "b", "c")
		p.Status.ContainerStatuses[0].State = s
		return p
	}
	unscheduled := corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending,
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}}}
	evicted := corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}}
	for name, tt := range map[string]struct {
		pod  corev1.Pod
		want string
	}{
		"running":     {clustertest.Pod("a", "b", "c"), ""},
		"crashing":    {state(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m"}}), "its receiver does not run (CrashLoopBackOff): back-off 5m"},
		"ended":       {state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled"}}), "its receiver has ended (OOMKilled)"},
		"unscheduled": {unscheduled, "the pod has no node yet (Unschedulable): 0/1 nodes are available"},
		"new":         {corev1.Pod{}, "the pod has not started yet"},
		"evicted":     {evicted, "the pod has ended (Evicted)"},
	} {
		if got := cluster.Mute(&tt.pod); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestFlagNames holds that flags are named as kubectl's are.
func TestFlagNames(t *testing.T) {
	for _, arg := range []string{"--namespace=a", "--context=a", "--kubeconfig=a", "--cluster=a", "--user=a", "--as=a", "--as-group=a", "--as-uid=a", "--request-timeout=1s"} {
		if got, want := flags(t, arg).Given(), strings.Split(arg, "=")[0]; got != want {
			t.Errorf("%s: got %q, want %q", arg, got, want)
		}
	}
	if got := flags(t).Given(); got != "" {
		t.Errorf("without any: got %q", got)
	}
}

func ExampleNoEndpointError() {
	fmt.Println(&cluster.NoEndpointError{Namespace: "community", Name: "chta", Others: []string{"chat"}})
	// Output: there is no endpoint "chta" in namespace "community"; there are: chat
}
