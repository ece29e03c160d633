package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// update is where the table goes, besides the output.
var update = flag.String("table", "", "file whose table is to be replaced, such as hack/e2e/README.md")

// TestMain runs the tests only where `make e2e` has made a cluster for them.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(modeVariable) == "" {
		fmt.Println("a real cluster is NOT tried here: make e2e or make e2e-short does (hack/e2e/README.md)")
		return
	}
	os.Exit(m.Run())
}

// scenario is one of the things that are tried, in order, with one cluster.
type scenario struct {
	name string
	// short says whether `make e2e-short` tries it too.
	short bool
	try   func(*testing.T, *rig)
}

// scenarios are all of them. The first begins with nothing and leaves nothing; of
// the rest the first installs, the last uninstalls, and each of the others makes the
// namespaces and endpoints that it needs.
func scenarios() []scenario {
	return []scenario{
		{"readme", true, tryReadme},
		{"install", true, tryInstall},
		{"sources", true, trySources},
		{"intake", true, tryIntake},
		{"cut", false, tryCut},
		{"rotation", false, tryRotation},
		{"loss-ephemeral", true, tryLossEphemeral},
		{"loss-persistent", false, tryLossPersistent},
		{"tool", false, tryTool},
		{"upgrade", false, tryUpgrade},
		{"release", false, tryRelease},
		{"namespaces", false, tryNamespaces},
		{"kustomize", false, tryKustomize},
		{"uninstall", true, tryUninstall},
	}
}

// TestE2E runs the scenarios and prints what they have shown. One alone runs with
// -test.run 'TestE2E/^sources$', if the release is there already.
func TestE2E(t *testing.T) {
	r := newRig(t)
	t.Cleanup(func() { r.report.finish(t, *update) })
	for _, s := range scenarios() {
		if s.short || !r.short {
			t.Run(s.name, func(t *testing.T) { s.try(t, r) })
		}
	}
}
