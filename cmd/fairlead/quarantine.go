package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const quarantineHelp = `Quarantine shows requests that failed verification and were kept, which
spec.queue.quarantine turns on, and verifies them again once the cause is mended:
a secret that was missing, or a profile that was wrong.

What is there was sent by anybody: nothing of it is verified.

Exit codes: 0 all is well, 1 what was asked for failed, 2 wrong usage, 130 stopped
by Ctrl-C.`

const quarantineExample = `  fairlead quarantine list
  fairlead quarantine show 7
  fairlead quarantine reverify --all`

func newQuarantine() *cobra.Command {
	var r receivers
	cmd := &cobra.Command{
		Use:     "quarantine",
		Short:   "Look at requests that failed verification, and verify them again",
		Long:    quarantineHelp,
		Example: quarantineExample,
		Args:    noSuchVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	r.register(cmd)
	cmd.AddCommand(newQuarantineList(&r), newQuarantineShow(&r), newQuarantineReverify(&r))
	return cmd
}

func readSequence(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("%q is no request in quarantine; write a number, as fairlead quarantine list shows them", text)
	}
	return n, nil
}

// locatedRequest is a quarantined request with where it is.
type locatedRequest struct {
	Receiver string `json:"receiver,omitempty"`
	v1.Quarantined
}

const quarantineListHelp = `List shows the requests in quarantine, oldest first, without their headers and
bodies.

Exit codes: 0 all is well, also if there is none, 1 a receiver does not answer, 2
wrong usage.`

func newQuarantineList(r *receivers) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List requests that failed verification",
		Long:    quarantineListHelp,
		Example: "  fairlead quarantine list\n  fairlead quarantine list -o json | jq -r .[].source | sort | uniq -c",
		Args:    arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := r.clients()
			if err != nil {
				return err
			}
			found := []locatedRequest{}
			err = each(cmd.Context(), all, func(from *admin.Client) error {
				return from.Quarantine(cmd.Context(), func(q *v1.Quarantined) bool {
					found = append(found, locatedRequest{r.name(from), *q})
					return true
				})
			})
			if printErr := printQuarantine(cmd, r, found); printErr != nil {
				return printErr
			}
			return err
		},
	}
}

func printQuarantine(cmd *cobra.Command, r *receivers, found []locatedRequest) error {
	if r.output != "" {
		return printData(cmd.OutOrStdout(), r.output, found)
	}
	if len(found) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "The quarantine is empty.")
		return nil
	}
	now := time.Now()
	t := r.table(cmd.OutOrStdout(), "REQUEST", "RECEIVED", "FROM", "HOOK", "SIZE", "REASON")
	for i := range found {
		q := &found[i]
		t.row(q.Receiver, strconv.FormatUint(q.Sequence, 10), age(&q.ReceivedAt, now), cell(q.Source, 45), cell(q.Hook, 40), size(int64(q.Size)), cell(q.Reason, 80))
	}
	return t.end()
}
