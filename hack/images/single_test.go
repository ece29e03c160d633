package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestSingle holds that the tar of one program names it, runs it as nobody, and is
// the same each time.
func TestSingle(t *testing.T) {
	t.Parallel()
	dir, err := fakes()
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range platforms() {
		t.Run(on.Architecture, func(t *testing.T) {
			t.Parallel()
			to := t.TempDir()
			var tars [2][]byte
			for i, name := range []string{"a.tar", "b.tar"} {
				err := run(t.Context(), []string{
					"tar", "--name", "registry.test/probe:7", "--program", binaryPath(dir, "receiver", on),
					"--out", filepath.Join(to, name),
				}, new(bytes.Buffer))
				if err != nil {
					t.Fatal(err)
				}
				if tars[i], err = os.ReadFile(filepath.Join(to, name)); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(tars[0], tars[1]) {
				t.Error("packing again gave another tar")
			}
			checkSingle(t, readTar(t, tars[0]), on)
			if left, err := filepath.Glob(filepath.Join(to, ".image-*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

func checkSingle(t *testing.T, blobs map[string][]byte, on v1.Platform) {
	t.Helper()
	index, err := v1.ParseIndexManifest(bytes.NewReader(blobs["index.json"]))
	if err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations[nameAnnotation] != "registry.test/probe:7" {
		t.Fatalf("index.json names %v, want registry.test/probe:7", index.Manifests)
	}
	follow(t, blobs, index.Manifests[0], map[string]bool{})
	for _, blob := range blobs {
		c, err := v1.ParseConfigFile(bytes.NewReader(blob))
		if err != nil || c.OS == "" {
			continue // another blob
		}
		if c.Architecture != on.Architecture {
			t.Errorf("the image is for %q, want %q", c.Architecture, on.Architecture)
		}
		if diff := cmp.Diff([]string{"/usr/local/bin/probe"}, c.Config.Entrypoint); diff != "" {
			t.Errorf("entry point (-want +got):\n%s", diff)
		}
		if c.Config.User != "65532:65532" {
			t.Errorf("it runs as %q", c.Config.User)
		}
		return
	}
	t.Error("no blob is the configuration of an image")
}

func TestSingleRefused(t *testing.T) {
	t.Parallel()
	dir, err := fakes()
	if err != nil {
		t.Fatal(err)
	}
	program := binaryPath(dir, "receiver", platforms()[0])
	none := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		name, image, program string
		want                 error // nil: any
	}{
		{"no tag", "registry.test/probe", program, nil},
		{"no program", "registry.test/probe:1", none, fs.ErrNotExist},
		{"no ELF", "registry.test/probe:1", "single.go", nil},
	} {
		target := filepath.Join(t.TempDir(), "image.tar")
		err := run(t.Context(), []string{"tar", "--name", tt.image, "--program", tt.program, "--out", target}, new(bytes.Buffer))
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if _, err := os.Stat(target); err == nil {
			t.Errorf("%s: there is a tar", tt.name)
		}
	}
}
