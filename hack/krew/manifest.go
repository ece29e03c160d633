package main

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// pluginName is what stands behind kubectl.
const pluginName = "fairlead"

// plugin is krew's kind Plugin, the fields that are used.
type plugin struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec pluginSpec `json:"spec"`
}

type pluginSpec struct {
	Version          string           `json:"version"`
	Homepage         string           `json:"homepage"`
	ShortDescription string           `json:"shortDescription"`
	Description      string           `json:"description"`
	Caveats          string           `json:"caveats"`
	Platforms        []pluginPlatform `json:"platforms"`
}

type pluginPlatform struct {
	Selector *metav1.LabelSelector `json:"selector"`
	URI      string                `json:"uri"`
	SHA256   string                `json:"sha256"`
	Files    []pluginFile          `json:"files"`
	Bin      string                `json:"bin"`
}

type pluginFile struct {
	From string `json:"from"`
	To   string `json:"to"`
}

const description = `Shows how the webhook endpoints of Fairlead are, and what their receivers hold:
conditions and what to do about them, secrets by fingerprint, sinks, backlog, dead
letters, stored events and quarantine; has deliveries made again. It also checks
manifests, runs a receiver from them without a cluster, and plays the providers.
`

const caveats = `Receivers are reached by a port that is forwarded to their pods. It takes the rights
of ClusterRole fairlead-receiver-admin in the endpoint's namespace.
`

func newPlugin(version string) *plugin {
	p := &plugin{APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Spec: pluginSpec{
		Version: version, Homepage: "https://github.com/fairlead-dev/fairlead", ShortDescription: "See and replay what webhook receivers hold",
		Description: description, Caveats: caveats,
	}}
	p.Metadata.Name = pluginName
	return p
}

// entry is a platform's part of the manifest.
func entry(p platform, uri, sum string) pluginPlatform {
	return pluginPlatform{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"os": p.os, "arch": p.arch}},
		URI:      uri, SHA256: sum, Bin: p.program(),
		Files: []pluginFile{{p.program(), "."}, {"LICENSE", "."}},
	}
}

// manifest checks the plugin and writes it.
func (p *plugin) manifest() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("checking manifest: %w", err)
	}
	data, err := yaml.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing manifest: %w", err)
	}
	return data, nil
}

var (
	semver   = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)
	safeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	sha256ed = regexp.MustCompile(`^[a-f0-9]{64}$`)
)

// maxShort is how long a short description may be where krew lists it.
const maxShort = 50

// check says what krew, or the index of its plugins, would refuse.
func (p *plugin) check() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	s := &p.Spec
	bad(p.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || p.Kind != "Plugin", "it is %s %s", p.APIVersion, p.Kind)
	bad(!safeName.MatchString(p.Metadata.Name) || strings.HasPrefix(p.Metadata.Name, "kube"), "name %q", p.Metadata.Name)
	bad(!semver.MatchString(s.Version), "version %q is none like v1.2.3", s.Version)
	bad(s.ShortDescription == "" || len(s.ShortDescription) > maxShort || strings.Contains(s.ShortDescription, "\n"), "shortDescription %q", s.ShortDescription)
	bad(s.Description == "", "there is no description")
	bad(!isHTTPS(s.Homepage), "homepage %q", s.Homepage)
	bad(len(s.Platforms) == 0, "there is no platform")
	for i := range s.Platforms {
		if err := s.Platforms[i].check(); err != nil {
			errs = append(errs, fmt.Errorf("platforms[%d]: %w", i, err))
		}
	}
	return errors.Join(append(errs, s.overlap())...)
}

func isHTTPS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// check says what is wrong with one platform.
func (p *pluginPlatform) check() error {
	switch {
	case p.Selector == nil || len(p.matches()) == 0:
		return errors.New("its selector means no platform")
	case !isHTTPS(p.URI) || !strings.HasSuffix(p.URI, ".tar.gz") && !strings.HasSuffix(p.URI, ".zip"):
		return fmt.Errorf("uri %q", p.URI)
	case !sha256ed.MatchString(p.SHA256):
		return fmt.Errorf("sha256 %q", p.SHA256)
	case !local(p.Bin):
		return fmt.Errorf("bin %q leads out of the plugin's folder", p.Bin)
	case len(p.Files) == 0:
		return errors.New("it names no files")
	}
	from := map[string]bool{}
	for _, f := range p.Files {
		if !local(f.From) || !local(f.To) {
			return fmt.Errorf("file %q to %q leads out of the plugin's folder", f.From, f.To)
		}
		from[f.From] = true
	}
	if !from["LICENSE"] || !from[p.Bin] {
		return errors.New("the licence, or the program, is not among its files")
	}
	return nil
}

// local reports whether a path stays where it begins, on Windows too.
func local(p string) bool {
	return p != "" && !strings.ContainsAny(p, `\:`) && !path.IsAbs(p) && p == path.Clean(p) && p != ".." && !strings.HasPrefix(p, "../")
}

// matches lists the platforms that the selector means.
func (p *pluginPlatform) matches() []platform {
	sel, err := metav1.LabelSelectorAsSelector(p.Selector)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(platforms), func(x platform) bool {
		return !sel.Matches(labels.Set{"os": x.os, "arch": x.arch})
	})
}

// overlap says which platform would be installed from one of two archives.
func (s *pluginSpec) overlap() error {
	seen := map[platform]bool{}
	for i := range s.Platforms {
		for _, x := range s.Platforms[i].matches() {
			if seen[x] {
				return fmt.Errorf("%s/%s is meant twice", x.os, x.arch)
			}
			seen[x] = true
		}
	}
	return nil
}
