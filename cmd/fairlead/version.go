package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const versionExample = `  fairlead version
  fairlead version -o json`

// build says what this program was made of.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Say which version of the tool this is",
		Example: versionExample,
		Args:    arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "plain", "json"); err != nil {
				return err
			}
			b := build{Version: currentVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), b)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "fairlead %s (%s, %s)\n", b.Version, b.Go, b.Platform)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "plain", "plain or json")
	return cmd
}

// currentVersion returns what was set by the linker, else what the go command
// knows of the module.
func currentVersion() string {
	known := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		known = info.Main.Version
	}
	return cmp.Or(version, known)
}

// printJSON writes v for programs, with a line end.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
