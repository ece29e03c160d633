package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// A packer packs programs, all from one commit.
type packer struct {
	release
	shelf
	binaries, to string // folders
	on           []v1.Platform
	out          io.Writer
}

// pack reads flags and packs what they name.
func pack(ctx context.Context, args []string, out io.Writer) error {
	k := packer{out: out}
	fs := flag.NewFlagSet("images pack", flag.ContinueOnError)
	fs.StringVar(&k.binaries, "binaries", "", "folder with the compiled programs, as linux-amd64/receiver")
	fs.StringVar(&k.source, "source", "", "the checkout that they were compiled from; its modules' licences go into the images")
	fs.StringVar(&k.to, "out", "dist/images", "folder to write to")
	fs.StringVar(&k.version, "version", "", "version of the programs")
	fs.StringVar(&k.revision, "revision", "", "commit of the programs, in full")
	fs.StringVar(&k.repository, "repository", "docker.io/fairlead", "what stands before a program's name in the name of its image")
	fs.StringVar(&k.goCommand, "go", "go", "go command to find modules with")
	created := fs.String("created", os.Getenv("SOURCE_DATE_EPOCH"), "time of the commit, in seconds since 1970 (default $SOURCE_DATE_EPOCH)")
	var tags, arches, only list
	fs.Var(&tags, "tag", "tag of the images; may be repeated (default: the version)")
	fs.Var(&arches, "arch", "amd64 or arm64; may be repeated (default: both)")
	fs.Var(&only, "program", "what to pack; may be repeated (default: every program)")
	if err := parse(fs, args, out, "binaries", "source", "version", "revision", "created"); err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(*created, 10, 64)
	if err != nil {
		return fmt.Errorf("reading flags: --created %q is no number of seconds", *created)
	}
	k.created, k.tags = time.Unix(seconds, 0).UTC(), tags
	if len(tags) == 0 {
		k.tags = list{k.version}
	}
	chosen, err := choose(programs(), only, "program", func(p program) string { return p.name })
	if err != nil {
		return err
	}
	k.on, err = choose(platforms(), arches, "arch", func(p v1.Platform) string { return p.Architecture })
	if err != nil {
		return err
	}
	return k.pack(ctx, chosen)
}

// choose returns those of all that names names, or all if there are no names.
func choose[T any](all []T, names list, name string, of func(T) string) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known, chosen list
	var found []T
	for _, x := range all {
		known = append(known, of(x))
		if slices.Contains(names, of(x)) {
			chosen, found = append(chosen, of(x)), append(found, x)
		}
	}
	for _, n := range names {
		if !slices.Contains(chosen, n) {
			return nil, fmt.Errorf("reading flags: there is no --%s %q; there are %s", name, n, strings.Join(known, ", "))
		}
	}
	return found, nil
}

// digestsFile lists what was packed, a name with its digest a line.
const digestsFile = "digests.txt"

func (k *packer) pack(ctx context.Context, programs []program) error {
	certificates, err := k.certificates(ctx)
	if err != nil {
		return err
	}
	files, err := baseFiles()
	if err != nil {
		return err
	}
	base, err := layer(files, k.created)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.to, 0o755); err != nil { //nolint:gosec // images are for everybody
		return fmt.Errorf("making folder: %w", err)
	}
	if strings.HasSuffix(k.version, "-dirty") {
		fmt.Fprintln(k.out, "NOTE: the checkout has changes that are not committed; nobody can pack these images again.")
	}
	var digests strings.Builder
	for _, p := range programs {
		lines, err := k.packProgram(ctx, p, baseLayer{base, size(files), certificates})
		if err != nil {
			return fmt.Errorf("packing %q: %w", p.name, err)
		}
		digests.WriteString(lines)
	}
	if err := os.WriteFile(filepath.Join(k.to, digestsFile), []byte(digests.String()), 0o644); err != nil { //nolint:gosec // for everybody, too
		return fmt.Errorf("writing digests: %w", err)
	}
	fmt.Fprintf(k.out, "packed into %s; on a node: ctr -n k8s.io images import %s\n", k.to, filepath.Join(k.to, programs[0].name+".tar"))
	return nil
}

// A baseLayer is what the images of all programs share.
type baseLayer struct {
	v1.Layer
	size         int64
	certificates part
}

