package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestSBOM(t *testing.T) {
	t.Parallel()
	r := release{version: "v1.2.3", revision: revision, created: time.Unix(1700000000, 0).UTC(), repository: "docker.io/fairlead"}
	parts := []part{
		{path: "github.com/Some/Module", version: "v2.0.0+incompatible", sum: "h1:abc=", licence: "MIT"},
		{path: "stdlib", version: "1.26.8", licence: "BSD-3-Clause"},
	}
	b := &binary{content: []byte("x"), info: &debug.BuildInfo{
		Path: "github.com/fairlead-dev/fairlead/receiver", Main: debug.Module{Path: "github.com/fairlead-dev/fairlead"},
	}}
	out, err := r.sbom(program{name: "receiver"}, v1.Platform{OS: "linux", Architecture: "arm64"},
		v1.Hash{Algorithm: "sha256", Hex: "00ff"}, b, parts, part{path: rootsModule, version: "v0", licence: "BSD-3-Clause"})
	if err != nil {
		t.Fatal(err)
	}
	var doc spdxDocument
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range doc.Packages {
		got[p.References[0].Locator] = p.Declared
	}
	want := map[string]string{
		"pkg:oci/receiver@sha256%3A00ff?arch=arm64&repository_url=docker.io/fairlead/receiver": "NOASSERTION",
		"pkg:golang/github.com/fairlead-dev/fairlead@v1.2.3#receiver":                          "Apache-2.0",
		"pkg:golang/github.com/some/module@v2.0.0%2Bincompatible":                              "MIT",
		"pkg:golang/stdlib@1.26.8":                             "BSD-3-Clause",
		"pkg:golang/golang.org/x/crypto/x509roots/fallback@v0": "BSD-3-Clause",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if doc.Version != "SPDX-2.3" || doc.DataLicense != "CC0-1.0" || doc.Creation.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("document: %q, %q, %q", doc.Version, doc.DataLicense, doc.Creation.Created)
	}
	checkElements(t, doc)
}

// checkElements wants every element to have an identifier of its own, in the form
// that SPDX wants, and every element to be joined to the document.
func checkElements(t *testing.T, doc spdxDocument) {
	t.Helper()
	joined := map[string]bool{doc.ID: false}
	for _, p := range doc.Packages {
		if _, twice := joined[p.ID]; twice || !regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`).MatchString(p.ID) {
			t.Errorf("identifier %q", p.ID)
		}
		joined[p.ID] = false
	}
	for _, r := range doc.Relationships {
		for _, id := range []string{r.Element, r.Related} {
			if _, ok := joined[id]; !ok {
				t.Errorf("%s %s %s: there is no %s", r.Element, r.Type, r.Related, id)
			}
			joined[id] = true
		}
	}
	for id, ok := range joined {
		if !ok {
			t.Errorf("%s is joined to nothing", id)
		}
	}
}

// TestSBOMReferrer finds the SBOM of each image in the layout, by its subject, and
// the same bytes beside the layout.
func TestSBOMReferrer(t *testing.T) {
	t.Parallel()
	to := packOnce(t)
	_, images := imagesOf(t, filepath.Join(to, "receiver"))
	root, m := rootOf(t, filepath.Join(to, "receiver"))
	for _, arch := range []string{"amd64", "arm64"} {
		subject, err := images["linux/"+arch].Digest()
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(to, "receiver.linux-"+arch+".spdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := v1.SHA256(bytes.NewReader(file))
		found := false
		for _, d := range m.Manifests[1:] {
			img, err := root.Image(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			a, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if a.Subject.Digest == subject && d.ArtifactType == sbomType && a.ArtifactType == sbomType {
				found = a.Layers[0].Digest == want
			}
		}
		if !found {
			t.Errorf("%s: no referrer holds the SBOM", arch)
		}
	}
}

func TestLicences(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		texts map[string][]byte
		want  string
	}{
		"MIT":         {map[string][]byte{"LICENSE": []byte("Permission is hereby granted, free of charge, ...\nshall be\nincluded in all copies")}, "MIT"},
		"wrapped BSD": {map[string][]byte{"COPYING": []byte("Redistribution and use in source\n and binary forms ... endorse or\n promote products")}, "BSD-3-Clause"},
		"short BSD":   {map[string][]byte{"LICENSE": []byte("Redistribution and use in source and binary forms")}, "BSD-2-Clause"},
		"two": {map[string][]byte{"LICENSE": []byte("Apache License\n Version 2.0, January 2004"),
			"LICENSE.libyaml": []byte("Mozilla Public License Version 2.0")}, "Apache-2.0 AND MPL-2.0"},
		"notice":  {map[string][]byte{"NOTICE": []byte("Apache License Version 2.0, January 2004")}, noAssertion}, // it names others' licences
		"unknown": {map[string][]byte{"LICENSE": []byte("Do as you like.")}, noAssertion},
	} {
		if got := declared(tt.texts); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestRoots(t *testing.T) {
	t.Parallel()
	rest, err := roots()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names[c.Subject.CommonName] = true
	}
	if len(names) < 80 || !names["ISRG Root X1"] {
		t.Errorf("%d authorities; ISRG Root X1 among them: %t", len(names), names["ISRG Root X1"])
	}
}
