package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/cluster/clustertest"
)

// playCluster plays a cluster for a script: endpoints chat and idle in namespace
// community, of which the first has two receivers, which are at $ADMIN and $ADMIN2.
func playCluster(e *testscript.Env) error {
	s := &clustertest.Server{
		Endpoints: []v1alpha1.WebhookEndpoint{playedEndpoint("chat", metav1.ConditionTrue), playedEndpoint("idle", metav1.ConditionFalse)},
		Pods:      []corev1.Pod{clustertest.Pod("community", "chat-receiver-a", "chat"), clustertest.Pod("community", "chat-receiver-b", "chat")},
		Ports: map[string]string{
			"chat-receiver-a:8081": e.Getenv("ADMIN"), "chat-receiver-a:9090": e.Getenv("ADMIN"),
			"chat-receiver-b:8081": e.Getenv("ADMIN2"), "chat-receiver-b:9090": e.Getenv("ADMIN2"),
		},
	}
	api := httptest.NewServer(s)
	e.Defer(api.Close)
	e.Defer(s.Break)
	e.Values["cluster"] = s
	file := filepath.Join(e.WorkDir, "kubeconfig")
	e.Setenv("KUBECONFIG", file)
	return os.WriteFile(file, clustertest.Kubeconfig(api.URL, "community"), 0o600)
}

func playedEndpoint(name string, ready metav1.ConditionStatus) v1alpha1.WebhookEndpoint {
	ep := v1alpha1.WebhookEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "community", Name: name, Generation: 1},
		Spec:       v1alpha1.WebhookEndpointSpec{Provider: "stream-chat"},
		Status: &v1alpha1.WebhookEndpointStatus{
			ObservedGeneration: ptr.To[int64](1), SourceRangeCount: ptr.To[int32](3), URL: "https://hooks.example.com/hooks",
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionSinksReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSinkFailing, Message: "Sink app answers with 400"},
				{Type: v1alpha1.ConditionReady, Status: ready, Reason: v1alpha1.ReasonAvailable, Message: "All is well"},
			},
		},
	}
	if ready != metav1.ConditionTrue {
		for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionAvailable} {
			ep.Status.Conditions = append(slices.DeleteFunc(ep.Status.Conditions, func(c metav1.Condition) bool { return c.Type == kind }),
				metav1.Condition{Type: kind, Status: ready, Reason: v1alpha1.ReasonNoReceivers, Message: "No receiver is ready"})
		}
	}
	return ep
}

// changeCluster changes the cluster of a script:
//
//	cluster forbid VERB RESOURCE, cluster allow
//	cluster crash POD, cluster run POD
//	cluster close POD:PORT
func changeCluster(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("cluster").(*clustertest.Server)
	s.Change(func() { change(ts, s, args[0], strings.Join(args[1:], " ")) })
}

func change(ts *testscript.TestScript, s *clustertest.Server, what, arg string) {
	switch what {
	case "forbid":
		s.Forbidden = append(s.Forbidden, arg)
	case "allow":
		s.Forbidden = nil
	case "close":
		delete(s.Ports, arg)
	case "crash", "run":
		i := slices.IndexFunc(s.Pods, func(p corev1.Pod) bool { return p.Name == arg })
		s.Pods[i] = clustertest.Pod(s.Pods[i].Namespace, arg, "chat")
		if what == "crash" {
			s.Pods[i].Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		}
	default:
		ts.Fatalf("cluster %s?", what)
	}
}
