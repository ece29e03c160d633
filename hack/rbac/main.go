// Command rbac writes the operator's roles below config/ from the markers in
// controllers/. controller-gen reads the markers; this puts each role into a file
// of its own, so that one may leave a role out, and makes of the ClusterRole for
// all namespaces the Role for one.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
)

// source is a package with markers; those that name no role are of this one.
type source struct{ path, role string }

var sources = []source{
	{"./controllers/endpoint", operator},
	{"./controllers/provider", "fairlead-operator-provider"},
}

func main() {
	out := flag.String("out", "config", "folder to write below")
	goCommand := flag.String("go", "go", "go command, whose tool controller-gen is")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *goCommand, *out); err != nil {
		fmt.Fprintf(os.Stderr, "rbac: %v\n", err)
		os.Exit(1)
	}
}

// run writes the roles of all sources, or none if one cannot be read.
func run(ctx context.Context, goCommand, out string) error {
	var stream []byte
	for _, s := range sources {
		roles, err := generate(ctx, goCommand, s)
		if err != nil {
			return fmt.Errorf("reading markers of %q: %w", s.path, err)
		}
		stream = append(append(stream, "\n---\n"...), roles...)
	}
	files, err := split(stream)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil { //nolint:gosec // manifests are for everybody to read
			return fmt.Errorf("writing role: %w", err)
		}
	}
	return nil
}

// generate returns the roles that a package's markers ask for, as YAML documents.
func generate(ctx context.Context, goCommand string, s source) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, goCommand, "tool", "controller-gen", "rbac:roleName="+s.role, "paths="+s.path, "output:stdout") //nolint:gosec // the go command is what make runs
	cmd.Stderr = &stderr
	roles, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running controller-gen: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return roles, nil
}
