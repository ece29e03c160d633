package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const reverifyHelp = `Reverify verifies requests in quarantine with the secrets and the configuration of
now; a time of signing is compared with when the request came. Those that are
right are stored as events and delivered, unless they are known as duplicates, and
leave the quarantine. The others stay.

Exit codes: 0 all that were named verify, or --all was done, 1 one that was named
does not, or a receiver does not answer, 2 wrong usage, 130 stopped by Ctrl-C.`

const reverifyExample = `  fairlead quarantine reverify 7 8
  fairlead quarantine reverify --all`

func newQuarantineReverify(r *receivers) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "reverify [NAME] REQUEST... | --all",
		Short:   "Verify requests again, and deliver those that are right",
		Long:    reverifyHelp,
		Example: reverifyExample,
		Args:    arguments(0, maxReverify+1, "requests, behind the name of an endpoint in the cluster; fairlead quarantine list shows them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := r.take(cmd, args, isName(cmd, args))
			if err != nil {
				return err
			}
			if all == (len(args) > 0) {
				return usagef("name requests, as fairlead quarantine list shows them, or give --all")
			}
			if all {
				return reverifyAll(cmd, r)
			}
			return reverifyNamed(cmd, r, args)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "verify all that there are")
	return cmd
}

// maxReverify bounds what is named in one call.
const maxReverify = 100

func reverifyNamed(cmd *cobra.Command, r *receivers, args []string) error {
	var sequences []uint64
	for _, a := range args {
		n, err := readSequence(a)
		if err != nil {
			return err
		}
		sequences = append(sequences, n)
	}
	to, err := r.one(cmd.Context(), "a request's number")
	if err != nil {
		return err
	}
	defer to.Close()
	page, err := to.Reverify(cmd.Context(), v1.Reverify{Sequences: sequences})
	if err != nil {
		return fmt.Errorf("verifying requests again: %w", err)
	}
	results := located(page.Results, r.name(to))
	if err := printReverified(cmd, r, results); err != nil {
		return err
	}
	if n := unverified(results); n > 0 {
		return fmt.Errorf("%s not stored", were(n, "request"))
	}
	return nil
}

func were(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " was"
	}
	return fmt.Sprintf("%d %ss were", n, noun)
}

func reverifyAll(cmd *cobra.Command, r *receivers) error {
	all, err := r.clients(cmd.Context())
	if err != nil {
		return err
	}
	results := []locatedResult{}
	err = r.each(cmd.Context(), all, func(to *admin.Client) error {
		in := v1.Reverify{All: true}
		for {
			if cmd.Context().Err() != nil {
				return admin.ErrStopped
			}
			page, err := to.Reverify(context.WithoutCancel(cmd.Context()), in)
			if err != nil {
				return fmt.Errorf("verifying requests again: %w", err)
			}
			results = append(results, located(page.Results, r.name(to))...)
			if in.Cursor = page.Next; in.Cursor == "" {
				return nil
			}
		}
	})
	if printErr := printReverified(cmd, r, results); printErr != nil {
		return printErr
	}
	return err
}

// locatedResult is what became of a request, with where it is.
type locatedResult struct {
	Receiver string `json:"receiver,omitempty"`
	v1.Reverified
}

func located(results []v1.Reverified, receiver string) []locatedResult {
	out := []locatedResult{}
	for _, x := range results {
		out = append(out, locatedResult{receiver, x})
	}
	return out
}

// unverified counts the requests whose event is not stored.
func unverified(results []locatedResult) int {
	n := 0
	for _, x := range results {
		if x.Result != v1.ReverifiedQueued && x.Result != v1.ReverifiedDuplicate {
			n++
		}
	}
	return n
}

func printReverified(cmd *cobra.Command, r *receivers, results []locatedResult) error {
	if r.output != "" {
		return printData(cmd.OutOrStdout(), r.output, results)
	}
	if len(results) > 0 {
		t := r.table(cmd.OutOrStdout(), "REQUEST", "RESULT", "REASON")
		for _, x := range results {
			t.row(x.Receiver, strconv.FormatUint(x.Sequence, 10), x.Result, cell(x.Reason, 100))
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s verified, %d of them stay in quarantine\n", were(len(results), "request"), unverified(results))
	return nil
}
