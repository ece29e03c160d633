package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const mib = 1 << 20

// The aims, for 1,000 endpoints on 2 cores.
const (
	aimTime   = 60 * time.Second
	aimWrites = 12
	aimMemory = 150 * mib
)

// row is one figure beside what it aims at; 0 is an aim too, and none is -1.
type row struct {
	what, unit    string
	aim, measured float64
	more          string // what it is made of
}

const noAim = -1

func (r row) missed() bool { return r.aim != noAim && r.measured > r.aim }

func (r row) verdict() string {
	switch {
	case r.aim == noAim:
		return ""
	case r.missed():
		return "MISSED"
	}
	return "reached"
}

func (r row) aimText() string {
	switch r.aim {
	case noAim:
		return ""
	case 0:
		return strings.TrimSpace("0 " + r.unit)
	}
	return strings.TrimSpace(fmt.Sprintf("≤ %g %s", r.aim, r.unit))
}

func (f figures) rows() []row {
	each := func(n int) float64 { return float64(n) / float64(f.endpoints) }
	first := f.first.counts.plus(f.ready.counts)
	parts := func(c counts) string {
		return fmt.Sprintf("%.2f applies, %.2f of status, %.2f Events, %.2f deletes; %d refused in all; %.2f reads of one object",
			each(c.applies), each(c.statuses), each(c.events), each(c.deletes), c.refused, each(c.gets))
	}
	return []row{
		{"until all are applied", "s", aimTime.Seconds(), f.first.took.Seconds(), "from the operator's start on what is there"},
		{"writes an endpoint, until Ready", "", aimWrites, each(first.writes()), parts(first)},
		{fmt.Sprintf("writes in all, idle for %v", idleFor), "", 0, float64(f.idle.counts.writes()), ""},
		{"writes in all, operator started anew", "", 0, float64(f.restart.counts.writes()), ""},
		{"until all were looked at by then", "s", noAim, f.restart.took.Seconds(), "the next leader has the Lease at once"},
		{"until all have a provider's new range", "s", aimTime.Seconds(), f.change.took.Seconds(), "all ConfigMaps and NetworkPolicies"},
		{"writes an endpoint for that", "", aimWrites, each(f.change.counts.writes()), parts(f.change.counts)},
		{"most memory (RSS)", "MiB", aimMemory / mib, float64(max(f.peak, f.peakAgain)) / mib,
			fmt.Sprintf("%d up to Ready, %d after the second start and the change; %d at the end", f.peak/mib, f.peakAgain/mib, f.now/mib)},
	}
}

func printTable(w io.Writer, f figures, rows []row) {
	fmt.Fprintf(w, "\n| %d endpoints | aim | measured | | of this |\n|---|---:|---:|---|---|\n", f.endpoints)
	for _, r := range rows {
		measured := fmt.Sprintf("%.2f", r.measured)
		if r.measured == float64(int(r.measured)) {
			measured = fmt.Sprintf("%d", int(r.measured))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", r.what, r.aimText(), strings.TrimSpace(measured+" "+r.unit), r.verdict(), r.more)
	}
	fmt.Fprint(w, "\n| CPU seconds | took | operator | API server | etcd |\n|---|---:|---:|---:|---:|\n")
	for _, p := range []struct {
		what string
		phase
	}{
		{"create (without operator)", f.create}, {"apply all", f.first}, {"until all are Ready", f.ready}, {"idle", f.idle},
		{"operator started anew", f.restart}, {"a provider's new range", f.change},
	} {
		fmt.Fprintf(w, "| %s | %.1f s | %.1f | %.1f | %.1f |\n", p.what, p.took.Seconds(), p.operator.Seconds(), p.server.Seconds(), p.etc.Seconds())
	}
}
