package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Annotations of what stands in the index.json of a layout: containerd names an
// image by the first, other programs by the second, which is the tag alone.
const (
	nameAnnotation = "io.containerd.image.name"
	tagAnnotation  = "org.opencontainers.image.ref.name"
)

// layoutIndex is the index.json of a layout: index under each of its references,
// and then what was said of its images.
func layoutIndex(index v1.ImageIndex, references []string, artifacts []v1.Image) (v1.ImageIndex, error) {
	var all []mutate.IndexAddendum
	for _, r := range references {
		tag, err := name.NewTag(r)
		if err != nil {
			return nil, fmt.Errorf("naming image: %w", err)
		}
		all = append(all, mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{
			Annotations: map[string]string{nameAnnotation: r, tagAnnotation: tag.TagStr()},
		}})
	}
	for _, a := range artifacts {
		all = append(all, mutate.IndexAddendum{Add: a})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), all...), nil
}

// writeLayout makes dir an OCI layout that holds what index names. What stood in
// dir before stays until all is written.
func writeLayout(dir string, index v1.ImageIndex) error {
	next := dir + ".next"
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("clearing folder: %w", err)
	}
	if _, err := layout.Write(next, index); err != nil {
		return fmt.Errorf("writing layout: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing folder: %w", err)
	}
	if err := os.Rename(next, dir); err != nil {
		return fmt.Errorf("renaming layout: %w", err)
	}
	return nil
}

// writeTar packs the images of the layout at dir into a tar that containerd
// imports. SBOMs stay out: to a node that runs images they are of no use.
func writeTar(target, dir string, created time.Time) (err error) {
	index, blobs, err := images(dir)
	if err != nil {
		return err
	}
	f, err := os.Create(target)
	if err != nil {
		return fmt.Errorf("creating tar: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: created}); err != nil {
			return fmt.Errorf("writing tar: %w", err)
		}
	}
	for _, b := range blobs {
		if err := addFile(w, dir, path.Join("blobs", b.Algorithm, b.Hex), created); err != nil {
			return err
		}
	}
	if err := addFile(w, dir, "oci-layout", created); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "index.json", Mode: 0o644, Size: int64(len(index)), ModTime: created}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("writing tar: %w", err)
	}
	if _, err := w.Write(index); err != nil {
		return fmt.Errorf("writing tar: %w", err)
	}
	return w.Close()
}

func addFile(w *tar.Writer, dir, name string, created time.Time) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return fmt.Errorf("reading layout: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading layout: %w", err)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size(), ModTime: created}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("writing tar: %w", err)
	}
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("writing tar: %w", err)
	}
	return nil
}

// images returns an index.json that names only the images of the layout at dir, and
// every blob that they need, sorted.
func images(dir string) ([]byte, []v1.Hash, error) {
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading layout: %w", err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return nil, nil, fmt.Errorf("reading layout: %w", err)
	}
	manifest.Manifests = slices.DeleteFunc(manifest.Manifests, func(d v1.Descriptor) bool {
		return d.Annotations[nameAnnotation] == ""
	})
	needed := map[v1.Hash]bool{}
	for _, d := range manifest.Manifests {
		if err := walk(root, d, needed); err != nil {
			return nil, nil, err
		}
	}
	index, err := json.Marshal(manifest)
	if err != nil {
		return nil, nil, fmt.Errorf("writing index: %w", err)
	}
	return index, sorted(needed), nil
}

// walk notes the index that d describes, and all that it needs.
func walk(root v1.ImageIndex, d v1.Descriptor, needed map[v1.Hash]bool) error {
	needed[d.Digest] = true
	index, err := root.ImageIndex(d.Digest)
	if err != nil {
		return fmt.Errorf("reading index %q: %w", d.Digest, err)
	}
	children, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("reading index %q: %w", d.Digest, err)
	}
	for _, c := range children.Manifests {
		img, err := index.Image(c.Digest)
		if err != nil {
			return fmt.Errorf("reading image %q: %w", c.Digest, err)
		}
		m, err := img.Manifest()
		if err != nil {
			return fmt.Errorf("reading image %q: %w", c.Digest, err)
		}
		needed[c.Digest], needed[m.Config.Digest] = true, true
		for _, l := range m.Layers {
			needed[l.Digest] = true
		}
	}
	return nil
}

func sorted(set map[v1.Hash]bool) []v1.Hash {
	var all []v1.Hash
	for h := range set {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b v1.Hash) int { return slices.Compare([]byte(a.Hex), []byte(b.Hex)) })
	return all
}
