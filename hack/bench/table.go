package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The names of what is measured. Systems of the program that is compared with
// have suffixB.
const (
	nameYardstick = "go-verify"
	nameAccept    = "accept"
	nameDeliver   = "accept+deliver"
	suffixB       = " (B)"
)

const mib = 1 << 20

// A row is one figure beside what it must reach and what it aims at.
type row struct {
	what      string
	unit      string
	must, aim float64
	more      bool      // more is better
	rounds    []float64 // one value a round
}

// verdict says which of its targets the median reaches.
func (r *row) verdict() string {
	if len(r.rounds) == 0 {
		return "not measured"
	}
	m := median(r.rounds)
	reaches := func(target float64) bool {
		if r.more {
			return m >= target
		}
		return m <= target
	}
	switch {
	case reaches(r.aim):
		return "aim reached"
	case reaches(r.must):
		return "must reached"
	default:
		return "MISSED"
	}
}

// ratioRows makes the table of targets. Ratios are to go-verify in the same
// round, because absolute figures change with the minute.
func ratioRows(systems []*system, fairlead, receiver int64) []row {
	base, acc, del := find(systems, nameYardstick), find(systems, nameAccept), find(systems, nameDeliver)
	pair := func(s *system, f func(f, base figures) float64) []float64 {
		values := make([]float64, 0, len(s.rounds))
		for i := range s.rounds {
			values = append(values, f(s.rounds[i], base.rounds[i]))
		}
		return values
	}
	rows := []row{
		{"accept, fsync before 200, 64 connections", "x go-verify", 0.50, 0.60, true,
			pair(acc, func(f, b figures) float64 { return f.perSecond / b.perSecond })},
		{"CPU per 1000 accepted", "x go-verify's", 2.0, 1.8, false,
			pair(acc, func(f, b figures) float64 { return float64(f.cpu) / float64(b.cpu) })},
		{"accept + deliver to one HTTP sink", "x go-verify", 0.24, 0.36, true,
			pair(del, func(f, b figures) float64 { return f.delivered / b.perSecond })},
		{"p50 at 1000/s", "ms", 1.2, 1.0, false, pair(acc, func(f, _ figures) float64 { return ms(f.openP50) })},
		{"p99 at 1000/s", "ms", 15, 5, false, pair(acc, func(f, _ figures) float64 { return ms(f.openP99) })},
		{"added p50 at 1 connection", "µs", 150, 100, false,
			pair(acc, func(f, b figures) float64 { return float64((f.singleP50 - b.singleP50).Microseconds()) })},
		{"memory, idle", "MiB", 30, 25, false, pair(acc, func(f, _ figures) float64 { return float64(f.idle) / mib })},
		{"memory, 64 connections", "MiB", 64, 40, false, pair(acc, func(f, _ figures) float64 { return float64(f.loaded) / mib })},
		{"start to ready, empty", "s", 0.3, 0.2, false, pair(acc, func(f, _ figures) float64 { return f.ready.Seconds() })},
		{"written per event of 1.25 KiB", "KiB", 3, 1.5, false, pair(acc, func(f, _ figures) float64 { return f.written / 1024 })},
	}
	for _, b := range []struct {
		name string
		size int64
	}{{"bin/fairlead", fairlead}, {"bin/receiver", receiver}} {
		r := row{what: b.name, unit: "MiB", must: 40, aim: 25}
		if b.size > 0 {
			r.rounds = []float64{float64(b.size) / mib}
		}
		rows = append(rows, r)
	}
	return rows
}

// printRows prints the table of targets and says whether a must is missed.
func printRows(w io.Writer, rows []row) (missed bool) {
	fmt.Fprintln(w, "\nTargets (median of the rounds; in brackets the least and the most):")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  what\tunit\tmust\taim\tmeasured\t\tverdict")
	for _, r := range rows {
		sign := "<="
		if r.more {
			sign = ">="
		}
		v := r.verdict()
		missed = missed || v == "MISSED"
		fmt.Fprintf(t, "  %s\t%s\t%s %s\t%s\t%s\t%s\t%s\n", r.what, r.unit, sign, number(r.must), number(r.aim), number(median(r.rounds)), spread(r.rounds), v)
	}
	t.Flush()
	return missed
}

