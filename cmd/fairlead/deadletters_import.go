package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const lettersImportHelp = `Import reads lines that export has written and stores them as dead letters; replay
then has them delivered. Those that this receiver has had from an import within
the last day are known and not stored twice, so an import that was broken off can
be made again. While there is no room, it waits.

Lines that cannot be read are named, and the others are stored.

Exit codes: 0 all lines are stored or known, 1 some are not, 2 wrong usage, 130
stopped by Ctrl-C.`

const lettersImportExample = `  fairlead deadletters import app.jsonl
  fairlead deadletters export --admin http://127.0.0.1:8081 | fairlead deadletters import --admin http://127.0.0.1:8091 -`

func newLettersImport(r *receivers) *cobra.Command {
	return &cobra.Command{
		Use:     "import [NAME] FILE|-",
		Short:   "Store exported dead letters",
		Long:    lettersImportHelp,
		Example: lettersImportExample,
		Args:    arguments(1, 2, "one file, or - for standard input, behind the name of an endpoint in the cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := r.take(cmd, args, len(args) > 1)
			if err != nil {
				return err
			}
			to, err := r.one(cmd.Context(), "an import")
			if err != nil {
				return err
			}
			defer to.Close()
			return importLetters(cmd, to, r.output, args[0])
		},
	}
}

func importLetters(cmd *cobra.Command, to *admin.Client, output, file string) error {
	var from io.Reader = cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("reading exported dead letters: %w", err)
		}
		defer f.Close()
		from = f
	}
	p := admin.NewProgress(cmd.ErrOrStderr(), "read", time.Now)
	sum, err := to.Import(cmd.Context(), from, p, time.Now)
	p.End()
	if printErr := printImported(cmd, sum, output); printErr != nil {
		return printErr
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w; after %s, the same command goes on", err, plural(sum.Lines, "line"))
	case sum.Refused > 0:
		return fmt.Errorf("%s could not be imported", plural(sum.Refused, "line"))
	}
	return nil
}

func printImported(cmd *cobra.Command, sum *v1.Imported, output string) error {
	if output != "" {
		return printData(cmd.OutOrStdout(), output, sum)
	}
	for _, e := range sum.Errors {
		fmt.Fprintf(cmd.ErrOrStderr(), "line %d: %s\n", e.Line, oneLine(e.Error, 200))
	}
	if more := sum.Refused - len(sum.Errors); more > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "and %s more\n", plural(more, "line"))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s stored, %d known already, %d refused\n", plural(sum.Stored, "dead letter"), sum.Known, sum.Refused)
	return nil
}
