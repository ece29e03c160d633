package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// A server is a registry on the loopback address.
type server struct {
	host   string
	writes atomic.Int64
}

// serve starts a registry. If password is not empty, only "captain" with it may use it.
func serve(t *testing.T, password string, options ...registry.Option) *server {
	t.Helper()
	s := &server{}
	options = append(options, registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)))
	next := registry.New(options...)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := r.BasicAuth(); password != "" && got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.writes.Add(1)
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	s.host = strings.TrimPrefix(h.URL, "http://")
	return s
}

func TestPush(t *testing.T) {
	from := packOnce(t)
	for label, options := range map[string][]registry.Option{
		"referrers": {registry.WithReferrersSupport(true)},
		"tags only": nil, // a registry from before referrers, which gets a tag in their place
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "", options...)
			args := []string{"push", "--from", from, "--to", s.host + "/team/fairlead", "--tag", "v1", "--tag", "stable"}
			if err := run(t.Context(), args, io.Discard); err != nil {
				t.Fatal(err)
			}
			checkPushed(t, s, from)
			before := s.writes.Load()
			var out bytes.Buffer
			if err := run(t.Context(), args, &out); err != nil {
				t.Fatal(err)
			}
			if got := s.writes.Load(); got != before {
				t.Errorf("the second push sent %d requests that write", got-before)
			}
			if !strings.Contains(out.String(), "was there: ") {
				t.Errorf("the second push says: %s", &out)
			}
		})
	}
}

// checkPushed wants s to have what from holds: both tags, and an SBOM for each image.
func checkPushed(t *testing.T, s *server, from string) {
	t.Helper()
	want, images := imagesOf(t, filepath.Join(from, "operator"))
	digest, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"v1", "stable"} {
		ref, err := name.ParseReference(s.host + "/team/fairlead/operator:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remote.Index(ref)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := got.Digest(); err != nil || h != digest {
			t.Errorf("%s has digest %s, want %s; error %v", tag, h, digest, err)
		}
		if err := validate.Index(got); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	for platform, img := range images {
		h, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewDigest(s.host + "/team/fairlead/operator@" + h.String())
		if err != nil {
			t.Fatal(err)
		}
		referrers, err := remote.Referrers(ref)
		if err != nil {
			t.Fatal(err)
		}
		m, err := referrers.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Manifests) != 1 {
			t.Fatalf("%s: there are %d referrers", platform, len(m.Manifests))
		}
		sbom, err := remote.Image(ref.Context().Digest(m.Manifests[0].Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		a, err := sbom.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if a.ArtifactType != sbomType || a.Layers[0].MediaType != sbomType {
			t.Errorf("%s: artifact %q with a layer %q", platform, a.ArtifactType, a.Layers[0].MediaType)
		}
	}
}

// TestPushLogin takes the password from where "docker login" puts it.
func TestPushLogin(t *testing.T) {
	from := packOnce(t)
	s := serve(t, "anchor")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	args := []string{"push", "--from", from, "--to", s.host + "/team", "--program", "receiver"}
	login := func(auth string) error {
		config := `{"auths": {"` + s.host + `": {"auth": "` + auth + `"}}}`
		if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return run(t.Context(), args, io.Discard)
	}
	err := login("Y2FwdGFpbjpsb3N0") // captain:lost
	if err == nil || !strings.Contains(err.Error(), "docker login "+s.host) || strings.Contains(err.Error(), "lost") || strings.Contains(err.Error(), "http:") {
		t.Errorf("with the wrong password: %v", err)
	}
	if err := login("Y2FwdGFpbjphbmNob3I="); err != nil { // captain:anchor
		t.Errorf("with the right password: %v", err)
	}
}

func TestPushUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	from := packOnce(t)
	ctx := t.Context()
	err := run(ctx, []string{"push", "--from", from, "--to", strings.TrimPrefix(s.URL, "http://") + "/team"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "can it be reached") {
		t.Errorf("error %v", err)
	}
}
