package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// previousVariable is the folder of the previous version: its chart, and in the
// file revision its name. run.sh makes it, and packs its images with the tag previous.
const previousVariable = "FAIRLEAD_E2E_PREVIOUS"

const previousTag = "previous"

// tryUpgrade holds that nothing is lost or refused when a user upgrades to this
// version, and when she thinks better of it. Both types of queues take part.
func tryUpgrade(t *testing.T, r *rig) {
	chart := filepath.Join(os.Getenv(previousVariable), "charts", "fairlead")
	revision, err := os.ReadFile(filepath.Join(os.Getenv(previousVariable), "revision"))
	if err != nil {
		t.Fatalf("there is no previous version; run the tests by make e2e: %v", err)
	}
	r.helm(t, append([]string{"upgrade", "--install", release, chart, "--wait", "--timeout=120s"}, imageValues(previousTag)...)...)
	t.Cleanup(func() { r.install(t) }) // what comes next is to have this version
	w := newWorld(t, r, "e2e-upgrade", "192.0.2.5", v1alpha1.QueueEphemeral, v1alpha1.QueuePersistent)
	w.run(t, previousTag)
	w.through(t, "helm upgrade from the previous version to this one", false, func(t *testing.T, line *row, log *timeline) {
		log.begin("helm upgrade")
		line.note("from %s; helm waited %s", bytes.TrimSpace(revision), seconds(took(func() { r.install(t) })))
		line.note("then receivers of this version after %s", seconds(took(func() { w.run(t, imageTag) })))
	})
	w.through(t, "helm rollback to the previous version", false, func(t *testing.T, line *row, log *timeline) {
		log.begin("helm rollback")
		line.note("helm waited %s", seconds(took(func() { r.helm(t, "rollback", release, "--wait", "--timeout=120s") })))
		line.note("then receivers of the previous version after %s", seconds(took(func() { w.run(t, previousTag) })))
	})
}

// run waits until each endpoint has two receivers, ready, with images of a tag, and
// no other.
func (w *world) run(t *testing.T, tag string) {
	t.Helper()
	w.each(func(p *play) {
		eventually(t, long, fmt.Sprintf("receivers of %s with tag %s", p.k, tag), func(context.Context) error {
			ready := 0
			for _, pod := range w.receivers(t, p) {
				if image := pod.Spec.Containers[0].Image; filepath.Base(image) != "receiver:"+tag || !isReady(&pod) {
					return fmt.Errorf("%s has image %s, ready %t", pod.Name, image, isReady(&pod))
				}
				ready++
			}
			if ready != 2 {
				return fmt.Errorf("there are %d", ready)
			}
			return nil
		})
	})
}
