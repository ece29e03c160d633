package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is whom programs run as: nobody's number in particular. It is a number
// because the kubelet can only tell of a number that it is not root's.
const user = "65532"

const (
	passwd = "root:x:0:0:root:/:/sbin/nologin\n" +
		"fairlead:x:" + user + ":" + user + ":fairlead:/:/sbin/nologin\n"
	group = "root:x:0:\nfairlead:x:" + user + ":\n"
)

// A file is one of a layer. All belong to root, and nobody may write to them.
type file struct {
	content []byte
	mode    int64
}

// baseFiles are those that every image begins with.
func baseFiles() (map[string]file, error) {
	certificates, err := roots()
	if err != nil {
		return nil, err
	}
	return map[string]file{
		"etc/passwd": {[]byte(passwd), 0o644},
		"etc/group":  {[]byte(group), 0o644},
		rootsPath:    {certificates, 0o644},
	}, nil
}

// archive returns files and their folders as a tar. It depends on nothing else.
func archive(files map[string]file, created time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range folders(files) {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: created}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("writing folder %q: %w", dir, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: f.mode, Size: int64(len(f.content)), ModTime: created}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("writing file %q: %w", name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("writing file %q: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("closing tar: %w", err)
	}
	return b.Bytes(), nil
}

// folders returns every folder that files stand in, the outer before the inner.
func folders(files map[string]file) []string {
	all := map[string]bool{}
	for name := range files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			all[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// layer compresses files once, and keeps the result in memory.
func layer(files map[string]file, created time.Time) (v1.Layer, error) {
	content, err := archive(files, created)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	l, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("compressing layer: %w", err)
	}
	return l, nil
}

// size adds up what files take when they are unpacked.
func size(files ...map[string]file) int64 {
	var n int64
	for _, m := range files {
		for _, f := range m {
			n += int64(len(f.content))
		}
	}
	return n
}
