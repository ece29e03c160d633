package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
)

const defaultAdmin = "http://127.0.0.1:8081"

// receivers are the flags of verbs that ask running receivers.
type receivers struct {
	addresses        []string
	endpoint, output string
}

func (r *receivers) register(cmd *cobra.Command) {
	fl := cmd.PersistentFlags()
	fl.StringArrayVar(&r.addresses, "admin", []string{defaultAdmin}, "address of a receiver's admin API; may be repeated to ask several")
	fl.StringVar(&r.endpoint, "endpoint", "", "NAMESPACE/NAME of the endpoint, where a process serves several")
	fl.StringVarP(&r.output, "output", "o", "", "json or yaml; else for people")
}

// clients checks the flags and returns a client for each receiver.
func (r *receivers) clients() ([]*admin.Client, error) {
	if err := checkOutput(r.output, "", "json", "yaml"); err != nil {
		return nil, err
	}
	if r.endpoint != "" && strings.Count(r.endpoint, "/") != 1 {
		return nil, usagef("--endpoint is %q; write NAMESPACE/NAME", r.endpoint)
	}
	var all []*admin.Client
	for _, a := range r.addresses {
		c, err := admin.New(a, r.endpoint)
		if err != nil {
			return nil, usagef("--admin: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// one returns the client of the only receiver. What stands for what is only known
// within one, so whoever names a dead letter or a request names the receiver too.
func (r *receivers) one(what string) (*admin.Client, error) {
	all, err := r.clients()
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, usagef("%s is of one receiver; name that one with --admin", what)
	}
	return all[0], nil
}

// each asks every receiver in turn. One that does not answer is named by the
// error, and keeps none of the others from being asked.
func each(ctx context.Context, all []*admin.Client, f func(*admin.Client) error) error {
	var errs []error
	for _, c := range all {
		err := f(c)
		c.Close()
		if err == nil {
			continue
		}
		if len(all) > 1 {
			err = fmt.Errorf("%s: %w", c.Address(), err)
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// name is what a receiver is called in a list of several; nothing where there is
// only one.
func (r *receivers) name(c *admin.Client) string {
	if len(r.addresses) == 1 {
		return ""
	}
	return c.Address()
}

// table prints rows for people, with a column for the receiver if there are
// several. Cells of strangers are made harmless by cell.
type table struct {
	*tabwriter.Writer
	several bool
}

func (r *receivers) table(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), len(r.addresses) > 1}
	t.row("RECEIVER", columns...)
	return t
}

func (t *table) row(receiver string, cells ...string) {
	if t.several {
		cells = append([]string{receiver}, cells...)
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

// oneLine makes text of strangers harmless to a terminal.
func oneLine(text string, most int) string {
	runes := []rune(strings.TrimSpace(strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
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
