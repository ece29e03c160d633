package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	sourceURL = "https://github.com/fairlead-dev/fairlead"
	licence   = "Apache-2.0"
)

// binDir is where an image has its program.
const binDir = "usr/local/bin"

// A release is what is said of every image that is packed at once.
type release struct {
	version, revision string
	created           time.Time // the commit's, whenever the images are packed
	repository        string    // what stands before the name of a program: docker.io/fairlead
	tags              []string
}

// references returns the names of the image of p, in full, as containerd keeps them.
func (r release) references(p program) ([]string, error) {
	var all []string
	for _, tag := range r.tags {
		ref, err := name.NewTag(r.repository+"/"+p.name+":"+tag, name.WeakValidation)
		if err != nil {
			return nil, fmt.Errorf("naming image of %q: %w; choose another --tag or --repository", p.name, err)
		}
		// go-containerregistry knows Docker Hub under the name of its server.
		all = append(all, strings.Replace(ref.Name(), name.DefaultRegistry+"/", "docker.io/", 1))
	}
	return all, nil
}

// annotations are the labels of the image of p, too. There is none on a base
// image, because there is no base image.
func (r release) annotations(p program) map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       p.title,
		prefix + "description": p.description,
		prefix + "source":      sourceURL,
		prefix + "revision":    r.revision,
		prefix + "version":     r.version,
		prefix + "licenses":    licence,
		prefix + "created":     r.created.Format(time.RFC3339),
	}
}

// image puts layers together as the image of p on one platform.
func (r release) image(p program, on v1.Platform, layers ...v1.Layer) (v1.Image, error) {
	ports := map[string]struct{}{}
	for _, port := range p.ports {
		ports[port] = struct{}{}
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Created: v1.Time{Time: r.created}, OS: on.OS, Architecture: on.Architecture,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
		Config: v1.Config{
			User: user + ":" + user, WorkingDir: "/",
			Entrypoint: []string{"/" + binDir + "/" + p.name},
			Env:        []string{"PATH=/" + binDir}, ExposedPorts: ports, Labels: r.annotations(p),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("configuring image: %w", err)
	}
	for _, l := range layers {
		img, err = mutate.Append(img, mutate.Addendum{
			Layer: l, History: v1.History{Created: v1.Time{Time: r.created}, CreatedBy: "hack/images"},
		})
		if err != nil {
			return nil, fmt.Errorf("adding layer: %w", err)
		}
	}
	return mutate.Annotations(img, r.annotations(p)).(v1.Image), nil
}

// index joins the images of p on several platforms.
func (r release) index(p program, images map[string]v1.Image, on []v1.Platform) v1.ImageIndex {
	var all []mutate.IndexAddendum
	for _, platform := range on {
		all = append(all, mutate.IndexAddendum{
			Add: images[platform.String()], Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), all...)
	return mutate.Annotations(index, r.annotations(p)).(v1.ImageIndex)
}
