// Command chart writes the parts of the Helm chart that stand elsewhere already:
// the templates of CRDs and roles from config/, and the schema and the table of
// values from the comments of values.yaml. What it reads and writes is the same on
// every machine; nothing of Helm is needed.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	config := flag.String("config", "config", "folder of the kustomizations")
	chart := flag.String("chart", "charts/fairlead", "folder of the chart")
	flag.Parse()
	if err := run(*config, *chart); err != nil {
		fmt.Fprintf(os.Stderr, "chart: %v\n", err)
		os.Exit(1)
	}
}

// run writes all generated files of the chart, or none if one cannot be made.
func run(config, chart string) error {
	files, err := generate(config, chart)
	if err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(chart, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a chart is for everybody to read
			return fmt.Errorf("making folder of template: %w", err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // a chart is for everybody to read
			return fmt.Errorf("writing %q: %w", name, err)
		}
	}
	return nil
}

// generate returns the generated files by their paths in the chart.
func generate(config, chart string) (map[string][]byte, error) {
	files := map[string][]byte{}
	if err := addKinds(files, filepath.Join(config, "crd")); err != nil {
		return nil, err
	}
	if err := addRoles(files, config); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading values: %w", err)
	}
	settings, err := parseValues(data)
	if err != nil {
		return nil, fmt.Errorf("reading values: %w", err)
	}
	if files["values.schema.json"], err = schemaOf(settings); err != nil {
		return nil, err
	}
	readme, err := os.ReadFile(filepath.Join(chart, "README.md"))
	if err != nil {
		return nil, fmt.Errorf("reading the chart's README: %w", err)
	}
	files["README.md"], err = withTable(readme, settings)
	return files, err
}
