package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const lettersDropHelp = `Drop forgets dead letters for good. Export them first if they may be wanted again.

Name dead letters, or choose them by flags; where more than one is chosen by
flags, --yes must say that this is meant (--dry-run shows which they are). What is
dropped stays counted as dead.

Exit codes: 0 all were dropped, 1 some could not be, 2 wrong usage, 130 stopped by
Ctrl-C.`

const lettersDropExample = `  fairlead deadletters drop app/12
  fairlead deadletters drop --sink old --yes
  fairlead deadletters drop --older-than 168h --dry-run`

func newLettersDrop(r *receivers) *cobra.Command {
	var f lettersBulk
	cmd := &cobra.Command{
		Use:     "drop [NAME] SINK/SEQUENCE... | FLAGS",
		Short:   "Forget dead letters",
		Long:    lettersDropHelp,
		Example: lettersDropExample,
		Args:    arguments(0, v1.MaxIDs+1, "dead letters, behind the name of an endpoint in the cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := &bulk{done: "dropped", noun: "dead letter"}
			return f.run(cmd, r, args, b, func(ctx context.Context, from *admin.Client, ids []string) (int, error) {
				done, err := from.DropDeadLetters(ctx, ids)
				return done.Missing, err
			})
		},
	}
	f.register(cmd, "drop")
	return cmd
}