// printAbsolute prints each system's figures as they are.
func printAbsolute(w io.Writer, systems []*system) {
	fmt.Fprintln(w, "\nMedians; absolute figures are of this machine in these minutes and of nothing else:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  system\tper s\tCPU ms/1000\tp50 ms\tp99 ms\tp50 µs, 1 conn\tidle MiB\tloaded MiB\tready s\t")
	for _, s := range systems {
		fmt.Fprintf(t, "  %s", s.name)
		for _, get := range []func(figures) float64{
			func(f figures) float64 { return f.perSecond },
			func(f figures) float64 { return ms(f.cpu) },
			func(f figures) float64 { return ms(f.openP50) },
			func(f figures) float64 { return ms(f.openP99) },
			func(f figures) float64 { return float64(f.singleP50.Microseconds()) },
			func(f figures) float64 { return float64(f.idle) / mib },
			func(f figures) float64 { return float64(f.loaded) / mib },
			func(f figures) float64 { return f.ready.Seconds() },
		} {
			v := median(s.values(get))
			if v == 0 {
				fmt.Fprint(t, "\t-")
			} else {
				fmt.Fprintf(t, "\t%s", number(v))
			}
		}
		fmt.Fprintln(t, "\t")
	}
	t.Flush()
}

// printLedger says what became of what was accepted while it was delivered.
func printLedger(w io.Writer, systems []*system) {
	fmt.Fprintln(w, "\nDelivery, by round:")
	for _, s := range systems {
		if !strings.HasPrefix(s.name, nameDeliver) {
			continue
		}
		for i, f := range s.rounds {
			fmt.Fprintf(w, "  %s %d: accepted %.0f/s, delivered %.0f/s, backlog %d", s.name, i+1, f.perSecond, f.delivered, f.backlog)
			if f.missing > 0 {
				fmt.Fprintf(w, ", of which %d were NOT delivered after %.1f s", f.missing, f.drained.Seconds())
			} else {
				fmt.Fprintf(w, ", all delivered %.1f s later", f.drained.Seconds())
			}
			fmt.Fprintf(w, ", %d deliveries made twice\n", f.again)
		}
	}
}

// printAgainst compares two programs, each round of one with the same of the
// other.
func printAgainst(w io.Writer, systems []*system) {
	fmt.Fprintln(w, "\nThe program against B (above 1: more than B; median, in brackets the least and the most):")
	for _, name := range []string{nameAccept, nameDeliver} {
		a, b := find(systems, name), find(systems, name+suffixB)
		var rate, cpu []float64
		for i := range a.rounds {
			if name == nameDeliver {
				rate = append(rate, a.rounds[i].delivered/b.rounds[i].delivered)
			} else {
				rate = append(rate, a.rounds[i].perSecond/b.rounds[i].perSecond)
			}
			cpu = append(cpu, float64(a.rounds[i].cpu)/float64(b.rounds[i].cpu))
		}
		fmt.Fprintf(w, "  %-16s per second x %s %s, CPU per 1000 x %s %s\n", name, number(median(rate)), spread(rate), number(median(cpu)), spread(cpu))
	}
}

// find returns the system of a name; one without rounds if there is none.
func find(systems []*system, name string) *system {
	for _, s := range systems {
		if s.name == name {
			return s
		}
	}
	return &system{name: name}
}

// values returns one figure of every round.
func (s *system) values(get func(figures) float64) []float64 {
	out := make([]float64, 0, len(s.rounds))
	for _, f := range s.rounds {
		out = append(out, get(f))
	}
	return out
}

// median returns the middle value, or the mean of the two in the middle; 0 of
// nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// spread says the least and the most of several values.
func spread(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	return "(" + number(slices.Min(values)) + " to " + number(slices.Max(values)) + ")"
}

// number prints three digits that matter.
func number(v float64) string {
	switch a := max(v, -v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1 || a == 0:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