// packProgram writes all that there is of p, and returns its lines of digests.txt.
func (k *packer) packProgram(ctx context.Context, p program, base baseLayer) (string, error) {
	images := map[string]v1.Image{}
	var artifacts []v1.Image
	for _, on := range k.on {
		img, sbom, err := k.packPlatform(ctx, p, on, base)
		if err != nil {
			return "", err
		}
		images[on.String()], artifacts = img, append(artifacts, sbom)
	}
	references, err := k.references(p)
	if err != nil {
		return "", err
	}
	index := k.index(p, images, k.on)
	root, err := layoutIndex(index, references, artifacts)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(k.to, p.name)
	if err := writeLayout(dir, root); err != nil {
		return "", err
	}
	if err := writeTar(dir+".tar", dir, k.created); err != nil {
		return "", err
	}
	digest, err := index.Digest()
	if err != nil {
		return "", fmt.Errorf("hashing index: %w", err)
	}
	var lines strings.Builder
	for _, r := range references {
		fmt.Fprintf(&lines, "%s@%s\n", r, digest)
	}
	_, err = fmt.Fprint(k.out, lines.String())
	return lines.String(), err
}

// packPlatform returns the image of p on one platform, and its SBOM as an artifact,
// which it also writes beside the layout.
func (k *packer) packPlatform(ctx context.Context, p program, on v1.Platform, base baseLayer) (v1.Image, v1.Image, error) {
	b, err := readBinary(binaryPath(k.binaries, p.name, on), on)
	if err != nil {
		return nil, nil, err
	}
	parts, err := k.parts(ctx, b.info)
	if err != nil {
		return nil, nil, err
	}
	files, err := k.programFiles(p, b, append(parts, base.certificates))
	if err != nil {
		return nil, nil, err
	}
	unpacked := size(files) + base.size
	if unpacked > p.limit {
		return nil, nil, fmt.Errorf("the image for %s has %s, which is over its limit of %s; find what made it grow (go version -m), or change the limit in hack/images",
			on, megabytes(unpacked), megabytes(p.limit))
	}
	l, err := layer(files, k.created)
	if err != nil {
		return nil, nil, err
	}
	img, err := k.image(p, on, base.Layer, l)
	if err != nil {
		return nil, nil, err
	}
	sbom, err := k.packSBOM(p, on, img, b, parts, base.certificates)
	if err != nil {
		return nil, nil, err
	}
	packed, err := packedSize(img)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(k.out, "%-10s %-12s %8s unpacked (limit %s), %8s packed, %d modules\n",
		p.name, on, megabytes(unpacked), megabytes(p.limit), megabytes(packed), len(b.info.Deps))
	return img, sbom, nil
}

// programFiles are those that only the image of p has: the program, our licence,
// and the texts of those whose work is in it.
func (k *packer) programFiles(p program, b *binary, parts []part) (map[string]file, error) {
	own, err := os.ReadFile(filepath.Join(k.source, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("reading licence: %w; is --source the checkout?", err)
	}
	files := textFiles(parts)
	files["licenses/LICENSE"] = file{own, 0o644}
	files[binDir+"/"+p.name] = file{b.content, 0o755}
	return files, nil
}

func (k *packer) packSBOM(p program, on v1.Platform, img v1.Image, b *binary, parts []part, certificates part) (v1.Image, error) {
	subject, err := partial.Descriptor(img)
	if err != nil {
		return nil, fmt.Errorf("hashing image: %w", err)
	}
	content, err := k.sbom(p, on, subject.Digest, b, parts, certificates)
	if err != nil {
		return nil, err
	}
	title := fmt.Sprintf("%s.%s-%s.spdx.json", p.name, on.OS, on.Architecture)
	if err := os.WriteFile(filepath.Join(k.to, title), content, 0o644); err != nil { //nolint:gosec // an SBOM is for everybody
		return nil, fmt.Errorf("writing SBOM: %w", err)
	}
	return attach(*subject, sbomType, title, k.created.Format(time.RFC3339), content)
}

// packedSize is what a registry sends of img.
func packedSize(img v1.Image) (int64, error) {
	m, err := img.Manifest()
	if err != nil {
		return 0, fmt.Errorf("reading manifest: %w", err)
	}
	n := m.Config.Size
	for _, l := range m.Layers {
		n += l.Size
	}
	return n, nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/megabyte) }
