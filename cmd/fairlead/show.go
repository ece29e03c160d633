package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"
)

// table prints rows for people, with a column for the receiver if there are
// several. Every cell is made harmless to a terminal; cell also bounds one.
type table struct {
	*tabwriter.Writer
	several bool
}

func (r *receivers) table(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), r.several}
	t.row("RECEIVER", columns...)
	return t
}

func (t *table) row(receiver string, cells ...string) {
	if t.several {
		cells = append([]string{receiver}, cells...)
	}
	for i := range cells {
		cells[i] = oneLine(cells[i], maxValue)
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}

func (t *table) end() error {
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

// cell is text of strangers on one line of at most most characters; a dash if
// there is none.
func cell(text string, most int) string { return cmp.Or(oneLine(text, most), "-") }

// oneLine makes text of strangers harmless to a terminal, and one line.
func oneLine(text string, most int) string {
	runes := []rune(strings.TrimSpace(strings.ReplaceAll(harmless(text), "\n", " ")))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
}

// harmless is text with nothing in it that a terminal takes for an order: of what is
// no character to show, only line ends stay.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// age is how long ago something was, for people.
func age(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(0, now.Sub(*t)))
}

// size is a number of bytes, for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f /= 1024
		u++
	}
	if u == 0 || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, units[u])
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// showable returns a body as text that a terminal can show: UTF-8 whose only
// control characters are line ends and tabs.
func showable(body []byte) (string, bool) {
	if !utf8.Valid(body) {
		return "", false
	}
	for _, r := range string(body) {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return "", false
		}
	}
	return string(body), true
}
