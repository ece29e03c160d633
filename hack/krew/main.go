// Command krew packs the user's tool into an archive for each platform, and writes
// the manifest by which krew, kubectl's plugin manager, installs it. `make
// release-archives` runs it. What it writes depends on nothing but the programs, the
// licence, the version and the date.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// platform is one that the tool is built for.
type platform struct{ os, arch string }

// platforms are all of them, in the order of the manifest.
var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}

// options are what the command is told.
type options struct {
	binaries, licence, out string
	version, url           string
	created                int64
}

func main() {
	var o options
	flag.StringVar(&o.binaries, "binaries", "dist/bin", "folder with OS-ARCH/fairlead of each platform")
	flag.StringVar(&o.licence, "licence", "LICENSE", "the licence's file")
	flag.StringVar(&o.out, "out", "dist/archives", "folder to write")
	flag.StringVar(&o.version, "version", "", "version of the programs")
	flag.StringVar(&o.url, "url", "https://github.com/fairlead-dev/fairlead/releases/download", "where archives are to be had, in a folder for each version")
	flag.Int64Var(&o.created, "created", 0, "time of the files, in seconds since 1970")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "krew: %v\n", err)
		os.Exit(1)
	}
}

// run writes the archives, their checksums and the manifest.
func run(o options) error {
	licence, err := os.ReadFile(o.licence)
	if err != nil {
		return fmt.Errorf("reading licence: %w", err)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil { //nolint:gosec // archives are for everybody to read
		return fmt.Errorf("making folder: %w", err)
	}
	version := semantic(o.version)
	plugin, sums := newPlugin(version), []string{}
	for _, p := range platforms {
		a, err := pack(o, p, licence)
		if err != nil {
			return fmt.Errorf("packing for %s/%s: %w", p.os, p.arch, err)
		}
		plugin.Spec.Platforms = append(plugin.Spec.Platforms, entry(p, o.url+"/"+version+"/"+a.name, a.sum))
		sums = append(sums, a.sum+"  "+a.name)
	}
	slices.Sort(sums)
	if err := write(o.out, "SHA256SUMS", []byte(strings.Join(sums, "\n")+"\n")); err != nil {
		return err
	}
	manifest, err := plugin.manifest()
	if err != nil {
		return err
	}
	return write(o.out, pluginName+".yaml", manifest)
}

// semantic makes of a version of git's one that krew takes. One that is no release
// becomes a preview of the first.
func semantic(version string) string {
	if semver.MatchString(version) {
		return version
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, version)
	return "v0.0.0-dev.g" + clean
}

// packed is an archive that was written.
type packed struct{ name, sum string }

// pack writes the archive of one platform.
func pack(o options, p platform, licence []byte) (packed, error) {
	program := p.program()
	binary, err := os.ReadFile(filepath.Join(o.binaries, p.os+"-"+p.arch, program))
	if err != nil {
		return packed{}, fmt.Errorf("reading program: %w", err)
	}
	files := []file{{"LICENSE", licence, 0o644}, {program, binary, 0o755}}
	archive, ending := tarball, ".tar.gz"
	if p.os == "windows" {
		archive, ending = zipped, ".zip"
	}
	data, err := archive(files, time.Unix(o.created, 0).UTC())
	if err != nil {
		return packed{}, err
	}
	a := packed{"fairlead-" + p.os + "-" + p.arch + ending, digest(data)}
	return a, write(o.out, a.name, data)
}

// program is the name of the program's file.
func (p platform) program() string {
	if p.os == "windows" {
		return "fairlead.exe"
	}
	return "fairlead"
}

func write(dir, name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil { //nolint:gosec // it is for everybody to read
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}
