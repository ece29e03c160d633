package helm

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// render3 returns the files that Helm 3 makes of the chart.
func render3(t *testing.T, text string, kinds ...string) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.APIVersions = slices.Concat(caps.APIVersions, kinds)
	caps.KubeVersion = chartutil.KubeVersion{Version: "v1.37.2", Major: "1", Minor: "37"}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values(t, text), options, caps)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// TestHelm3 holds that Helm 3 makes the same of every case as Helm 4, to the byte.
func TestHelm3(t *testing.T) {
	for _, name := range cases(t) {
		for _, kinds := range [][]string{nil, {monitors}} {
			text := valuesOf(t, name)
			want, err := files(t, release, text, kinds...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := render3(t, text, kinds...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s with kinds %v (-Helm 4 +Helm 3):\n%s", name, kinds, diff)
			}
		}
	}
}

// TestHelm3Refuses holds that Helm 3 refuses what Helm 4 does, each by its own
// reading of the schema.
func TestHelm3Refuses(t *testing.T) {
	for _, text := range refused {
		if _, err := render3(t, text); err == nil {
			t.Errorf("%s: nothing is said of it", text)
		}
	}
}
