package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The document that says what an image holds: SPDX 2.3 as JSON, of which only the
// fields that are filled stand here.
type (
	spdxDocument struct {
		Version       string             `json:"spdxVersion"`
		DataLicense   string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Creation      spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID            string          `json:"SPDXID"`
		Name          string          `json:"name"`
		Version       string          `json:"versionInfo,omitempty"`
		Supplier      string          `json:"supplier"`
		Download      string          `json:"downloadLocation"`
		FilesAnalyzed bool            `json:"filesAnalyzed"`
		Checksums     []spdxChecksum  `json:"checksums,omitempty"`
		SourceInfo    string          `json:"sourceInfo,omitempty"`
		Concluded     string          `json:"licenseConcluded"`
		Declared      string          `json:"licenseDeclared"`
		Copyright     string          `json:"copyrightText"`
		Comment       string          `json:"comment,omitempty"`
		Purpose       string          `json:"primaryPackagePurpose,omitempty"`
		References    []spdxReference `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxReference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

// Identifiers of the elements that every document has.
const (
	documentID = "SPDXRef-DOCUMENT"
	imageID    = "SPDXRef-image"
	programID  = "SPDXRef-program"
)

// sbom returns what the image of p with the given digest holds: the program, which
// is linked from parts, and the certificates.
func (r release) sbom(p program, on v1.Platform, image v1.Hash, b *binary, parts []part, certificates part) ([]byte, error) {
	sum := sha256.Sum256(b.content)
	hash := hex.EncodeToString(sum[:])
	name := fmt.Sprintf("%s-%s-%s-%s", p.name, r.version, on.OS, on.Architecture)
	doc := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: documentID, Name: name,
		Namespace: sourceURL + "/sbom/" + url.PathEscape(name) + "/" + image.Hex,
		Creation:  spdxCreation{Created: r.created.Format(time.RFC3339), Creators: []string{"Tool: fairlead-images"}},
	}
	whole := describe(imageID, part{path: r.repository + "/" + p.name, version: r.version, licence: noAssertion})
	whole.Purpose = "CONTAINER"
	whole.References = purl("pkg:oci/" + p.name + "@" + url.QueryEscape(image.String()) +
		"?arch=" + on.Architecture + "&repository_url=" + r.repository + "/" + p.name)
	linked := describe(programID, part{path: b.info.Path, version: r.version, licence: licence})
	linked.References = purl(programPURL(b.info, r.version))
	linked.Purpose, linked.Checksums = "APPLICATION", []spdxChecksum{{"SHA256", hash}}
	linked.SourceInfo = "commit " + r.revision
	doc.Packages = append(doc.Packages, whole, linked)
	doc.relate(documentID, "DESCRIBES", imageID)
	doc.relate(imageID, "CONTAINS", programID)
	for i, m := range parts {
		id := "SPDXRef-module-" + strconv.Itoa(i+1)
		doc.Packages = append(doc.Packages, describe(id, m))
		doc.relate(programID, "DEPENDS_ON", id)
	}
	doc.Packages = append(doc.Packages, describe("SPDXRef-certificates", certificates))
	doc.relate(imageID, "CONTAINS", "SPDXRef-certificates")
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing SBOM: %w", err)
	}
	return append(out, '\n'), nil
}

func (d *spdxDocument) relate(element, kind, related string) {
	d.Relationships = append(d.Relationships, spdxRelationship{element, kind, related})
}

// describe returns p as a package that was not looked into.
func describe(id string, p part) spdxPackage {
	s := spdxPackage{
		ID: id, Name: p.path, Version: p.version, Supplier: noAssertion, Download: noAssertion,
		Concluded: noAssertion, Declared: p.licence, Copyright: noAssertion, Comment: p.comment,
		References: purl(goPURL(p)),
	}
	if p.sum != "" {
		s.SourceInfo = "go.sum " + p.sum
	}
	return s
}

func purl(locator string) []spdxReference {
	return []spdxReference{{"PACKAGE-MANAGER", "purl", locator}}
}

// programPURL returns the package URL of a program: its module, and where in it.
func programPURL(info *debug.BuildInfo, version string) string {
	within := strings.TrimPrefix(strings.TrimPrefix(info.Path, info.Main.Path), "/")
	return goPURL(part{path: info.Main.Path, version: version}) + "#" + within
}

// goPURL returns the package URL of a Go module, which is in lower case.
func goPURL(p part) string {
	segments := strings.Split(strings.ToLower(p.path), "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return "pkg:golang/" + strings.Join(segments, "/") + "@" + url.QueryEscape(p.version)
}
