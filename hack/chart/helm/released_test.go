package helm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/engine"
)

// TestReuseValues renders the chart as `helm upgrade --reuse-values` does: with the
// values of an earlier version in place of its own, so that what is new is absent.
// testdata/released has the values.yaml of each version; a release adds its own.
func TestReuseValues(t *testing.T) {
	paths, err := filepath.Glob("testdata/released/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d versions: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c := load(t)
			c.Values = values(t, string(data))
			options := common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 2, IsUpgrade: true}
			all, err := util.ToRenderValues(c, nil, options, nil)
			if err != nil {
				t.Fatal(err)
			}
			files, err := engine.Render(c, all)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parse(files); err != nil {
				t.Error(err)
			}
		})
	}
}
