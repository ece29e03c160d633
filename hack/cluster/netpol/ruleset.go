package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// table is the name of ours; cp.sh deletes it by that name.
const table = "netpol"

// ruleset returns the input of nft that makes our table what it should be, whatever
// it was. A connection passes both gates on its way: that behind the one who opens
// it, and that before the other. It is seen as it is after kube-proxy has chosen a
// pod for a Service, and before an address is hidden behind the node's. On its way
// to the node itself it passes the first gate.
func (v view) ruleset() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table ip %[1]s\ndelete table ip %[1]s\ntable ip %[1]s {\n", table)
	egress, ingress := v.egress(), v.ingress()
	for _, g := range egress {
		g.write(&b, "from", "daddr")
	}
	for _, g := range ingress {
		g.write(&b, "to", "saddr")
	}
	hook(&b, "forward", jumps("from", "saddr", egress), jumps("to", "daddr", ingress))
	hook(&b, "input", jumps("from", "saddr", egress))
	b.WriteString("}\n")
	return b.String()
}

// hook writes a chain that packets of the kernel pass.
func hook(b *strings.Builder, name string, rules ...string) {
	fmt.Fprintf(b, "\tchain %[1]s {\n\t\ttype filter hook %[1]s priority filter; policy accept;\n", name)
	b.WriteString("\t\tct state established,related accept\n")
	for _, r := range rules {
		b.WriteString(r)
	}
	b.WriteString("\t}\n")
}

// jumps returns the rule that leads to the gate of an address, if there are gates.
func jumps(prefix, field string, gates []gate) string {
	if len(gates) == 0 {
		return ""
	}
	var all []string
	for _, g := range gates {
		all = append(all, fmt.Sprintf("%s : jump %s", g.pod.address, g.chain(prefix)))
	}
	return fmt.Sprintf("\t\tip %s vmap { %s }\n", field, strings.Join(all, ", "))
}

// chain returns a name that no other pod has, and that is short enough.
func (g gate) chain(prefix string) string {
	return prefix + "-" + string(g.pod.UID)
}

// write writes the gate as a chain that returns for what may pass, where field is
// the address of the other side. A pod always reaches itself.
func (g gate) write(b *strings.Builder, prefix, field string) {
	fmt.Fprintf(b, "\tchain %s { # %s/%s\n", g.chain(prefix), g.pod.Namespace, g.pod.Name)
	fmt.Fprintf(b, "\t\tip %s %s return\n", field, g.pod.address)
	var seen []string
	for _, m := range g.matches {
		if rule := m.rule(field); !slices.Contains(seen, rule) {
			seen = append(seen, rule)
			fmt.Fprintf(b, "\t\t%s\n", rule)
		}
	}
	b.WriteString("\t\tcounter drop\n\t}\n")
}

func (m match) rule(field string) string {
	var parts []string
	if s := set(m.peers); s != "" && !slices.ContainsFunc(m.peers, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		parts = append(parts, "ip "+field+" "+s)
	}
	if s := set(m.except); s != "" {
		parts = append(parts, "ip "+field+" != "+s)
	}
	switch to := m.port; {
	case to.protocol == "":
	case to.first == 0:
		parts = append(parts, "meta l4proto "+to.protocol)
	case to.first == to.last:
		parts = append(parts, fmt.Sprintf("%s dport %d", to.protocol, to.first))
	default:
		parts = append(parts, fmt.Sprintf("%s dport %d-%d", to.protocol, to.first, to.last))
	}
	return strings.Join(append(parts, "return"), " ")
}

// set returns prefixes as nft writes them, or nothing if there are none.
func set(prefixes []netip.Prefix) string {
	var all []string
	for _, p := range prefixes {
		if p.IsSingleIP() {
			all = append(all, p.Addr().String())
		} else {
			all = append(all, p.String())
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "{ " + strings.Join(all, ", ") + " }"
}
