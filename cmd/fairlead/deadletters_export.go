package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const lettersExportHelp = `Export writes dead letters as JSON lines: an object on each line, with the
attributes of the CloudEvent (id, source, type in the provider's words, subject,
time, datacontenttype), what happened to it (sink, reason, answer, attempts,
deadAt), and the body: data_base64 is what the provider signed, byte for byte, and
data or text the same for reading. Import reads such lines; it goes by
data_base64, so tools that write JSON anew do no harm.

Nothing is changed in the receiver. The files hold what your users wrote: keep
them as you keep that.

Exit codes: 0 all is well, 1 a receiver does not answer or the file cannot be
written, 2 wrong usage.`

const lettersExportExample = `  fairlead deadletters export --sink app --output-file app.jsonl
  fairlead deadletters export | jq -r '[.deadAt, .type, .reason] | @tsv'
  fairlead deadletters export | jq -c 'select(.data.channel_type == "messaging")' > some.jsonl`

func newLettersExport(r *receivers) *cobra.Command {
	var c choice
	var file string
	cmd := &cobra.Command{
		Use:     "export [NAME]",
		Short:   "Write dead letters as JSON lines",
		Long:    lettersExportHelp,
		Example: lettersExportExample,
		Args:    arguments(0, 1, "at most the name of an endpoint in the cluster; --output-file names a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := r.take(cmd, args, len(args) > 0); err != nil {
				return err
			}
			if err := c.check(); err != nil {
				return err
			}
			all, err := r.clients(cmd.Context())
			if err != nil {
				return err
			}
			if r.output != "" {
				return usagef("export always writes JSON lines; leave --output out")
			}
			return exportLetters(cmd, r, all, &c, file)
		},
	}
	c.register(cmd, 0)
	cmd.Flags().StringVar(&file, "output-file", "", "file to write, for its owner alone to read; else standard output")
	return cmd
}

func exportLetters(cmd *cobra.Command, r *receivers, all []*admin.Client, c *choice, file string) error {
	out, closeOut, err := exportTo(cmd, file)
	if err != nil {
		return err
	}
	n := 0
	lines := bufio.NewWriter(out)
	enc := json.NewEncoder(lines)
	enc.SetEscapeHTML(false)
	err = r.each(cmd.Context(), all, func(from *admin.Client) error {
		_, err := c.visit(cmd.Context(), from, true, func(d *v1.DeadLetter) error {
			n++
			return enc.Encode(d)
		})
		return err
	})
	if err = errors.Join(err, lines.Flush(), closeOut()); err != nil {
		return fmt.Errorf("exporting dead letters, %d were written: %w", n, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s exported\n", plural(n, "dead letter"))
	return nil
}

func exportTo(cmd *cobra.Command, file string) (io.Writer, func() error, error) {
	if file == "" {
		return cmd.OutOrStdout(), func() error { return nil }, nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("making the file: %w", err)
	}
	return f, f.Close, nil
}
