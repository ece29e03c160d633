package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

// operator builds the operator.
func operator(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "operator")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", path, root+"/controllers")
	cmd.Stderr = t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("building the operator: %v", err)
	}
	return path
}

// folder names a folder for a control plane, which must be gone at the end.
func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plane")
	t.Cleanup(func() {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the demo left its folder: %v", err)
		}
	})
	return dir
}

func TestDemo(t *testing.T) {
	t.Parallel()
	program := operator(t)
	var out bytes.Buffer
	err := run(t.Context(), options{operator: program, root: root, dir: folder(t), out: &out})
	if err != nil {
		t.Errorf("%v; it printed:\n%s", err, out.String())
	}
	for _, want := range []string{
		"$ kubectl apply --server-side -k config/default\n", "$ kubectl -n community get whe -o wide\n",
		"has no region \"atlantis\"; choose from canada,", "No resources found", "All of it is as it should be",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it did not print %q", want)
		}
	}
	if strings.Contains(out.String(), "eyJ") { // as tokens begin
		t.Error("it printed a token")
	}
}

// A canceller cancels when something is printed.
type canceller struct {
	at     string
	cancel context.CancelFunc
}

func (c *canceller) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(c.at)) {
		c.cancel()
	}
	return len(b), nil
}

// TestInterrupted holds that nothing is left when somebody has seen enough.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	program := operator(t)
	for name, at := range map[string]string{"before the operator": "== Install", "beside it": "--for=condition=Available"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := run(ctx, options{operator: program, root: root, dir: folder(t), out: &canceller{at, cancel}})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("run returned %v, want context.Canceled", err)
			}
		})
	}
}

// TestOperatorEnds holds that the demo does not wait for an operator that is gone,
// and says so.
func TestOperatorEnds(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "operator")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no such thing\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), options{operator: program, root: root, dir: folder(t), out: t.Output()})
	if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("run returned %v, want errEnded with the operator's log", err)
	}
}

func TestQuoted(t *testing.T) {
	for want, args := range map[string][]string{
		"get whe -o wide":            {"get", "whe", "-o", "wide"},
		`patch -p '{"a":["b"]}'`:     {"patch", "-p", `{"a":["b"]}`},
		`say 'it'\''s' ''`:           {"say", "it's", ""},
		"-l fairlead.dev/endpoint=a": {"-l", "fairlead.dev/endpoint=a"},
	} {
		if got := quoted(args); got != want {
			t.Errorf("quoted(%q) = %s, want %s", args, got, want)
		}
	}
}
