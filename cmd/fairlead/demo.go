package main

import (
	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/demo"
)

const demoHelp = `Demo runs a receiver from manifests on this machine, plays the providers at it,
and prints what was sent, what it was answered, and what reached the sink and
after how long. Only loopback is used, and nothing is left behind.

Exit codes: 0 all of it is right, 1 something is not, 2 wrong usage.`

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:     "demo PATH...",
		Short:   "Play the providers at a receiver, and show what arrives",
		Long:    demoHelp,
		Example: "  fairlead demo config/samples",
		Args:    arguments(1, 64, "the paths of manifests, such as config/samples"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return demo.Run(cmd.Context(), args, demo.Program{Version: currentVersion(), Exit: exit}, cmd.OutOrStdout())
		},
	}
}
