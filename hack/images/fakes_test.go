package main

import (
	"bytes"
	"context"
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
	dir := os.Getenv(fakesVariable)
	var err error
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

// fakesVariable names the folder that TestMain makes for fakes, and removes.
const fakesVariable = "FAIRLEAD_IMAGES_FAKES"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fairlead-images-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv(fakesVariable, dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// packFakes packs the receiver and the operator into the folder to.
func packFakes(ctx context.Context, to string, out *bytes.Buffer, args ...string) error {
	dir, err := fakes()
	if err != nil {
		return err
	}
	return run(ctx, append([]string{
		"pack", "--binaries", dir, "--source", "../..", "--out", to, "--version", "v1.2.3", "--revision", revision,
		"--created", epoch, "--program", "receiver", "--program", "operator",
	}, args...), out)
}

// packTo packs into a new folder.
func packTo(t *testing.T, out *bytes.Buffer, args ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "images")
	if err := packFakes(t.Context(), to, out, args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// packedOnce is a folder that was packed to without more arguments, for all tests
// that only read it.
var packedOnce = sync.OnceValues(func() (string, error) {
	dir, err := fakes()
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "images")
	return to, packFakes(context.Background(), to, new(bytes.Buffer))
})

func packOnce(t *testing.T) string {
	t.Helper()
	to, err := packedOnce()
	if err != nil {
		t.Fatal(err)
	}
	return to
}
