package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const (
	revision = "0123456789abcdef0123456789abcdef01234567"
	epoch    = "1700000000"
)

func rootOf(t *testing.T, dir string) (v1.ImageIndex, *v1.IndexManifest) {
	t.Helper()
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return root, m
}

// imagesOf returns the index in the layout at dir, and the image for each platform.
func imagesOf(t *testing.T, dir string) (v1.ImageIndex, map[string]v1.Image) {
	t.Helper()
	root, m := rootOf(t, dir)
	index, err := root.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	children, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, c := range children.Manifests {
		if images[c.Platform.String()], err = index.Image(c.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return index, images
}

func TestImage(t *testing.T) {
	t.Parallel()
	index, images := imagesOf(t, filepath.Join(packOnce(t), "receiver"))
	if err := validate.Index(index); err != nil {
		t.Errorf("index: %v", err)
	}
	annotations := map[string]string{
		"org.opencontainers.image.created":     "2023-11-14T22:13:20Z",
		"org.opencontainers.image.description": "Takes webhooks in, verifies and stores them, and delivers them to sinks",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.revision":    revision,
		"org.opencontainers.image.source":      "https://github.com/fairlead-dev/fairlead",
		"org.opencontainers.image.title":       "Fairlead receiver",
		"org.opencontainers.image.version":     "v1.2.3",
	}
	im, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(annotations, im.Annotations); diff != "" {
		t.Errorf("annotations of index (-want +got):\n%s", diff)
	}
	if len(images) != 2 {
		t.Fatalf("there are %d images, not 2", len(images))
	}
	for _, arch := range []string{"amd64", "arm64"} {
		img := images["linux/"+arch]
		got, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		created := v1.Time{Time: time.Unix(1700000000, 0).UTC()}
		step := v1.History{Created: created, CreatedBy: "hack/images"}
		want := &v1.ConfigFile{
			Architecture: arch, OS: "linux", Created: created, RootFS: got.RootFS, History: []v1.History{step, step},
			Config: v1.Config{
				User: "65532:65532", WorkingDir: "/", Entrypoint: []string{"/usr/local/bin/receiver"},
				Env: []string{"PATH=/usr/local/bin"}, Labels: annotations,
				ExposedPorts: map[string]struct{}{"8080/tcp": {}, "8082/tcp": {}, "9090/tcp": {}},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("configuration for %s (-want +got):\n%s", arch, diff)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(annotations, m.Annotations); diff != "" {
			t.Errorf("annotations for %s (-want +got):\n%s", arch, diff)
		}
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	_, images := imagesOf(t, filepath.Join(packOnce(t), "receiver"))
	content := map[string][]byte{}
	r := tar.NewReader(mutate.Extract(images["linux/amd64"]))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Mode&0o7022 != 0 || h.ModTime.Unix() != 1700000000 {
			t.Errorf("%s: owner %d:%d, mode %o, time %s", h.Name, h.Uid, h.Gid, h.Mode, h.ModTime)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if (h.Mode&0o111 != 0) != (h.Name == "usr/local/bin/receiver") {
			t.Errorf("%s: mode %o", h.Name, h.Mode) // the program is all that can run: there is no shell
		}
		if content[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(content["etc/passwd"], []byte("\nfairlead:x:65532:65532:")) {
		t.Errorf("passwd: %s", content["etc/passwd"])
	}
	if !x509.NewCertPool().AppendCertsFromPEM(content["etc/ssl/certs/ca-certificates.crt"]) {
		t.Error("there are no certificates")
	}
	dir, err := fakes()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(dir, "linux-amd64", "receiver"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content["usr/local/bin/receiver"], want) {
		t.Error("the program is not the one that was compiled")
	}
	licences := 0
	for name := range content {
		if strings.HasPrefix(name, "licenses/stdlib@") || strings.HasPrefix(name, "licenses/"+rootsModule+"@") || name == "licenses/LICENSE" {
			licences++
		}
	}
	if licences < 3 {
		t.Errorf("there are %d texts of licences", licences)
	}
}

// TestRepeat packs the same programs at another place and time: all is the same.
func TestRepeat(t *testing.T) {
	t.Parallel()
	first, second := contents(t, packOnce(t)), contents(t, packTo(t, new(bytes.Buffer)))
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
	if len(first) < 20 {
		t.Errorf("only %d files were compared", len(first))
	}
}

// contents returns the digest of every file below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h, _, err := v1.SHA256(f)
		name, _ := filepath.Rel(dir, path)
		all[name] = h.String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir, err := fakes()
	if err != nil {
		t.Fatal(err)
	}
	base := []string{"pack", "--binaries", dir, "--source", "../..", "--version", "v1", "--revision", revision, "--created", epoch}
	with := func(args ...string) []string {
		return append(append([]string{}, base...), append(args, "--out", t.TempDir())...)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"verb":       {[]string{"bake"}, "--help"},
		"argument":   {with("x"), "--help"},
		"no flags":   {[]string{"pack"}, "--binaries is missing"},
		"program":    {with("--program", "sink"), "there are receiver, operator"},
		"arch":       {with("--arch", "riscv64"), "there are amd64, arm64"},
		"created":    {with("--created", "today"), "--created"},
		"tag":        {with("--program", "receiver", "--tag", "v1+x"), "--tag"},
		"uncompiled": {with("--program", "fairlead"), "make images"},
		"push":       {[]string{"push", "--to", "127.0.0.1:1/x", "--from", t.TempDir()}, "make images"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), tt.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
}

func TestDirty(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	packTo(t, &out, "--version", "v1-dirty", "--arch", "amd64")
	if !strings.Contains(out.String(), "not committed") || !strings.Contains(out.String(), ":v1-dirty@sha256:") {
		t.Errorf("output: %s", &out)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--help"}, {"pack", "--help"}, {"push", "--help"}} {
		var out bytes.Buffer
		_ = run(t.Context(), args, &out)
		if !strings.Contains(out.String(), "-") {
			t.Errorf("%q prints %q", args, &out)
		}
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	dir, err := fakes()
	if err != nil {
		t.Fatal(err)
	}
	k := packer{
		release:  release{version: "v1", repository: "docker.io/fairlead", tags: []string{"v1"}},
		shelf:    shelf{goCommand: "go", source: "../.."},
		binaries: dir, to: t.TempDir(), on: platforms(), out: io.Discard,
	}
	err = k.pack(t.Context(), []program{{name: "receiver", limit: megabyte}})
	if err == nil || !strings.Contains(err.Error(), "over its limit of 1.0 MB") {
		t.Errorf("error %v", err)
	}
}
