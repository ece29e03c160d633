package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// made runs the command on programs that are only words.
func made(t *testing.T, version string) (options, *plugin) {
	t.Helper()
	o := options{binaries: t.TempDir(), licence: "../../LICENSE", out: t.TempDir(), version: version, url: "https://example.com/releases", created: 1_790_000_000}
	for _, p := range platforms {
		dir := filepath.Join(o.binaries, p.os+"-"+p.arch)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, p.program()), []byte("the program for "+p.os+" on "+p.arch), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(o.out, pluginName+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := new(plugin)
	if err := yaml.UnmarshalStrict(data, m); err != nil {
		t.Fatal(err)
	}
	return o, m
}

// unpack returns an archive's files, with their modes.
func unpack(t *testing.T, name string, data []byte) map[string]file {
	t.Helper()
	all := map[string]file{}
	if strings.HasSuffix(name, ".zip") {
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			all[f.Name] = read(t, f.Name, r, f.Mode())
		}
		return all
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil || head.Typeflag != tar.TypeReg { // krew unpacks nothing else
			t.Fatalf("%s: %v, type %c", head.Name, err, head.Typeflag)
		}
		all[head.Name] = read(t, head.Name, r, fs.FileMode(head.Mode))
	}
}

func read(t *testing.T, name string, r io.Reader, mode fs.FileMode) file {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return file{name, data, mode.Perm()}
}

// TestPlugin holds that what the manifest says of each archive is so, as krew finds
// it when it installs.
func TestPlugin(t *testing.T) {
	o, m := made(t, "v0.3.1")
	if m.Spec.Version != "v0.3.1" || len(m.Spec.Platforms) != len(platforms) {
		t.Fatalf("version %s for %d platforms", m.Spec.Version, len(m.Spec.Platforms))
	}
	sums, err := os.ReadFile(filepath.Join(o.out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	licence, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range m.Spec.Platforms {
		name := path.Base(p.URI)
		if want := "https://example.com/releases/v0.3.1/" + name; p.URI != want {
			t.Errorf("uri %s, want %s", p.URI, want)
		}
		data, err := os.ReadFile(filepath.Join(o.out, name))
		if err != nil {
			t.Fatal(err)
		}
		if digest(data) != p.SHA256 || !strings.Contains(string(sums), p.SHA256+"  "+name+"\n") {
			t.Errorf("%s: the checksum is another", name)
		}
		files := unpack(t, name, data)
		for _, f := range p.Files {
			if _, ok := files[f.From]; !ok {
				t.Errorf("%s has no file %s", name, f.From)
			}
		}
		program := files[p.Bin]
		if want := "the program for " + platforms[i].os + " on " + platforms[i].arch; string(program.data) != want || program.mode != 0o755 {
			t.Errorf("%s: %s is %q with mode %o", name, p.Bin, program.data, program.mode)
		}
		if !bytes.Equal(files["LICENSE"].data, licence) || len(files) != 2 {
			t.Errorf("%s has %d files, want the program and the licence", name, len(files))
		}
	}
}

// TestReproducible holds that nothing of the moment or of the machine gets in.
func TestReproducible(t *testing.T) {
	one, _ := made(t, "v0.3.1")
	two, _ := made(t, "v0.3.1")
	entries, err := os.ReadDir(one.out)
	if err != nil || len(entries) != len(platforms)+2 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		a, err := os.ReadFile(filepath.Join(one.out, e.Name()))
		b, err2 := os.ReadFile(filepath.Join(two.out, e.Name()))
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs", e.Name())
		}
	}
}

func TestSemantic(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "v1.2.3", "v1.2.3-rc.1": "v1.2.3-rc.1", "97e4f31": "v0.0.0-dev.g97e4f31", "0123456-dirty": "v0.0.0-dev.g0123456-dirty",
		"unknown": "v0.0.0-dev.gunknown", "v1.02.3": "v0.0.0-dev.gv1-02-3",
	} {
		if got := semantic(version); got != want || !semver.MatchString(got) {
			t.Errorf("semantic(%q) = %q, want %q", version, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	good := func() *plugin {
		p := newPlugin("v1.2.3")
		for _, x := range platforms {
			p.Spec.Platforms = append(p.Spec.Platforms, entry(x, "https://example.com/a.tar.gz", strings.Repeat("0a", 32)))
		}
		return p
	}
	if err := good().check(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*plugin){
		"kind":              func(p *plugin) { p.Kind = "plugin" },
		"name":              func(p *plugin) { p.Metadata.Name = "../fairlead" },
		"kubectl's name":    func(p *plugin) { p.Metadata.Name = "kubectl-fairlead" },
		"version":           func(p *plugin) { p.Spec.Version = "1.2.3" },
		"no words":          func(p *plugin) { p.Spec.ShortDescription = "" },
		"many words":        func(p *plugin) { p.Spec.ShortDescription = strings.Repeat("a", 51) },
		"no description":    func(p *plugin) { p.Spec.Description = "" },
		"homepage":          func(p *plugin) { p.Spec.Homepage = "http://example.com" },
		"no platform":       func(p *plugin) { p.Spec.Platforms = nil },
		"no selector":       func(p *plugin) { p.Spec.Platforms[0].Selector = nil },
		"unknown platform":  func(p *plugin) { p.Spec.Platforms[0].Selector.MatchLabels["os"] = "plan9" },
		"platform twice":    func(p *plugin) { p.Spec.Platforms[0].Selector = p.Spec.Platforms[1].Selector },
		"wide selector":     func(p *plugin) { p.Spec.Platforms[0].Selector = &metav1.LabelSelector{} },
		"plain HTTP":        func(p *plugin) { p.Spec.Platforms[0].URI = "http://example.com/a.zip" },
		"other archive":     func(p *plugin) { p.Spec.Platforms[0].URI = "https://example.com/a.rar" },
		"checksum":          func(p *plugin) { p.Spec.Platforms[0].SHA256 = "0A" },
		"program elsewhere": func(p *plugin) { p.Spec.Platforms[0].Bin = "../fairlead" },
		"absolute program":  func(p *plugin) { p.Spec.Platforms[0].Bin = "/fairlead" },
		"Windows path":      func(p *plugin) { p.Spec.Platforms[0].Bin = `..\fairlead` },
		"no files":          func(p *plugin) { p.Spec.Platforms[0].Files = []pluginFile{} },
		"file elsewhere":    func(p *plugin) { p.Spec.Platforms[0].Files[0].To = "../.." },
		"no licence":        func(p *plugin) { p.Spec.Platforms[0].Files = p.Spec.Platforms[0].Files[:1] },
	} {
		p := good()
		edit(p)
		if err := p.check(); err == nil {
			t.Errorf("%s: nothing is said", name)
		}
	}
}

// TestMissingProgram holds that an archive without a program is never made.
func TestMissingProgram(t *testing.T) {
	o := options{binaries: t.TempDir(), licence: "../../LICENSE", out: t.TempDir()}
	if err := run(o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the program is missing", err)
	}
	if diff := cmp.Diff([]platform{{"linux", "amd64"}}, (&pluginPlatform{Selector: entry(platforms[0], "", "").Selector}).matches(), cmp.AllowUnexported(platform{})); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}
