package main

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const megabyte = 1_000_000

// A program is what one image runs.
type program struct {
	name, title, description string
	ports                    []string
	limit                    int64 // of all files in the image of one platform, unpacked, in bytes
}

// programs lists all that is packed.
func programs() []program {
	return []program{
		{
			name: "receiver", title: "Fairlead receiver",
			description: "Takes webhooks in, verifies and stores them, and delivers them to sinks",
			ports:       []string{"8080/tcp", "8082/tcp", "9090/tcp"}, limit: 40 * megabyte,
		},
		{
			name: "operator", title: "Fairlead operator",
			description: "Turns WebhookEndpoints into running receivers",
			ports:       []string{"8081/tcp", "8443/tcp"}, limit: 60 * megabyte,
		},
		{
			name: "fairlead", title: "Fairlead tool",
			description: "Validates, renders, tries and looks after WebhookEndpoints",
			limit:       60 * megabyte,
		},
		{
			name: "moderator", title: "Fairlead sample moderator",
			description: "A sample of a responder: answers the synchronous hooks of chat providers",
			ports:       []string{"8080/tcp"}, limit: 20 * megabyte,
		},
	}
}

// platforms are those that every program is packed for.
func platforms() []v1.Platform {
	return []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
}

// A binary is a program compiled for one platform.
type binary struct {
	content []byte
	info    *debug.BuildInfo
}

// binaryPath is where the Makefile puts a compiled program.
func binaryPath(dir, name string, p v1.Platform) string {
	return filepath.Join(dir, p.OS+"-"+p.Architecture, name)
}

// readBinary returns the program at path, if it can run alone in an image of p.
func readBinary(path string, p v1.Platform) (*binary, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading program: %w; `make images` compiles it", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading program: %w", err)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading what %q was built from: %w", path, err)
	}
	if err := checkSettings(info, p); err != nil {
		return nil, fmt.Errorf("checking how %q was built: %w; `make images` sets what is wanted", path, err)
	}
	if err := checkStatic(path); err != nil {
		return nil, fmt.Errorf("checking %q: %w", path, err)
	}
	return &binary{content: content, info: info}, nil
}

// checkSettings returns an error unless the build can be repeated elsewhere, for p.
func checkSettings(info *debug.BuildInfo, p v1.Platform) error {
	got := map[string]string{}
	for _, s := range info.Settings {
		got[s.Key] = s.Value
	}
	want := []debug.BuildSetting{
		{Key: "CGO_ENABLED", Value: "0"}, {Key: "-trimpath", Value: "true"},
		{Key: "GOOS", Value: p.OS}, {Key: "GOARCH", Value: p.Architecture},
	}
	switch p.Architecture { // the oldest CPUs that Go serves: the user's are not known
	case "amd64":
		want = append(want, debug.BuildSetting{Key: "GOAMD64", Value: "v1"})
	case "arm64":
		want = append(want, debug.BuildSetting{Key: "GOARM64", Value: "v8.0"})
	}
	for _, w := range want {
		if got[w.Key] != w.Value {
			return fmt.Errorf("%s is %q, not %q", w.Key, got[w.Key], w.Value)
		}
	}
	if _, ok := got["vcs.revision"]; ok {
		return errors.New("it has the state of a checkout stamped in, which -buildvcs=false leaves out")
	}
	return nil
}

// checkStatic returns an error if the program at path asks for a dynamic linker:
// the image has none.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("reading ELF: %w", err)
	}
	defer f.Close()
	for _, s := range f.Progs {
		if s.Type == elf.PT_INTERP || s.Type == elf.PT_DYNAMIC {
			return errors.New("it is linked dynamically; build it with CGO_ENABLED=0")
		}
	}
	return nil
}
