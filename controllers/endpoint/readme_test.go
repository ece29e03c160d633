package endpoint_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// TestMetricsAreListed holds that controllers/README.md names the operator's
// metrics, and no others.
func TestMetricsAreListed(t *testing.T) {
	op := start(t)
	ep := chat(namespace(t))
	create(t, ep)
	rollOut(t, ep)
	op.pod(t, ep, "one", "10.5.0.1", fine)
	is(t, ep, "SecretReady", yes, "SecretsUsable")
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(fairlead_operator_[a-z_]+)`").FindAllSubmatch(readme, -1) {
		listed = append(listed, string(m[1]))
	}
	descs := make(chan *prometheus.Desc)
	go func() { op.registry.Describe(descs); close(descs) }()
	var shown []string
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range descs {
		shown = append(shown, name.FindStringSubmatch(d.String())[1])
	}
	slices.Sort(shown)
	if diff := cmp.Diff(slices.Compact(shown), listed, sorted); diff != "" {
		t.Errorf("controllers/README.md and the metrics differ (-shown +README):\n%s", diff)
	}
}
