package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// apiServer is a real API server that has the CRDs.
type apiServer struct {
	env    *envtest.Environment
	client dynamic.Interface
	mu     sync.Mutex
	warned []string
}

// startServer starts the one API server of all tests here, when a test first asks
// for it.
var startServer = sync.OnceValues(newServer)

// running is what TestMain stops.
var running *apiServer

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	if running != nil {
		if err := running.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping API server:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func newServer() (*apiServer, error) {
	assets, err := plane.Assets()
	if err != nil {
		return nil, err
	}
	s := &apiServer{env: &envtest.Environment{BinaryAssetsDirectory: assets}}
	cfg, err := s.env.Start()
	if err != nil {
		return nil, fmt.Errorf("starting API server: %w", err)
	}
	running = s
	cfg.QPS, cfg.WarningHandler = -1, s
	if _, err := envtest.InstallCRDs(cfg, envtest.CRDInstallOptions{Paths: []string{"../../config/crd"}, ErrorIfPathMissing: true}); err != nil {
		return nil, fmt.Errorf("installing CRDs: %w", err)
	}
	if s.client, err = dynamic.NewForConfig(cfg); err != nil {
		return nil, err
	}
	return s, nil
}

var _ rest.WarningHandler = (*apiServer)(nil)

// HandleWarningHeader keeps what the API server warns of.
func (s *apiServer) HandleWarningHeader(_ int, _, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warned = append(s.warned, text)
}

// warnings returns what the API server has warned of since they were last asked
// for.
func (s *apiServer) warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.warned
	s.warned = nil
	return out
}

// server returns the API server. Where it was not built, the test fails: what is
// not held to one is not known to work.
func server(t *testing.T) *apiServer {
	t.Helper()
	s, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// resource returns where the objects of a kind are, and of a namespace if it has
// them.
func (s *apiServer) resource(t *testing.T, u *unstructured.Unstructured) dynamic.ResourceInterface {
	t.Helper()
	gvk := u.GroupVersionKind()
	r := s.client.Resource(gvk.GroupVersion().WithResource(strings.ToLower(gvk.Kind) + "s"))
	if ns := u.GetNamespace(); ns != "" {
		return r.Namespace(ns)
	}
	return r
}

// namespace makes a namespace if it is not there.
func (s *apiServer) namespace(t *testing.T, name string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("Namespace")
	u.SetName(name)
	_, err := s.resource(t, u).Create(t.Context(), u, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// byServer checks with the API server, which makes nothing of the object.
func byServer(t *testing.T) check {
	s := server(t)
	s.namespace(t, "shop")
	return func(t *testing.T, obj map[string]any) []string {
		u := &unstructured.Unstructured{Object: obj}
		_, err := s.resource(t, u).Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
		return said(err)
	}
}

func said(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}

// updateByServer makes old, and returns what is said against changing it.
func updateByServer(t *testing.T, old, changed map[string]any) []string {
	t.Helper()
	s := server(t)
	s.namespace(t, "shop")
	was, is := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(old)}, &unstructured.Unstructured{Object: runtime.DeepCopyJSON(changed)}
	made := s.create(t, was)
	is.SetResourceVersion(made.GetResourceVersion())
	_, err := s.resource(t, is).Update(t.Context(), is, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	s.remove(t, made)
	return said(err)
}

func (s *apiServer) create(t *testing.T, u *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	made, err := s.resource(t, u).Create(t.Context(), u, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (s *apiServer) remove(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	if err := s.resource(t, u).Delete(context.Background(), u.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// TestDefinitionsOnServer holds that a cluster takes the CRDs without a warning,
// and finds nothing wrong with them afterwards.
func TestDefinitionsOnServer(t *testing.T) {
	s := server(t)
	if w := s.warnings(); len(w) > 0 {
		t.Errorf("the API server warns of %q", w)
	}
	crds := s.client.Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	for _, name := range []string{"webhookendpoints.fairlead.dev", "webhookproviders.fairlead.dev"} {
		u, err := crds.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &crd); err != nil {
			t.Fatal(err)
		}
		var is []string
		for _, c := range crd.Status.Conditions {
			is = append(is, fmt.Sprintf("%s=%s", c.Type, c.Status))
		}
		if slices.Sort(is); !slices.Equal(is, []string{"Established=True", "NamesAccepted=True"}) {
			t.Errorf("%s: conditions are %q", name, is)
		}
	}
}
