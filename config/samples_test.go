package config_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/config/crd"
)

// What samples are warned of on purpose: a Secret is made by the reader and does
// not stand in git, and some providers publish no addresses.
const (
	secretIsMissing = "is not in the files"
	everybodyMay    = "because spec.sources.mode is Observe"
)

// TestSamplesAreRight holds that fairlead validate takes every sample, each for
// itself, and warns of nothing that is not meant.
func TestSamplesAreRight(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, path := range samples(t) {
		f, err := manifest.Load([]string{path}, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		all, err := f.Resolve(now)
		if err != nil || len(all) == 0 || len(f.Skipped) > 0 {
			t.Errorf("%s: %d endpoints, %q passed over: %v", path, len(all), f.Skipped, err)
		}
		for _, r := range all {
			for _, w := range r.Warnings {
				if !strings.Contains(w, secretIsMissing) && !strings.Contains(w, everybodyMay) {
					t.Errorf("%s is warned of: %s", path, w)
				}
			}
		}
	}
}

// TestClusterSamples holds that those samples cover what there is to choose, that
// each can be applied beside the others, and that none holds a Secret.
func TestClusterSamples(t *testing.T) {
	f, err := manifest.Load([]string{"samples/cluster"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Secrets) > 0 {
		t.Errorf("a Secret stands among the samples for a cluster; say how to make it instead")
	}
	used := map[string]map[string]bool{"provider": {}, "exposure": {}, "queue": {}}
	urls := map[string]bool{}
	for _, ep := range f.Endpoints {
		url := ep.Spec.Exposure.Host + ep.Spec.Exposure.Path
		if urls[url] && ep.Spec.Exposure.Host != "" {
			t.Errorf("sample %s has the URL %s of another", ep.Name, url)
		}
		urls[url] = true
		used["provider"][ep.Spec.Provider] = true
		used["exposure"][string(ep.Spec.Exposure.Type)] = true
		used["queue"][string(ep.Spec.Queue.Type)] = true
		checkProxied(t, ep)
	}
	for what, want := range map[string][]string{
		"provider": builtIn(t), "exposure": enum(t, "exposure"), "queue": enum(t, "queue"),
	} {
		for _, v := range want {
			if !used[what][v] {
				t.Errorf("no sample has %s %s; there are %q", what, v, slices.Sorted(maps.Keys(used[what])))
			}
		}
	}
}

// checkProxied holds what an endpoint behind a proxy cannot work without.
func checkProxied(t *testing.T, ep *v1alpha1.WebhookEndpoint) {
	t.Helper()
	e := ep.Spec.Exposure.Type
	if e != v1alpha1.ExposureGateway && e != v1alpha1.ExposureIngress {
		return
	}
	if len(ep.Spec.NetworkPolicy.IngressFrom) == 0 || len(ep.Spec.Sources.TrustedProxies) == 0 {
		t.Errorf("sample %s is behind a proxy; it needs networkPolicy.ingressFrom and sources.trustedProxies", ep.Name)
	}
}

// TestClusterSamplesExplain holds that each says how its Secret is made, that
// sinks are in the cluster, and that README lists the sample.
func TestClusterSamplesExplain(t *testing.T) {
	readme := string(content(t, "README.md"))
	for _, path := range samples(t) {
		if !strings.Contains(readme, "`"+strings.TrimPrefix(path, "samples/")+"`") {
			t.Errorf("README.md does not list %s", path)
		}
		if filepath.Base(filepath.Dir(path)) != "cluster" {
			continue
		}
		text := content(t, path)
		if !bytes.Contains(text, []byte("kubectl create secret generic")) {
			t.Errorf("%s does not say how to make its Secret", path)
		}
		for line := range strings.Lines(string(text)) {
			if url, ok := strings.CutPrefix(strings.TrimSpace(line), "url: "); ok && !strings.Contains(url, ".svc/") {
				t.Errorf("%s: sink %s is not a Service of the cluster", path, url)
			}
		}
	}
}

func samples(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"samples/*.yaml", "samples/cluster/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) < 3 {
			t.Fatalf("found %q for %s: %v", found, pattern, err)
		}
		all = append(all, found...)
	}
	return all
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func builtIn(t *testing.T) []string {
	t.Helper()
	profiles, err := provider.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range profiles {
		names = append(names, p.Name)
	}
	return names
}

// enum returns the values that the CRD lets spec.GROUP.type have.
func enum(t *testing.T, group string) []string {
	t.Helper()
	d, err := crd.Definition("WebhookEndpoint")
	if err != nil {
		t.Fatal(err)
	}
	s := *d.Spec.Versions[0].Schema.OpenAPIV3Schema
	var values []string
	for _, e := range s.Properties["spec"].Properties[group].Properties["type"].Enum {
		var v string
		if err := json.Unmarshal(e.Raw, &v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if len(values) < 2 {
		t.Fatalf("spec.%s.type may be %q; the schema was read wrongly", group, values)
	}
	return values
}
