package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	tableBegins = "<!-- values: made by `make generate` from values.yaml -->\n"
	tableEnds   = "<!-- end of values -->\n"
)

var errMarks = errors.New("the marks around the table of values are not there")

// withTable puts the table of values between the marks of the README.
func withTable(readme []byte, settings []setting) ([]byte, error) {
	head, rest, begins := bytes.Cut(readme, []byte(tableBegins))
	_, tail, ends := bytes.Cut(rest, []byte(tableEnds))
	if !begins || !ends {
		return nil, fmt.Errorf("writing the chart's README: %w", errMarks)
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(tableBegins)
	section := ""
	for _, s := range settings {
		if s.section != section {
			section = s.section
			fmt.Fprintf(&b, "\n### %s\n\n| value | default | what it is |\n|---|---|---|\n", section)
		}
		if err := s.rows(&b); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n" + tableEnds)
	b.Write(tail)
	return b.Bytes(), nil
}

// rows writes a line for the value if its comment has text, and for those below it.
func (s setting) rows(b *bytes.Buffer) error {
	shown := ""
	if len(s.children) == 0 {
		var v any
		if err := s.value.Decode(&v); err != nil {
			return fmt.Errorf("reading default of %q: %w", s.name(), err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing default of %q: %w", s.name(), err)
		}
		shown = "`" + string(out) + "`"
	}
	if s.text != "" {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", s.name(), shown, strings.ReplaceAll(s.text, "|", `\|`))
	}
	for _, c := range s.children {
		if err := c.rows(b); err != nil {
			return err
		}
	}
	return nil
}
