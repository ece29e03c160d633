package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

// greeting says what is served, and where.
type greeting struct {
	all           []manifest.Resolved
	listen, admin net.Addr
	data          string
	tls           bool
}

func (g *greeting) print(w io.Writer) {
	fmt.Fprintf(w, "Serving; queues are in %s. Stop with Ctrl-C.\n", g.data)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, e := range g.all {
		fmt.Fprintf(t, "  %s/%s\t%s\t%s%s\tsinks: %s%s\n", e.Endpoint.Namespace, e.Endpoint.Name, e.Endpoint.Spec.Provider,
			g.origin(), e.Result.Config.Path, sinksOf(e), respondersOf(e))
	}
	_ = t.Flush() // standard error is gone if this fails
	fmt.Fprintf(w, "Telemetry: http://%s/statusz and /metrics\n", g.admin)
	for _, e := range g.all {
		for _, text := range append(e.Warnings, g.warnings(e)...) {
			fmt.Fprintf(w, "Warning: %s/%s: %s\n", e.Endpoint.Namespace, e.Endpoint.Name, text)
		}
	}
}

func (g *greeting) origin() string {
	if g.tls {
		return "https://" + g.listen.String()
	}
	return "http://" + g.listen.String()
}

// warnings says what differs from a cluster.
func (g *greeting) warnings(e manifest.Resolved) []string {
	if g.tls || !desired.ServesTLS(e.Endpoint) {
		return nil
	}
	return []string{"In a cluster the receiver serves TLS, because spec.exposure.tls is set; here it speaks plain HTTP, because --tls-dir is not given"}
}

func sinksOf(e manifest.Resolved) string {
	var names []string
	for i := range e.Result.Config.Sinks {
		names = append(names, e.Result.Config.Sinks[i].Name)
	}
	return strings.Join(names, ", ")
}

// respondersOf lists the hooks that are answered, each with its responders where
// they have names of their own.
func respondersOf(e manifest.Resolved) string {
	var names []string
	for i := range e.Result.Config.Responders {
		r := &e.Result.Config.Responders[i]
		name := r.Hook
		if r.Name != r.Hook {
			name += "/" + r.Name
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return "; responders: " + strings.Join(names, ", ")
}
