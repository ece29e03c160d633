package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const lettersShowHelp = `Show shows one dead letter: its event with headers and body, why it is dead, and
how the sink's last answer began. A body that is no text is only counted; with -o
json it is there in base64.

Exit codes: 0 all is well, 1 it is not there, 2 wrong usage.`

const lettersShowExample = `  fairlead deadletters show app/12
  fairlead deadletters show app/12 -o json | jq -r .data_base64 | base64 -d > body.bin`

func newLettersShow(r *receivers) *cobra.Command {
	return &cobra.Command{
		Use:     "show [NAME] SINK/SEQUENCE",
		Short:   "Show one dead letter, with its body",
		Long:    lettersShowHelp,
		Example: lettersShowExample,
		Args:    arguments(1, 2, "one dead letter, behind the name of an endpoint in the cluster; fairlead deadletters list shows them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := r.take(cmd, args, isName(cmd, args))
			if err != nil {
				return err
			}
			if err := arguments(1, 1, "one dead letter")(cmd, args); err != nil {
				return err
			}
			if !v1.IsDeadLetterName(args[0]) {
				return usagef("%q names no dead letter; write SINK/SEQUENCE", args[0])
			}
			from, err := r.one(cmd.Context(), "a dead letter's name")
			if err != nil {
				return err
			}
			defer from.Close()
			d, err := from.DeadLetter(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("showing dead letter %s: %w", args[0], err)
			}
			if r.output != "" {
				return printData(cmd.OutOrStdout(), r.output, d)
			}
			return printLetter(cmd.OutOrStdout(), d, time.Now())
		},
	}
}

// line is a name with its value; one without a value is not printed.
type line struct{ name, value string }

// maxValue bounds what is printed of one value.
const maxValue = 4096

func printLines(w io.Writer, lines []line) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		if l.value != "" {
			fmt.Fprintf(t, "%s:\t%s\n", oneLine(l.name, maxValue), oneLine(l.value, maxValue))
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

func printLetter(w io.Writer, d *v1.DeadLetter, now time.Time) error {
	lines := []line{
		{"Dead letter", d.DeadLetter}, {"Reason", d.Reason}, {"Answer", d.Answer},
		{"Died", fmt.Sprintf("%s (%s ago)", d.DeadAt.Format(time.RFC3339), diedAgo(d, now))},
		{"Attempts before", fmt.Sprint(d.Attempts)}, {"Size", size(d.Size)},
	}
	if d.Unreadable {
		return printLines(w, append(lines, line{"Event", "its record is damaged and cannot be read"}))
	}
	lines = append(lines, line{"Event", d.ID}, line{"Type", d.Type}, line{"Subject", d.Subject}, line{"Hook", d.Hook}, line{"Time", d.Time},
		line{"Received", d.ReceivedAt.Format(time.RFC3339)}, line{"Replay", d.Replay}, line{"Content type", d.DataContentType})
	for _, h := range d.Headers {
		lines = append(lines, line{"Header", h.Name + ": " + h.Value})
	}
	if err := printLines(w, lines); err != nil {
		return err
	}
	printBody(w, d.DataBase64)
	return nil
}

// printBody prints a body, if it is text that a terminal can show.
func printBody(w io.Writer, body []byte) {
	if text, ok := showable(body); ok {
		fmt.Fprintf(w, "\n%s\n", text)
		return
	}
	fmt.Fprintf(w, "\nThe body is %s, and no text; -o json shows it in base64.\n", plural(len(body), "byte"))
}
