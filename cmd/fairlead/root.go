package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
)

// Exit codes. They are documented in the help of the root command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitNotReady is that of status for an endpoint that is not ready, and for a
	// receiver that does not answer.
	exitNotReady = 3
	// exitStopped is that of a shell for a program that Ctrl-C has ended.
	exitStopped = 130
)

const rootHelp = `fairlead takes webhooks in: verified, on disk before they are answered, and
delivered byte for byte.

This tool checks the manifests that a cluster is given, runs the very same
receiver from them without a cluster, plays the providers, says how endpoints are,
and asks running receivers what they hold: queue, dead letters, quarantine, and
stored events, which they can deliver once more. Receivers in a cluster are reached
through its API server, with the rights that you have there (ports of pods).

Exit codes: 0 all is well, 1 what was asked for failed, 2 wrong usage, 3 an endpoint
is not ready (status), 130 stopped by Ctrl-C.`

const rootExample = `  # Check a manifest as the API server and the operator do.
  fairlead validate -f endpoint.yaml

  # Send it a message as Stream Chat would.
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt

  # How an endpoint in a cluster is, and what it could not deliver.
  fairlead status -n community chat
  fairlead deadletters list -n community chat`

// usageError is an error in how the tool was called.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// newRoot returns the tool with all of its verbs.
func newRoot(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "fairlead",
		Short:         "Take webhooks in, verified and on disk before they are answered",
		Long:          rootHelp,
		Example:       rootExample,
		Args:          noSuchVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newDeadLetters(), newDemo(), newQuarantine(), newQueue(), newRanges(), newRender(), newReplay(), newRun(), newSend(),
		newStatus(), newValidate(), newVersion())
	return root
}

// execute runs the tool and returns its exit code. The first of args is what the
// program was called as.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(stdin, stdout, stderr)
	say := call(root, args[0])
	root.SetArgs(args[1:])
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNotReady): // it was shown
		return exitNotReady
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "Error: %s\nSee %s --help.\n", harmless(say(err.Error())), cmd.CommandPath())
		return exitUsage
	case errors.Is(err, context.Canceled) && !errors.Is(err, admin.ErrStopped):
		err = admin.ErrStopped // before anything was done
	}
	fmt.Fprintf(stderr, "Error: %s\n", harmless(say(err.Error()))) // a part of it may be of a receiver, or of whoever answers for one
	if errors.Is(err, admin.ErrStopped) {
		return exitStopped
	}
	return exitFailed
}

func noSuchVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("there is no verb %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return usagef("there is no verb %q", args[0])
}

// arguments checks how many arguments a verb is given, and says what they are.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usagef("want %s, got %d arguments", what, len(args))
		}
		return nil
	}
}

// checkOutput checks the value of --output.
func checkOutput(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usagef("--output is %q; it must be one of %s", value, strings.Join(slices.DeleteFunc(allowed, isEmpty), ", "))
}

func isEmpty(s string) bool { return s == "" }
