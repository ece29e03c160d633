package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestTar reads a tar the way containerd's importer does: oci-layout says what it
// is, index.json names images, and every blob is called by its digest.
func TestTar(t *testing.T) {
	t.Parallel()
	to := packTo(t, new(bytes.Buffer), "--tag", "v1.2.3", "--tag", "latest", "--repository", "fairlead")
	content, err := os.ReadFile(filepath.Join(to, "operator.tar"))
	if err != nil {
		t.Fatal(err)
	}
	blobs := readTar(t, content)
	var version struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(blobs["oci-layout"], &version); err != nil || version.Version != "1.0.0" {
		t.Errorf("oci-layout: version %q, error %v", version.Version, err)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(blobs["index.json"]))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range index.Manifests {
		names = append(names, d.Annotations[nameAnnotation]+" "+d.Annotations[tagAnnotation])
	}
	want := []string{"docker.io/fairlead/operator:v1.2.3 v1.2.3", "docker.io/fairlead/operator:latest latest"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	seen := map[string]bool{"oci-layout": true, "index.json": true, "blobs/": true, "blobs/sha256/": true}
	for _, d := range index.Manifests {
		follow(t, blobs, d, seen)
	}
	for name := range blobs {
		if !seen[name] {
			t.Errorf("%s is in the tar, and nothing needs it", name)
		}
	}
}

// readTar returns the files of a tar by name.
func readTar(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// follow checks the blob of d, and all blobs that it names.
func follow(t *testing.T, blobs map[string][]byte, d v1.Descriptor, seen map[string]bool) {
	t.Helper()
	name := "blobs/sha256/" + d.Digest.Hex
	seen[name] = true
	h, n, err := v1.SHA256(bytes.NewReader(blobs[name]))
	if err != nil || h != d.Digest || n != d.Size {
		t.Errorf("%s has digest %s and %d bytes, want %d; error %v", name, h, n, d.Size, err)
	}
	switch {
	case d.MediaType.IsIndex():
		m, err := v1.ParseIndexManifest(bytes.NewReader(blobs[name]))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range m.Manifests {
			follow(t, blobs, c, seen)
		}
	case d.MediaType.IsImage():
		m, err := v1.ParseManifest(bytes.NewReader(blobs[name]))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range append(m.Layers, m.Config) {
			follow(t, blobs, c, seen)
		}
	}
}
