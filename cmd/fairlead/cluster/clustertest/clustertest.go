// Package clustertest plays an API server for tests of the tool: it has endpoints
// and pods, forwards ports of pods to where a test says, by WebSocket and by SPDY as
// a real one does, and forbids what it is told to.
package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// Server is the API server. Once it serves, its fields are changed by Change.
type Server struct {
	Endpoints []v1alpha1.WebhookEndpoint
	Pods      []corev1.Pod
	// Ports says where a port of a pod is, by POD:PORT. What is not there refuses
	// connections.
	Ports map[string]string
	// Forbidden lists what nobody may do, such as "get pods/portforward".
	Forbidden []string
	// NoWebSocket is an API server, or something before it, that knows none.
	NoWebSocket bool
	// Missing is a cluster without the kinds.
	Missing bool

	mu    sync.Mutex
	conns []httpstream.Connection
	tries []string
}

// Change changes the server, while it may be asked.
func (s *Server) Change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Tried returns how ports were asked for: WebSocket or SPDY.
func (s *Server) Tried() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.tries...)
}

// Break cuts the connections to pods, as an API server does that ends.
func (s *Server) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// Pod returns a receiver's pod that runs and is ready.
func Pod(namespace, name, endpoint string) corev1.Pod {
	return corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: desired.Labels(endpoint)},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: desired.ContainerName, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}},
		},
	}
}

// Kubeconfig returns a kubeconfig for a server at an address, whose context has a
// namespace.
func Kubeconfig(address, namespace string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test, namespace: %q}}]
clusters: [{name: test, cluster: {server: %q}}]
users: [{name: test, user: {token: for-tests}}]
`, namespace, address)
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) == 7 && path[6] == "portforward" {
		s.forward(w, r, path[3], path[5])
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(path) > 2 && path[0] == "apis" && path[1] == v1alpha1.GroupVersion.Group && !s.Missing:
		s.endpoints(w, path[3:])
	case len(path) == 5 && path[4] == "pods":
		s.pods(w, r, path[3])
	default:
		http.NotFound(w, r)
	}
}

// denied answers with 403 if nobody may do it.
func (s *Server) denied(w http.ResponseWriter, verb, resource, name string) bool {
	for _, f := range s.Forbidden {
		if f == verb+" "+resource {
			write(w, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, name, fmt.Errorf("jo may not %s this", verb)))
			return true
		}
	}
	return false
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err, ok := v.(*apierrors.StatusError); ok {
		st := err.Status()
		st.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		w.WriteHeader(int(st.Code))
		v = st
	}
	_ = json.NewEncoder(w).Encode(v)
}

// endpoints answers for …/webhookendpoints, and below namespaces/NS.
func (s *Server) endpoints(w http.ResponseWriter, path []string) {
	namespace, name := "", ""
	if path[0] == "namespaces" {
		namespace, path = path[1], path[2:]
	}
	if len(path) > 1 {
		name = path[1]
	}
	list := v1alpha1.WebhookEndpointList{Items: []v1alpha1.WebhookEndpoint{}}
	for _, ep := range s.Endpoints {
		if ep.Name == name && ep.Namespace == namespace && !s.denied(w, "get", "webhookendpoints", name) {
			write(w, ep)
		}
		if ep.Name == name && ep.Namespace == namespace {
			return
		}
		if namespace == "" || ep.Namespace == namespace {
			list.Items = append(list.Items, ep)
		}
	}
	if name != "" {
		write(w, apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "webhookendpoints"}, name))
		return
	}
	if !s.denied(w, "list", "webhookendpoints", "") {
		write(w, list)
	}
}

func (s *Server) pods(w http.ResponseWriter, r *http.Request, namespace string) {
	if s.denied(w, "list", "pods", "") {
		return
	}
	list := corev1.PodList{Items: []corev1.Pod{}}
	for _, p := range s.Pods {
		if p.Namespace == namespace && matches(p.Labels, r.URL.Query().Get("labelSelector")) {
			list.Items = append(list.Items, p)
		}
	}
	write(w, list)
}

func matches(labels map[string]string, selector string) bool {
	for _, want := range strings.Split(selector, ",") {
		if k, v, _ := strings.Cut(want, "="); labels[k] != v {
			return false
		}
	}
	return true
}

// forward serves a port-forward of a pod.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, namespace, pod string) {
	socket := websocket.IsWebSocketUpgrade(r)
	verb, how := "create", "SPDY"
	if socket {
		verb, how = "get", "WebSocket"
	}
	if !s.admits(w, verb, how, namespace, pod) {
		return
	}
	f := &forwarding{server: s, pod: pod, errors: map[string]httpstream.Stream{}}
	if conn := s.upgrade(w, r, socket, f.stream); conn != nil {
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		<-conn.CloseChan()
	}
}

// admits answers what is not to be forwarded.
func (s *Server) admits(w http.ResponseWriter, verb, how, namespace, pod string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, how)
	switch {
	case s.denied(w, verb, "pods/portforward", pod):
		return false
	case !s.has(namespace, pod):
		write(w, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, pod))
		return false
	case how == "WebSocket" && s.NoWebSocket:
		http.Error(w, "no upgrade", http.StatusBadRequest)
		return false
	}
	return true
}

func (s *Server) has(namespace, pod string) bool {
	for _, p := range s.Pods {
		if p.Namespace == namespace && p.Name == pod {
			return true
		}
	}
	return false
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, socket bool, on httpstream.NewStreamHandler) httpstream.Connection {
	if !socket {
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			return nil
		}
		return spdy.NewResponseUpgrader().UpgradeResponse(w, r, on)
	}
	up := websocket.Upgrader{Subprotocols: []string{"SPDY/3.1+" + portforward.PortForwardProtocolV1Name}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil
	}
	conn, err := spdy.NewServerConnection(portforward.NewTunnelingConnectionWithLogger(klog.FromContext(r.Context()), ws), on)
	if err != nil {
		return nil
	}
	return conn
}

// forwarding is one connection, on which each use of a port has a stream for data
// and one for what goes wrong.
type forwarding struct {
	server *Server
	pod    string

	mu     sync.Mutex
	errors map[string]httpstream.Stream
}

func (f *forwarding) stream(in httpstream.Stream, replied <-chan struct{}) error {
	id := in.Headers().Get(corev1.PortForwardRequestIDHeader)
	f.mu.Lock()
	trouble := f.errors[id]
	if in.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
		f.errors[id] = in
	}
	f.mu.Unlock()
	if in.Headers().Get(corev1.StreamType) == corev1.StreamTypeData {
		go f.copy(in, trouble, replied)
	}
	return nil
}

func (f *forwarding) copy(data, trouble httpstream.Stream, replied <-chan struct{}) {
	<-replied
	defer data.Close()
	defer trouble.Close()
	port := data.Headers().Get(corev1.PortHeader)
	f.server.mu.Lock()
	at, ok := f.server.Ports[f.pod+":"+port]
	f.server.mu.Unlock()
	if !ok {
		fmt.Fprintf(trouble, "failed to connect to localhost:%s inside namespace: dial tcp4 127.0.0.1:%s: connect: connection refused", port, port)
		return
	}
	to, err := new(net.Dialer).DialContext(context.Background(), "tcp", at) // ends with its streams
	if err != nil {
		fmt.Fprint(trouble, err)
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, data)
		_ = to.Close() // the other half ends with it: a client closes when it is done
	}()
	_, _ = io.Copy(data, to)
}
