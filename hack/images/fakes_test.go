package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// fakes is a folder with the smallest program there is, compiled for every platform
// under the name of each program. It is made once.
var fakes = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fairlead-images-")
	if err != nil {
		return "", err
	}
	write := func(name, s string) { err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(s), 0o644)) }
	write("go.mod", "module example.test/fake\n\ngo 1.26.0\n")
	write("main.go", "package main\n\nfunc main() {}\n")
	if err != nil {
		return "", err
	}
	for _, p := range platforms() {
		target := binaryPath(dir, "receiver", p)
		cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", target, ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture,
			"GOAMD64=v1", "GOARM64=v8.0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building for %s: %w: %s", p, err, out)
		}
		if err := os.Link(target, binaryPath(dir, "operator", p)); err != nil {
			return "", err
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := fakes(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}
