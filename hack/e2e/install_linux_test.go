package e2e

import (
	"testing"
)

// operatorLabels are the labels by which the operator's pods are found.
func operatorLabels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": operatorName}
}

// tryInstall installs the release that the other scenarios need.
func tryInstall(t *testing.T, r *rig) {
	r.must(t, "helm install with the images of this revision and default values: two operators Ready, in a namespace that enforces restricted Pod Security", func(t *testing.T, line *row) {
		r.systemNamespace(t)
		line.note("helm waited %s", seconds(took(func() { r.install(t) })))
		ready := 0
		for _, p := range r.pods(t, systemNamespace, operatorLabels()) {
			for _, c := range p.Status.ContainerStatuses {
				if c.Ready && c.RestartCount == 0 {
					ready++
				}
			}
		}
		if ready != 2 {
			r.keep(t, systemNamespace)
			t.Errorf("%d operators are ready without a restart, want 2", ready)
		}
	})
}

// systemNamespace makes the namespace of the release, if it is not there.
func (r *rig) systemNamespace(t testing.TB) {
	t.Helper()
	r.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+systemNamespace+", labels: {pod-security.kubernetes.io/enforce: restricted}}")
}
