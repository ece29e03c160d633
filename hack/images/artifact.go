package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// sbomType is the media type of an SBOM, and the type of the artifact that holds it.
const sbomType = "application/spdx+json"

// An artifact is a manifest with one blob that says something of its subject, in
// the form that the OCI image specification gives to what is no image.
type artifact struct {
	manifest []byte
	blob     v1.Layer
}

// emptyConfig is the configuration of what has none.
const emptyConfig = "{}"

// attach returns content as an artifact of the given type about subject.
func attach(subject v1.Descriptor, artifactType, title, created string, content []byte) (v1.Image, error) {
	blob := static.NewLayer(content, types.MediaType(artifactType))
	digest, err := blob.Digest()
	if err != nil {
		return nil, fmt.Errorf("hashing %q: %w", title, err)
	}
	config, size, err := v1.SHA256(bytes.NewReader([]byte(emptyConfig)))
	if err != nil {
		return nil, fmt.Errorf("hashing configuration: %w", err)
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: artifactType,
		Config: v1.Descriptor{MediaType: types.OCIEmptyJSON, Size: size, Digest: config},
		Layers: []v1.Descriptor{{
			MediaType: types.MediaType(artifactType), Size: int64(len(content)), Digest: digest,
			Annotations: map[string]string{"org.opencontainers.image.title": title},
		}},
		Subject:     &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
		Annotations: map[string]string{"org.opencontainers.image.created": created},
	})
	if err != nil {
		return nil, fmt.Errorf("writing manifest: %w", err)
	}
	return partial.CompressedToImage(&artifact{manifest, blob})
}

// RawConfigFile returns the empty configuration.
func (a *artifact) RawConfigFile() ([]byte, error) { return []byte(emptyConfig), nil }

// MediaType returns the manifest's.
func (a *artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// RawManifest returns the manifest as it is stored.
func (a *artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

// LayerByDigest returns the blob, or the configuration.
func (a *artifact) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	digest, err := a.blob.Digest()
	if err != nil {
		return nil, fmt.Errorf("hashing blob: %w", err)
	}
	if h != digest {
		return partial.ConfigLayer(a)
	}
	return a.blob, nil
}
