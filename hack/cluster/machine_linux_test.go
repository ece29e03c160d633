package cluster_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine returns what a cluster must leave as it is: mounts, devices, routes, rules
// and sysctls, and what there is where programs of a node write by themselves.
func machine(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, f := range []string{
		"/proc/self/mountinfo", "/proc/net/route", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops",
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/net/ipv4/conf/all/rp_filter", "/proc/sys/net/ipv4/conf/default/rp_filter",
	} {
		content, err := os.ReadFile(f)
		fmt.Fprintln(&b, f, string(content), err)
	}
	for _, pattern := range []string{
		"/sys/class/net/*", "/run/containerd", "/run/netns/*", "/run/xtables.lock", "/var/lib/cni", "/var/lib/containerd",
		"/var/lib/kubelet/*", "/var/log/pods/*", "/var/log/containers/*", "/opt/containerd/*", "/etc/cni/*",
	} {
		found, err := filepath.Glob(pattern)
		fmt.Fprintln(&b, pattern, found, err)
	}
	rules, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	fmt.Fprintln(&b, string(rules), err)
	return b.String()
}

// A trace is by what a cluster can be found.
type trace struct {
	R, cgroup string
	spaces    []string // its namespaces
}

// whatIs returns the trace of a cluster that is up.
func whatIs(t *testing.T, c *cluster) trace {
	t.Helper()
	tr := trace{R: c.R}
	content, err := os.ReadFile("/proc/" + pidOf(t, c, "containerd") + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(content), "/") {
		if strings.HasPrefix(part, "fairlead-") {
			tr.cgroup = strings.TrimSpace(part)
		}
	}
	for _, kind := range []string{"mnt", "net"} {
		space, err := os.Readlink("/proc/" + pidOf(t, c, "host") + "/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		tr.spaces = append(tr.spaces, space)
	}
	if tr.cgroup == "" {
		t.Fatalf("containerd is in no cgroup of ours:\n%s", content)
	}
	return tr
}

// checkGone holds that there is no folder, no cgroup, no process of it, and none in
// its namespaces, which therefore are gone, too.
func (tr trace) checkGone(t *testing.T) {
	t.Helper()
	var left []string
	for _, pattern := range []string{tr.R, "/sys/fs/cgroup/" + tr.cgroup, "/sys/fs/cgroup/*/" + tr.cgroup} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/[mn][ne]t")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if space, err := os.Readlink(l); err == nil && slices.Contains(tr.spaces, space) {
			left = append(left, l+" "+space)
		}
	}
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func pidOf(t *testing.T, c *cluster, name string) string {
	t.Helper()
	line, err := os.ReadFile(filepath.Join(c.R, "pid", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(line))[0]
}
