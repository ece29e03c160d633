package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const quarantineShowHelp = `Show shows one request in quarantine with its headers and its body, as it came
over the wire. Headers that are likely to hold secrets are only named.

Exit codes: 0 all is well, 1 it is not there, 2 wrong usage.`

func newQuarantineShow(r *receivers) *cobra.Command {
	return &cobra.Command{
		Use:     "show [NAME] REQUEST",
		Short:   "Show one request that failed verification",
		Long:    quarantineShowHelp,
		Example: "  fairlead quarantine show 7\n  fairlead quarantine show 7 -o json | jq -r .body_base64 | base64 -d > body.bin",
		Args:    arguments(1, 2, "one request, behind the name of an endpoint in the cluster; fairlead quarantine list shows them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := r.take(cmd, args, isName(cmd, args))
			if err != nil {
				return err
			}
			if err := arguments(1, 1, "one request")(cmd, args); err != nil {
				return err
			}
			n, err := readSequence(args[0])
			if err != nil {
				return err
			}
			from, err := r.one(cmd.Context(), "a request's number")
			if err != nil {
				return err
			}
			defer from.Close()
			q, err := from.Quarantined(cmd.Context(), n)
			if err != nil {
				return fmt.Errorf("showing request %d: %w", n, err)
			}
			if r.output != "" {
				return printData(cmd.OutOrStdout(), r.output, q)
			}
			return printRequest(cmd.OutOrStdout(), q, time.Now())
		},
	}
}

func printRequest(w io.Writer, q *v1.Quarantined, now time.Time) error {
	path := q.Path
	if q.Query != "" {
		path += "?" + q.Query
	}
	lines := []line{{"Request", fmt.Sprintf("%d: %s %s", q.Sequence, q.Method, path)}, {"Reason", q.Reason},
		{"Received", fmt.Sprintf("%s (%s ago)", q.ReceivedAt.Format(time.RFC3339), age(&q.ReceivedAt, now))}, {"From", q.Source}, {"Hook", q.Hook}}
	for _, h := range q.Headers {
		lines = append(lines, line{"Header", h.Name + ": " + h.Value})
	}
	if err := printLines(w, append(lines, line{"Not shown", strings.Join(q.Hidden, ", ")})); err != nil {
		return err
	}
	printBody(w, q.BodyBase64)
	return nil
}
