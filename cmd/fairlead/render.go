package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
)

const renderHelp = `Render prints what a receiver reads: the configuration that an endpoint comes to,
with its provider's profile and ranges in it. It holds no secret, only the paths
of their files below the receiver's --secrets-dir.

Ranges are those that are in use now; render again when they change.

Exit codes: 0 printed, 1 the manifests are wrong, 2 wrong usage.`

const renderExample = `  # Run the receiver's own program from a manifest.
  fairlead render -f endpoint.yaml > config.yaml
  receiver --config config.yaml --secrets-dir secrets --data-dir data

  # One endpoint of several.
  fairlead render -f config/samples default/stream`

func newRender() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:     "render -f FILE... [NAMESPACE/NAME]",
		Short:   "Print the configuration that a receiver reads",
		Long:    renderHelp,
		Example: renderExample,
		Args:    arguments(0, 1, "at most one endpoint, as NAMESPACE/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(files) == 0 {
				return usagef("no file is named; name one with -f")
			}
			return render(cmd.OutOrStdout(), cmd.InOrStdin(), files, strings.Join(args, ""), time.Now())
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "file, directory, or - for standard input; may be repeated")
	return cmd
}

// render prints the configuration of the named endpoint, or of the only one.
func render(w io.Writer, stdin io.Reader, files []string, name string, now time.Time) error {
	file, err := manifest.Load(files, stdin)
	if err != nil {
		return err
	}
	all, err := file.ResolveEach(now)
	if err != nil {
		return err
	}
	var known []string
	for _, e := range all {
		known = append(known, e.Endpoint.Namespace+"/"+e.Endpoint.Name)
		if name != known[len(known)-1] && (name != "" || len(all) > 1) {
			continue
		}
		text, err := yaml.Marshal(e.Result.Config)
		if err != nil {
			return fmt.Errorf("writing configuration: %w", err)
		}
		_, err = w.Write(text)
		return err
	}
	switch {
	case len(known) == 0:
		return errors.New("there is no WebhookEndpoint in the manifests")
	case name == "":
		return usagef("there are %d endpoints; name one of %s", len(known), strings.Join(known, ", "))
	}
	return fmt.Errorf("there is no endpoint %q in the manifests; there are %s", name, strings.Join(known, ", "))
}
