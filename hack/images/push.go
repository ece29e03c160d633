package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// pushCommand reads flags and pushes what they name.
func pushCommand(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("images push", flag.ContinueOnError)
	from := fs.String("from", "dist/images", "folder that was packed to")
	to := fs.String("to", "", "where to: registry.example.com/team gets team/receiver, team/operator and so on")
	var tags, only list
	fs.Var(&tags, "tag", "tag to push under; may be repeated (default: the tags that were packed)")
	fs.Var(&only, "program", "what to push; may be repeated (default: all that was packed)")
	if err := parse(fs, args, out, "to"); err != nil {
		return err
	}
	chosen, err := choose(programs(), only, "program", func(p program) string { return p.name })
	if err != nil {
		return err
	}
	h := newPusher(out)
	done := 0
	for _, p := range chosen {
		dir := filepath.Join(*from, p.name)
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && len(only) == 0 {
			continue
		}
		repo, err := name.NewRepository(*to + "/" + p.name)
		if err != nil {
			return fmt.Errorf("reading flags: --to: %w", err)
		}
		if err := h.push(ctx, dir, repo, tags); err != nil {
			return fmt.Errorf("pushing %q: %w", p.name, err)
		}
		done++
	}
	if done == 0 {
		return fmt.Errorf("there is nothing in %q to push; run `make images` first", *from)
	}
	return nil
}

// A pusher sends layouts to registries.
type pusher struct {
	transport *counter
	out       io.Writer
}

func newPusher(out io.Writer) *pusher {
	return &pusher{transport: &counter{next: remote.DefaultTransport}, out: out}
}

// A counter counts the requests that write to a registry; those for a token don't.
type counter struct {
	next   http.RoundTripper
	writes atomic.Int64
}

// RoundTrip passes r on.
func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && strings.HasPrefix(r.URL.Path, "/v2/") {
		c.writes.Add(1)
	}
	return c.next.RoundTrip(r)
}

// push sends the layout at dir to repo. The tags come last: who pulls one finds all
// that belongs to it. What the registry has is not sent again.
func (h *pusher) push(ctx context.Context, dir string, repo name.Repository, tags []string) error {
	found, err := readLayout(dir)
	if err != nil {
		return err
	}
	if len(tags) == 0 {
		tags = found.tags
	}
	p, err := remote.NewPusher(remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(h.transport),
		remote.WithUserAgent("fairlead-images"), remote.WithContext(ctx), remote.WithJobs(2))
	if err != nil {
		return fmt.Errorf("preparing to push: %w", err)
	}
	fmt.Fprintf(h.out, "pushing %s\n", repo.Name())
	before := h.transport.writes.Load()
	if err := found.send(ctx, p, repo, tags); err != nil {
		return err
	}
	what := "pushed"
	if h.transport.writes.Load() == before {
		what = "was there"
	}
	for _, tag := range tags {
		fmt.Fprintf(h.out, "%s: %s@%s\n", what, repo.Tag(tag), found.digest)
	}
	return nil
}

// packed is what a layout of ours holds.
type packed struct {
	index  v1.ImageIndex
	digest v1.Hash
	tags   []string
	sboms  []v1.Image
}

// send sends the images, what was said of them, and the tags.
func (f *packed) send(ctx context.Context, p *remote.Pusher, repo name.Repository, tags []string) error {
	if err := p.Push(ctx, repo.Digest(f.digest.String()), f.index); err != nil {
		return explain(repo, err)
	}
	for _, sbom := range f.sboms {
		digest, err := sbom.Digest()
		if err != nil {
			return fmt.Errorf("hashing SBOM: %w", err)
		}
		if err := p.Push(ctx, repo.Digest(digest.String()), sbom); err != nil {
			return explain(repo, err)
		}
	}
	for _, tag := range tags {
		ref, err := name.NewTag(repo.Name()+":"+tag, name.StrictValidation)
		if err != nil {
			return fmt.Errorf("reading flags: --tag: %w", err)
		}
		if err := p.Push(ctx, ref, f.index); err != nil {
			return explain(repo, err)
		}
	}
	return nil
}

func readLayout(dir string) (*packed, error) {
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("reading layout %q: %w; run `make images` first", dir, err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading layout %q: %w", dir, err)
	}
	found := &packed{}
	for _, d := range manifest.Manifests {
		if d.Annotations[nameAnnotation] == "" {
			sbom, err := root.Image(d.Digest)
			if err != nil {
				return nil, fmt.Errorf("reading layout %q: %w", dir, err)
			}
			found.sboms = append(found.sboms, sbom)
			continue
		}
		found.digest, found.tags = d.Digest, append(found.tags, d.Annotations[tagAnnotation])
	}
	if found.index, err = root.ImageIndex(found.digest); err != nil {
		return nil, fmt.Errorf("reading layout %q: %w", dir, err)
	}
	return found, nil
}

// explain says what to do about err, without the URL that failed: it may hold the
// token of an upload.
func explain(repo name.Repository, err error) error {
	var te *transport.Error
	if errors.As(err, &te) {
		switch te.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%s lets nobody push to %q without the right to: `docker login %s` as somebody who has it (status %d)",
				repo.RegistryStr(), repo.RepositoryStr(), repo.RegistryStr(), te.StatusCode)
		case http.StatusNotFound:
			return fmt.Errorf("%s has no %q; some registries want it made before the first push (status 404)", repo.RegistryStr(), repo.RepositoryStr())
		}
		return fmt.Errorf("%s answered %d%s", repo.RegistryStr(), te.StatusCode, codes(te))
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return fmt.Errorf("asking %s: %w; is it the registry's name, and can it be reached from here?", repo.RegistryStr(), ue.Err)
	}
	return fmt.Errorf("sending to %s: %w", repo.RegistryStr(), err)
}

// codes returns the registry's words for what is wrong.
func codes(te *transport.Error) string {
	var s string
	for _, d := range te.Errors {
		s += ", " + string(d.Code)
	}
	return s
}
