package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// volumeClass is the storage class of the tests' volumes: folders of the node, as
// a static provisioner makes them of disks.
const volumeClass = "e2e-local"

const volumeManifest = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: e2e-local}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: NAME, labels: {e2e: NAMESPACE}}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: e2e-local
  local: {path: DIR}
  claimRef: {namespace: NAMESPACE, name: CLAIM}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: Exists}]}]}}
`

// volumes returns what makes a volume for each of an endpoint's receivers. The
// volumes go when the test ends; the namespace is to be made after this call, so
// that it goes first.
func (r *rig) volumes(t *testing.T, namespace string) func(endpoint string, replicas int) {
	t.Helper()
	dir := t.TempDir() // it goes after the cleanup
	t.Cleanup(func() {
		run(t, "", "kubectl", "wait", "--for=delete", "pods", "--all", "-n", namespace, "--timeout=180s")
		run(t, "", "kubectl", "delete", "persistentvolumes", "-l", "e2e="+namespace)
	})
	return func(endpoint string, replicas int) {
		for i := range replicas {
			claim := fmt.Sprintf("data-%s-receiver-%d", endpoint, i)
			path := filepath.Join(dir, claim)
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			r.apply(t, strings.NewReplacer("NAMESPACE", namespace, "NAME", namespace+"-"+claim, "CLAIM", claim, "DIR", path).Replace(volumeManifest))
		}
	}
}

// kill ends a container's process from the node, as a lack of memory would. It
// returns when the process is gone.
func kill(t *testing.T, pod *corev1.Pod, program string) {
	t.Helper()
	pids := processes(t, pod, program)
	if len(pids) != 1 {
		t.Fatalf("pod %q has %d processes of %s", pod.Name, len(pids), program)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, "the end of a process", func(context.Context) error {
		if err := syscall.Kill(pids[0], 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
}

// processes are the processes of a program in a pod, by their groups: each group
// has the pod's uid in its name.
func processes(t *testing.T, pod *corev1.Pod, program string) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, dir := range dirs {
		groups, err := os.ReadFile(filepath.Join(dir, "cgroup"))
		if err != nil || !bytes.Contains(groups, []byte("pod"+pod.UID)) {
			continue // it may have ended meanwhile
		}
		if exe, err := os.Readlink(filepath.Join(dir, "exe")); err != nil || filepath.Base(exe) != program {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// evict asks for a pod's eviction as kubectl drain does. It reports whether the
// disruption budget let it.
func (r *rig) evict(t *testing.T, pod *corev1.Pod) bool {
	t.Helper()
	err := r.kube.SubResource("eviction").Create(t.Context(), pod, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
	if err != nil && !apierrors.IsTooManyRequests(err) {
		t.Fatalf("evicting %q: %v", pod.Name, err)
	}
	return err == nil
}

// delete deletes a pod as kubectl does, and does not wait for it.
func (r *rig) delete(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if err := r.kube.Delete(t.Context(), pod); client.IgnoreNotFound(err) != nil {
		t.Fatalf("deleting %q: %v", pod.Name, err)
	}
}

// cluster has the cluster's script do something.
func (r *rig) cluster(t *testing.T, args ...string) {
	t.Helper()
	run(t, "", filepath.Join(r.source, "hack", "cluster", "cp.sh"), args...)
}
