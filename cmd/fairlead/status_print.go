package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/survey"
)

// listEndpoint says in a line how an endpoint is, by what the operator says.
func listEndpoint(ep *v1alpha1.WebhookEndpoint) listedEndpoint {
	s := survey.OfEndpoint(ep)
	why := s.Endpoint.Why()
	x := listedEndpoint{Namespace: ep.Namespace, Name: ep.Name, Ready: len(why) == 0, Endpoint: s.Endpoint}
	for _, c := range s.Endpoint.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			x.Reason = c.Reason
		}
	}
	if !x.Ready {
		x.Message = why[0]
	}
	return x
}

func printEndpoints(cmd *cobra.Command, found []listedEndpoint, namespace string) error {
	if len(found) == 0 && namespace == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "There are no endpoints.")
		return nil
	}
	if len(found) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "There are no endpoints in namespace %s; -A lists those of all namespaces.\n", namespace)
		return nil
	}
	t := &table{tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0), namespace == ""}
	t.row("NAMESPACE", "NAME", "PROVIDER", "READY", "REASON", "RANGES", "URL")
	for _, x := range found {
		t.row(x.Namespace, x.Name, x.Provider, yes(x.Ready), cell(x.Reason, 40), fmt.Sprint(x.SourceRangeCount), cell(x.URL, 200))
	}
	if err := t.end(); err != nil {
		return err
	}
	for _, x := range found {
		if x.Message != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s/%s: %s\n", x.Namespace, x.Name, oneLine(x.Message, maxValue))
		}
	}
	return nil
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

func (f *statusFlags) print(cmd *cobra.Command, all []*survey.Survey) error {
	out := cmd.OutOrStdout()
	if f.output != "" {
		if len(all) == 1 && f.inCluster != "" {
			return printData(out, f.output, all[0])
		}
		return printData(out, f.output, all)
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := printSurvey(out, s, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func printSurvey(w io.Writer, s *survey.Survey, now time.Time) error {
	lines := []line{{"Endpoint", s.Namespace + "/" + s.Name}, {"Ready", yes(s.Ready)}}
	if e := s.Endpoint; e != nil {
		lines = append(lines, line{"Provider", providerLine(e)}, line{"URL", cmp.Or(e.URL, "none yet")})
		for _, h := range e.Hooks {
			if h.URL != e.URL {
				lines = append(lines, line{"Hook " + h.Name, h.URL})
			}
		}
		lines = append(lines, line{"Senders", senders(e, now)})
	}
	if err := printLines(w, lines); err != nil {
		return err
	}
	if s.Endpoint != nil && len(s.Endpoint.Conditions) > 0 {
		printConditions(w, s.Endpoint.Conditions, now)
	}
	if err := printReceivers(w, s, now); err != nil {
		return err
	}
	if err := printMerged(w, s, now); err != nil {
		return err
	}
	printTexts(w, "Not ready, because:", s.Why)
	printTexts(w, "To know:", s.Notes)
	return nil
}

func providerLine(e *survey.Endpoint) string {
	if e.Profile == nil {
		return e.Provider
	}
	return fmt.Sprintf("%s (%s, %.19s)", e.Provider, e.Profile.Origin, e.Profile.Revision)
}

// senders says who may send, and when that changes.
func senders(e *survey.Endpoint, now time.Time) string {
	text := plural(e.SourceRangeCount, "range") + " of addresses"
	switch e.EnforcedBy {
	case string(v1alpha1.EnforcedByNetworkPolicy):
		text += ", kept by the NetworkPolicy and the receivers"
	case string(v1alpha1.EnforcedByReceiver):
		text += ", kept by the receivers alone"
	case string(v1alpha1.EnforcedByNone):
		text += ", which nothing keeps: anybody may send"
	}
	if e.NextRangeChange != nil {
		text += fmt.Sprintf("; they change by themselves at %s (in %s)", e.NextRangeChange.UTC().Format(time.RFC3339), duration.HumanDuration(max(0, e.NextRangeChange.Sub(now))))
	}
	return text
}

// isGood reports whether a condition is as it should be.
func isGood(c *metav1.Condition) bool {
	bad := c.Type == v1alpha1.ConditionStalled || c.Type == v1alpha1.ConditionReconciling
	return (c.Status == metav1.ConditionTrue) != bad
}

// printConditions prints Ready first, and what to do below those that are not good.
func printConditions(w io.Writer, conditions []metav1.Condition, now time.Time) {
	sorted := slices.Clone(conditions)
	if i := slices.IndexFunc(sorted, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionReady }); i > 0 {
		ready := sorted[i]
		sorted = slices.Insert(slices.Delete(sorted, i, i+1), 0, ready)
	}
	fmt.Fprintf(w, "\n%-17s %-8s %-22s %s\n", "CONDITION", "STATUS", "REASON", "SINCE")
	for i := range sorted {
		c := &sorted[i]
		fmt.Fprintf(w, "%-17s %-8s %-22s %s\n", cell(c.Type, 60), cell(string(c.Status), 60), cell(c.Reason, 60), age(&c.LastTransitionTime.Time, now))
		fmt.Fprintf(w, "    %s\n", oneLine(c.Message, maxValue))
		if text := survey.Advice(c.Reason); text != "" && !isGood(c) {
			fmt.Fprintf(w, "    What it means: %s\n", text)
		}
	}
}

func printReceivers(w io.Writer, s *survey.Survey, now time.Time) error {
	if len(s.Receivers) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), true}
	t.row("RECEIVER", "READY", "VERSION", "UP", "RESTARTS", "CONFIG", "SECRETS", "SENDERS SEEN", "CERTIFICATE", "QUEUED")
	for i := range s.Receivers {
		r := &s.Receivers[i]
		if r.Page == nil {
			t.row(r.Name, "no answer", "-", "-", fmt.Sprint(r.Restarts), "-", "-", "-", "-", "-")
			continue
		}
		ready := yes(r.Ready)
		if r.Terminating {
			ready = "ending"
		}
		q := &r.Page.Queue
		t.row(r.Name, ready, cell(r.Version, 40), age(r.Started, now), fmt.Sprint(r.Restarts), fmt.Sprint(r.Page.Config.Generation), secretsOf(r.Page),
			seenBy(&r.Page.Sources, now), certificate(r.TLS, now), size(q.QueuedBytes)+" of "+size(q.CapacityBytes))
	}
	return t.end()
}

