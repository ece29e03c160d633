// Command apidoc writes the API reference from the CRDs and from the constants of
// conditions, and the table by which the tool says what to do about a reason. The CRDs are made from the doc comments of api/v1alpha1, so the
// reference says what the API server enforces: types, defaults, bounds and the
// rules with their messages.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	crds := flag.String("crds", "config/crd", "folder with the CRDs")
	source := flag.String("conditions", "api/v1alpha1/conditions.go", "Go file with the types and reasons of conditions")
	out := flag.String("out", "api/README.md", "file to write")
	reasons := flag.String("reasons", "cmd/fairlead/survey/reasons.tsv", "file to write what reasons mean to, for the tool")
	flag.Parse()
	if err := run(*crds, *source, *out, *reasons); err != nil {
		fmt.Fprintf(os.Stderr, "apidoc: %v\n", err)
		os.Exit(1)
	}
}

// run writes the reference, and what each reason means.
func run(crds, source, out, reasons string) error {
	kinds, err := readKinds(crds)
	if err != nil {
		return err
	}
	src, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("reading conditions: %w", err)
	}
	c, err := parseConditions(source, src)
	if err != nil {
		return fmt.Errorf("reading conditions in %q: %w", source, err)
	}
	if err := os.WriteFile(out, render(kinds, c), 0o644); err != nil { //nolint:gosec // documentation is for everybody to read
		return fmt.Errorf("writing reference: %w", err)
	}
	if err := os.WriteFile(reasons, c.table(), 0o644); err != nil { //nolint:gosec // documentation is for everybody to read
		return fmt.Errorf("writing reasons: %w", err)
	}
	return nil
}

// readKinds reads every CRD of a folder, in the order of their file names.
func readKinds(dir string) ([]kind, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing CRDs in %q: %w", dir, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("listing CRDs in %q: there are none", dir)
	}
	kinds := make([]kind, 0, len(files))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("reading CRD: %w", err)
		}
		ks, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("reading CRD %q: %w", f, err)
		}
		kinds = append(kinds, ks...)
	}
	return kinds, nil
}
