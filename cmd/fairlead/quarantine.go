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

In a cluster, name the endpoint: -n NAMESPACE NAME. Each of its receivers is asked,
through the API server and by a port that is forwarded to its pod, and --pod means one
of them. ClusterRole fairlead-receiver-admin has the rights that it takes.

Exit codes: 0 all is well, 1 what was asked for failed, 2 wrong usage, 130 stopped
by Ctrl-C.`

const quarantineExample = `  fairlead quarantine list
  fairlead quarantine list -n community chat
  fairlead quarantine show 7
  fairlead quarantine reverify --all`

func newQuarantine() *cobra.Command {
	var r receivers
	cmd := &cobra.Command{
		Use:     "quarantine",
		Short:   "Look at requests that failed verification, and verify them again",
		Long:    quarantineHelp,
		Example: quarantineExample,

		SuggestionsMinimumDistance: 2,
	}
	r.register(cmd)
	r.showOr(cmd, func(cmd *cobra.Command, args []string) error { return listQuarantine(cmd, &r, args) })
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
		Use:     "list [NAME]",
		Short:   "List requests that failed verification",
		Long:    quarantineListHelp,
		Example: "  fairlead quarantine list\n  fairlead quarantine list -o json | jq -r .[].source | sort | uniq -c",
		Args:    arguments(0, 1, "at most the name of an endpoint in the cluster"),
		RunE:    func(cmd *cobra.Command, args []string) error { return listQuarantine(cmd, r, args) },
	}
}

func listQuarantine(cmd *cobra.Command, r *receivers, args []string) error {
	if _, err := r.take(cmd, args, len(args) > 0); err != nil {
		return err
	}
	all, err := r.clients(cmd.Context())
	if err != nil {
		return err
	}
	found, err := collect(cmd.Context(), r, all, func(from *admin.Client) (some []locatedRequest, err error) {
		err = from.Quarantine(cmd.Context(), func(q *v1.Quarantined) bool {
			some = append(some, locatedRequest{r.name(from), *q})
			return true
		})
		return some, err
	})
	if printErr := printQuarantine(cmd, r, found); printErr != nil {
		return printErr
	}
	return err
}

func printQuarantine(cmd *cobra.Command, r *receivers, found []locatedRequest) error {
	if r.output != "" {
		return printData(cmd.OutOrStdout(), r.output, listed(found))
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
