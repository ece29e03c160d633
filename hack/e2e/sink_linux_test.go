package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

// recorderImage is the sink's; run.sh packs it.
const recorderImage = testRegistry + "/recorder:" + imageTag

// sink is a recorder in a pod: each path of it is a sink of its own.
type sink struct {
	namespace, name string
	// url is what a manifest says; the cluster's DNS knows it.
	url string
	// address is where the tests, which are on the node, reach it.
	address string
}

const sinkManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, labels: {app: NAME}}
spec:
  selector: {matchLabels: {app: NAME}}
  strategy: {type: Recreate}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: NAME
        image: IMAGE
        imagePullPolicy: Never
        args: ARGS
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: NAME, labels: {app: NAME}}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: http}]
`

// service runs an image as a Deployment with a Service of the same name, and waits
// until it is there.
func (r *rig) service(t testing.TB, namespace, name, image string, args ...string) {
	t.Helper()
	list, err := json.Marshal(append([]string{}, args...))
	if err != nil {
		t.Fatal(err)
	}
	manifest := strings.NewReplacer("NAME", name, "IMAGE", image, "ARGS", string(list)).Replace(sinkManifest)
	run(t, manifest, "kubectl", "apply", "--server-side", "-n", namespace, "-f", "-")
	run(t, "", "kubectl", "rollout", "status", "-n", namespace, "deployment/"+name, "--timeout=120s")
}

// sink starts a recorder.
func (r *rig) sink(t testing.TB, namespace, name string) *sink {
	t.Helper()
	r.service(t, namespace, name, recorderImage)
	var s corev1.Service
	if err := r.kube.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &s); err != nil {
		t.Fatal(err)
	}
	return &sink{namespace: namespace, name: name, url: "http://" + name + "." + namespace + ".svc", address: "http://" + s.Spec.ClusterIP}
}

// events are all that has arrived at a path, bodies included.
func (s *sink) events(ctx context.Context, path string) ([]record.Event, error) {
	var all []record.Event
	for since := 0; ; {
		var p record.Page
		if err := getJSON(ctx, fmt.Sprintf("%s/events?path=%s&since=%d", s.address, path, since), &p); err != nil {
			return nil, fmt.Errorf("asking sink %q: %w", s.name, err)
		}
		all = append(all, p.Events...)
		if p.Next <= since {
			return all, nil
		}
		since = p.Next
	}
}

// mode has the sink answer otherwise.
func (s *sink) mode(t testing.TB, m record.Mode) {
	t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.address+"/mode", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("setting the mode of sink %q: status %d", s.name, resp.StatusCode)
	}
}

var errStatus = errors.New("unexpected status")

// getJSON reads a page.
func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w %d", errStatus, resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
