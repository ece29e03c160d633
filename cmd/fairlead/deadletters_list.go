package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const lettersListHelp = `List shows dead letters, in the order of their sinks and of when the events came.

Exit codes: 0 all is well, also if there is none, 1 a receiver does not answer, 2
wrong usage.`

const lettersListExample = `  fairlead deadletters list
  fairlead deadletters list --sink app --reason timeout --newer-than 1h
  fairlead deadletters list --limit 0 -o json | jq -r .[].id`

// listLimit is how many are listed unless somebody asks for more.
const listLimit = 100

func newLettersList(r *receivers) *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:     "list [NAME]",
		Short:   "List dead letters",
		Long:    lettersListHelp,
		Example: lettersListExample,
		Args:    arguments(0, 1, "at most the name of an endpoint in the cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return listLetters(cmd, r, args, &c)
		},
	}
	c.register(cmd, listLimit)
	return cmd
}

func listLetters(cmd *cobra.Command, r *receivers, args []string, c *choice) error {
	if _, err := r.take(cmd, args, len(args) > 0); err != nil {
		return err
	}
	return listChosen(cmd, r, c)
}

func listChosen(cmd *cobra.Command, r *receivers, c *choice) error {
	if err := c.check(); err != nil {
		return err
	}
	all, err := r.clients(cmd.Context())
	if err != nil {
		return err
	}
	var cut atomic.Bool
	found, err := collect(cmd.Context(), r, all, func(from *admin.Client) (some []locatedLetter, err error) {
		more, err := c.visit(cmd.Context(), from, false, func(d *v1.DeadLetter) error {
			some = append(some, locatedLetter{r.name(from), *d})
			return nil
		})
		if more {
			cut.Store(true)
		}
		return some, err
	})
	if printErr := printLetters(cmd, r, found); printErr != nil {
		return printErr
	}
	if cut.Load() {
		fmt.Fprintf(cmd.ErrOrStderr(), "There are more; --limit 0 lists all.\n")
	}
	return err
}

func printLetters(cmd *cobra.Command, r *receivers, found []locatedLetter) error {
	if r.output != "" {
		return printData(cmd.OutOrStdout(), r.output, listed(found))
	}
	if len(found) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "There are no such dead letters.")
		return nil
	}
	now := time.Now()
	t := r.table(cmd.OutOrStdout(), "DEAD LETTER", "EVENT", "TYPE", "DIED", "SIZE", "REASON")
	for i := range found {
		d := &found[i]
		t.row(d.Receiver, d.DeadLetter.DeadLetter, cell(d.ID, 40), cell(d.Type, 40), diedAgo(&d.DeadLetter, now), size(d.Size), cell(d.Reason, 80))
	}
	return t.end()
}
