package main

import (
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// tarCommand packs one program for tests: a tar as "pack" writes it, without
// licences, labels of a release, or an SBOM. The same program gives the same tar.
func tarCommand(args []string, out io.Writer) error {
	var ref, file, target string
	fs := flag.NewFlagSet("images tar", flag.ContinueOnError)
	fs.StringVar(&ref, "name", "", "name of the image, as registry.test/pause:1; what stands before the tag names the program in it, too")
	fs.StringVar(&file, "program", "", "the program: static, for Linux")
	fs.StringVar(&target, "out", "", "tar to write")
	if err := parse(fs, args, out, "name", "program", "out"); err != nil {
		return err
	}
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("reading flags: --name: %w", err)
	}
	on, err := platformOf(file)
	if err != nil {
		return err
	}
	index, err := single(tag, file, on)
	if err != nil {
		return fmt.Errorf("packing %q: %w", file, err)
	}
	return writeSingle(target, tag, index)
}

// platformOf reads from the program at path where it runs.
func platformOf(path string) (v1.Platform, error) {
	if err := checkStatic(path); err != nil {
		return v1.Platform{}, fmt.Errorf("checking %q: %w", path, err)
	}
	f, err := elf.Open(path)
	if err != nil {
		return v1.Platform{}, fmt.Errorf("reading program: %w", err)
	}
	defer f.Close()
	switch f.Machine {
	case elf.EM_X86_64:
		return platforms()[0], nil
	case elf.EM_AARCH64:
		return platforms()[1], nil
	default:
		return v1.Platform{}, fmt.Errorf("checking %q: %w", path, errMachine)
	}
}

var errMachine = errors.New("it is neither for amd64 nor for arm64")

// beginning is when all images for tests were made, so that time is no part of them.
func beginning() time.Time { return time.Unix(0, 0).UTC() }

// single returns an index with the one image of the program at from.
func single(tag name.Tag, from string, on v1.Platform) (v1.ImageIndex, error) {
	content, err := os.ReadFile(from)
	if err != nil {
		return nil, fmt.Errorf("reading program: %w", err)
	}
	files, err := baseFiles()
	if err != nil {
		return nil, err
	}
	p := program{name: path.Base(tag.RepositoryStr())}
	p.title = p.name
	files[binDir+"/"+p.name] = file{content, 0o755}
	r := release{created: beginning(), version: tag.TagStr()}
	l, err := layer(files, r.created)
	if err != nil {
		return nil, err
	}
	img, err := r.image(p, on, l)
	if err != nil {
		return nil, err
	}
	return r.index(p, map[string]v1.Image{on.String(): img}, []v1.Platform{on}), nil
}

// writeSingle writes target when all of it is there: whoever finds it can use it.
func writeSingle(target string, tag name.Tag, index v1.ImageIndex) (err error) {
	root, err := layoutIndex(index, []string{tag.Name()}, nil)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(target), ".image-")
	if err != nil {
		return fmt.Errorf("making folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	layout, packed := filepath.Join(dir, "layout"), filepath.Join(dir, "tar")
	if err := writeLayout(layout, root); err != nil {
		return err
	}
	if err := writeTar(packed, layout, beginning()); err != nil {
		return err
	}
	if err := os.Rename(packed, target); err != nil {
		return fmt.Errorf("naming tar: %w", err)
	}
	return nil
}
