package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// row is one line of the table.
type row struct {
	scenario, shows, result string
	figures                 []string
}

// note adds a figure to the line.
func (r *row) note(format string, args ...any) {
	r.figures = append(r.figures, fmt.Sprintf(format, args...))
}

// report is the table of what was shown, and with what.
type report struct {
	began time.Time
	mu    sync.Mutex
	rows  []*row
	with  [][2]string
	// kept is the folder with the logs of what failed; empty if nothing did.
	kept string
}

func newReport() *report { return &report{began: time.Now()} }

// step shows one thing: it runs as a subtest and is a line of the table. It reports
// whether it was shown.
func (r *rig) step(t *testing.T, shows string, try func(*testing.T, *row)) bool {
	t.Helper()
	line := &row{scenario: scenarioOf(t), shows: shows}
	r.report.mu.Lock()
	r.report.rows = append(r.report.rows, line)
	r.report.mu.Unlock()
	return t.Run(strings.ReplaceAll(shows, "/", " or "), func(t *testing.T) {
		began := time.Now()
		defer func() {
			line.result = "shown"
			switch {
			case t.Failed():
				line.result = "NOT SHOWN"
			case t.Skipped():
				line.result = "not tried"
			}
			t.Logf("%s in %s: %s", line.result, seconds(time.Since(began)), strings.Join(line.figures, "; "))
		}()
		try(t, line)
	})
}

// must is step, after whose failure the scenario makes no sense.
func (r *rig) must(t *testing.T, shows string, try func(*testing.T, *row)) {
	t.Helper()
	if !r.step(t, shows, try) {
		t.FailNow()
	}
}

func scenarioOf(t testing.TB) string {
	parts := strings.Split(t.Name(), "/")
	return parts[min(1, len(parts)-1)]
}

// versions notes with what all this was done.
func (p *report) versions(t *testing.T, r *rig) {
	t.Helper()
	var nodes corev1.NodeList
	if err := r.kube.List(t.Context(), &nodes); err != nil || len(nodes.Items) == 0 {
		t.Fatalf("listing nodes: %v", err)
	}
	info := nodes.Items[0].Status.NodeInfo
	p.with = [][2]string{
		{"Fairlead", firstLine("git", "-C", r.source, "describe", "--always", "--dirty", "--abbrev=12")},
		{"Kubernetes", info.KubeletVersion},
		{"containerd", strings.TrimPrefix(info.ContainerRuntimeVersion, "containerd://")},
		{"runc", strings.TrimPrefix(firstLine("runc", "--version"), "runc version ")},
		{"CoreDNS", firstLine("coredns", "-version")},
		{"Helm", firstLine("helm", "version", "--short")},
		{"kernel", info.KernelVersion},
	}
}

// firstLine is the first line that a program prints, or that it is not there.
func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "not there"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// table is the report as Markdown.
func (p *report) table(mode string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "Run of %s (%s, %s).\n\n| with | version |\n|---|---|\n", p.began.UTC().Format("2006-01-02"), mode, time.Since(p.began).Round(time.Second))
	for _, w := range p.with {
		fmt.Fprintf(&b, "| %s | %s |\n", w[0], w[1])
	}
	b.WriteString("\n| scenario | what is shown | result | figures |\n|---|---|---|---|\n")
	for _, r := range p.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.scenario, r.shows, r.result, strings.Join(r.figures, "; "))
	}
	return b.String()
}

// finish prints the table, and puts it into a file between its marks.
func (p *report) finish(t *testing.T, file string) {
	mode := os.Getenv(modeVariable)
	if f := flag.Lookup("test.run"); f != nil && f.Value.String() != "" {
		mode += ", but only the scenarios below"
	}
	table := p.table(mode)
	fmt.Print("\n", table, "\n")
	if p.kept != "" {
		fmt.Println("logs of what failed are kept in", p.kept)
	}
	if file == "" {
		return
	}
	if err := splice(file, table); err != nil {
		t.Errorf("writing the table: %v", err)
	}
}

// The marks in a file between which the table stands.
const (
	tableBegin = "<!-- table: made by make e2e-table -->"
	tableEnd   = "<!-- end of the table -->"
)

func splice(file, table string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(tableBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %q and %q", file, tableBegin, tableEnd)
	}
	return os.WriteFile(file, bytes.Join([][]byte{before, []byte(tableBegin + "\n\n" + table + "\n" + tableEnd), after}, nil), 0o600)
}

// keep writes down what the cluster says of a namespace and of the operator, if the
// test has failed.
func (r *rig) keep(t testing.TB, namespace string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	dir := filepath.Join(r.out, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())+"-"+namespace)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Errorf("keeping logs: %v", err)
		return
	}
	r.report.kept = r.out
	for file, args := range map[string][]string{
		"objects.txt":   {"get", "all,configmaps,networkpolicies,endpointslices,webhookendpoints", "-n", namespace, "-o", "wide"},
		"endpoints.txt": {"get", "webhookendpoints", "-n", namespace, "-o", "yaml"},
		"policies.txt":  {"get", "networkpolicies", "-n", namespace, "-o", "yaml"},
		"pods.txt":      {"describe", "pods", "-n", namespace},
		"events.txt":    {"get", "events", "-n", namespace, "--sort-by=.lastTimestamp"},
		"receivers.log": {"logs", "-n", namespace, "-l", "fairlead.dev/endpoint", "--all-containers", "--prefix", "--tail=-1"},
		"operator.log":  {"logs", "-n", systemNamespace, "-l", "app.kubernetes.io/name=fairlead-operator", "--prefix", "--tail=-1"},
	} {
		out, err := command(t, "", "kubectl", args...)
		if err != nil {
			out += err.Error()
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(out), 0o600); err != nil {
			t.Errorf("keeping logs: %v", err)
		}
	}
}
