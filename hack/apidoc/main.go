// Command apidoc writes the API reference from the CRDs. The CRDs are made from
// the doc comments of api/v1alpha1, so the reference says what the API server
// enforces: types, defaults, bounds and the rules with their messages.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	crds := flag.String("crds", "config/crd", "folder with the CRDs")
	out := flag.String("out", "api/README.md", "file to write")
	flag.Parse()
	if err := run(*crds, *out); err != nil {
		fmt.Fprintf(os.Stderr, "apidoc: %v\n", err)
		os.Exit(1)
	}
}

// run reads every CRD of a folder, in the order of their file names, and writes
// the reference.
func run(dir, out string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*_*.yaml"))
	if err != nil {
		return fmt.Errorf("listing CRDs in %q: %w", dir, err)
	}
	if len(files) == 0 {
		return fmt.Errorf("listing CRDs in %q: there are none", dir)
	}
	kinds := make([]kind, 0, len(files))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("reading CRD: %w", err)
		}
		ks, err := parse(data)
		if err != nil {
			return fmt.Errorf("reading CRD %q: %w", f, err)
		}
		kinds = append(kinds, ks...)
	}
	if err := os.WriteFile(out, render(kinds), 0o644); err != nil { //nolint:gosec // documentation is for everybody to read
		return fmt.Errorf("writing reference: %w", err)
	}
	return nil
}