func secretsOf(p *statusz.Endpoint) string {
	var held []string
	for _, e := range p.Secret.Entries {
		held = append(held, cell(e.Name, 40)+"="+cell(e.Fingerprint, 16))
	}
	return cmp.Or(strings.Join(held, " "), "none")
}

// findings says what a finding on the senders' addresses means.
var findings = map[string]string{
	statusz.SourceNoTraffic: "nothing yet",
	statusz.SourcePreserved: "yes",
	statusz.SourceNode:      "NO, the node's address",
	statusz.SourcePod:       "NO, a proxy in the cluster",
	statusz.SourcePrivate:   "NO, private addresses",
	statusz.SourceSingle:    "NO, one unlisted address",
}

func seenBy(s *statusz.Sources, now time.Time) string {
	text := cmp.Or(findings[s.Finding], cell(s.Finding, 40))
	if s.Verified > 0 {
		text += fmt.Sprintf(" (%d in 1h)", s.Verified)
	}
	if s.LastUnlistedValid != nil {
		text += fmt.Sprintf(", signed but unlisted %s ago", age(s.LastUnlistedValid, now))
	}
	return text
}

func certificate(t *statusz.TLS, now time.Time) string {
	switch {
	case t == nil:
		return "-"
	case t.NotAfter == nil:
		return "none"
	case t.NotAfter.Before(now):
		return "ended " + t.NotAfter.Format(time.DateOnly)
	}
	return "until " + t.NotAfter.Format(time.DateOnly)
}

// printMerged prints sinks and responders, all receivers together, and below them
// why some do not work.
func printMerged(w io.Writer, s *survey.Survey, now time.Time) error {
	if err := printMergedSinks(w, s, now); err != nil {
		return err
	}
	if err := printMergedResponders(w, s, now); err != nil {
		return err
	}
	var reasons []string
	why := func(name, state, reason string) {
		if reason != "" {
			reasons = append(reasons, fmt.Sprintf("%s is %s: %s", name, state, cell(reason, 300)))
		}
	}
	for _, x := range s.Sinks {
		why(x.Name, x.State, x.Reason)
	}
	for _, x := range s.Responders {
		why(x.Name, x.State, x.Reason)
	}
	printTexts(w, "", reasons)
	return nil
}

func printMergedSinks(w io.Writer, s *survey.Survey, now time.Time) error {
	if len(s.Sinks) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), true}
	t.row("SINK", "STATE", "QUEUED", "RETRYING", "OLDEST", "DEAD LETTERS", "DROPPED", "LAST SUCCESS")
	for _, x := range s.Sinks {
		oldest := "-"
		if x.Queued > 0 {
			oldest = duration.HumanDuration(time.Duration(x.OldestAgeSeconds * float64(time.Second)))
		}
		t.row(x.Name, stateOf(s, x.State, x.Where), fmt.Sprint(x.Queued), fmt.Sprint(x.Retrying), oldest, fmt.Sprint(x.DeadLetters), fmt.Sprint(x.Dropped), age(x.LastSuccess, now))
	}
	return t.end()
}

func printMergedResponders(w io.Writer, s *survey.Survey, now time.Time) error {
	if len(s.Responders) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), true}
	t.row("RESPONDER", "HOOK", "STATE", "ASKED", "FAILED", "LAST SUCCESS")
	for _, x := range s.Responders {
		t.row(x.Name, x.Hook, stateOf(s, x.State, x.Where), fmt.Sprint(x.Asked), fmt.Sprint(x.Failed), age(x.LastSuccess, now))
	}
	return t.end()
}

// stateOf is the worst state of something, and on how many receivers if not on all.
func stateOf(s *survey.Survey, state string, where []string) string {
	if n := answered(s); len(where) < n {
		return fmt.Sprintf("%s on %d of %d", state, len(where), n)
	}
	return state
}

// answered counts the receivers that did.
func answered(s *survey.Survey) int {
	n := 0
	for i := range s.Receivers {
		if s.Receivers[i].Page != nil {
			n++
		}
	}
	return n
}

func printTexts(w io.Writer, heading string, texts []string) {
	if len(texts) == 0 {
		return
	}
	fmt.Fprintln(w)
	if heading != "" {
		fmt.Fprintln(w, heading)
	}
	for _, text := range texts {
		fmt.Fprintf(w, "- %s\n", oneLine(text, maxValue))
	}
}
