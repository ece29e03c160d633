package gitops

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	samplesDir = "../../config/gitops"
	chartDir   = "../../charts/fairlead"
)

// application is what of Argo CD's Application the samples may use. Its own module is
// too heavy to be taken for this; the fields are those of its documentation.
type application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Project     string `json:"project"`
		Destination struct {
			Server    string `json:"server"`
			Namespace string `json:"namespace"`
		} `json:"destination"`
		Source struct {
			RepoURL        string `json:"repoURL"`
			Path           string `json:"path,omitempty"`
			Chart          string `json:"chart,omitempty"`
			TargetRevision string `json:"targetRevision"`
			Helm           struct {
				ReleaseName  string         `json:"releaseName"`
				ValuesObject map[string]any `json:"valuesObject"`
			} `json:"helm"`
		} `json:"source"`
		SyncPolicy struct {
			Automated struct {
				Prune    bool `json:"prune"`
				SelfHeal bool `json:"selfHeal"`
			} `json:"automated"`
			SyncOptions []string `json:"syncOptions"`
		} `json:"syncPolicy"`
	} `json:"spec"`
}

// kinds are the types that the samples are made of.
func kinds() map[string]func() any {
	return map[string]func() any{
		"v1 Namespace": func() any { return &corev1.Namespace{} },
		"v1 ConfigMap": func() any { return &corev1.ConfigMap{} },
		"source.toolkit.fluxcd.io/v1 OCIRepository":    func() any { return &sourcev1.OCIRepository{} },
		"source.toolkit.fluxcd.io/v1 GitRepository":    func() any { return &sourcev1.GitRepository{} },
		"helm.toolkit.fluxcd.io/v2 HelmRelease":        func() any { return &helmv2.HelmRelease{} },
		"kustomize.toolkit.fluxcd.io/v1 Kustomization": func() any { return &kustomizev1.Kustomization{} },
		"argoproj.io/v1alpha1 Application":             func() any { return &application{} },
	}
}

// samples decodes every document below config/gitops, and fails for what its kind
// does not have.
func samples(t *testing.T) map[string]any {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(samplesDir, "*", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("found %q: %v", files, err)
	}
	out := map[string]any{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(text), "\n---\n") {
			var head metav1.PartialObjectMetadata
			if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			name := head.APIVersion + " " + head.Kind
			empty, ok := kinds()[name]
			if !ok {
				t.Errorf("%s: nothing is known of %s", file, name)
				continue
			}
			object := empty()
			if err := yaml.UnmarshalStrict([]byte(doc), object); err != nil {
				t.Errorf("%s: %s: %v", file, name, err)
			}
			out[filepath.Base(filepath.Dir(file))+"/"+head.Kind+"/"+head.Name] = object
		}
	}
	return out
}

func sample[T any](t *testing.T, all map[string]any, name string) T {
	t.Helper()
	object, ok := all[name].(T)
	if !ok {
		t.Fatalf("there is no sample %s", name)
	}
	return object
}

// chart is what of Chart.yaml matters here.
func chart(t *testing.T) (version string, values map[string]any) {
	t.Helper()
	version, _ = read(t, filepath.Join(chartDir, "Chart.yaml"))["version"].(string)
	return version, read(t, filepath.Join(chartDir, "values.yaml"))
}

// TestFluxSamples holds that Flux takes the samples, that they fit together, and that
// they wait for endpoints.
func TestFluxSamples(t *testing.T) {
	all := samples(t)
	version, values := chart(t)
	repo := sample[*sourcev1.OCIRepository](t, all, "flux/OCIRepository/fairlead")
	if minor := version[:strings.LastIndexByte(version, '.')] + ".x"; repo.Spec.Reference.SemVer != minor {
		t.Errorf("the sample takes chart %s, and the chart is %s", repo.Spec.Reference.SemVer, version)
	}
	release := sample[*helmv2.HelmRelease](t, all, "flux/HelmRelease/fairlead")
	if ref := release.Spec.ChartRef; ref == nil || ref.Kind != "OCIRepository" || ref.Name != repo.Name || release.Namespace != repo.Namespace {
		t.Errorf("the release's chart is %+v", release.Spec.ChartRef)
	}
	var given map[string]any
	if err := yaml.Unmarshal(release.Spec.Values.Raw, &given); err != nil {
		t.Fatal(err)
	}
	known(t, "", given, values)
	source := sample[*sourcev1.GitRepository](t, all, "flux/GitRepository/webhooks")
	k := sample[*kustomizev1.Kustomization](t, all, "flux/Kustomization/webhooks")
	if k.Spec.SourceRef.Kind != "GitRepository" || k.Spec.SourceRef.Name != source.Name || k.Namespace != source.Namespace {
		t.Errorf("the Kustomization takes %+v", k.Spec.SourceRef)
	}
	if !k.Spec.Wait || k.Spec.Timeout == nil {
		t.Error("the Kustomization does not wait for endpoints")
	}
}

// TestArgoSamples holds that the Applications have only fields that there are, that
// they fit the chart, and that nothing has to be ignored for them to be in sync.
func TestArgoSamples(t *testing.T) {
	all := samples(t)
	version, values := chart(t)
	operator := sample[*application](t, all, "argocd/Application/fairlead")
	if s := operator.Spec.Source; s.TargetRevision != version || s.Chart != "fairlead" || s.Path != "" || strings.Contains(s.RepoURL, "://") {
		t.Errorf("the operator's source is %+v, and the chart is %s", s, version)
	}
	known(t, "", operator.Spec.Source.Helm.ValuesObject, values)
	endpoints := sample[*application](t, all, "argocd/Application/webhooks")
	for _, app := range []*application{operator, endpoints} {
		if app.Annotations["argocd.argoproj.io/compare-options"] != "ServerSideDiff=true" ||
			!strings.Contains(fmt.Sprint(app.Spec.SyncPolicy.SyncOptions), "ServerSideApply=true") {
			t.Errorf("%s is not applied and compared by the server", app.Name)
		}
	}
}

// known holds that the chart has every value that is given.
func known(t *testing.T, path string, given, values map[string]any) {
	t.Helper()
	for name, v := range given {
		has, ok := values[name]
		if !ok {
			t.Errorf("the chart has no value %s", path+name)
		}
		inner, isMap := v.(map[string]any)
		if under, ok := has.(map[string]any); ok && isMap {
			known(t, path+name+".", inner, under)
		}
	}
}
