package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
)

const rangesHelp = `Ranges prints the addresses that a provider sends from, by region, as its profile
lists them. Without a provider it lists the providers.

The addresses are those that the provider's documentation named on the day that
is printed as checked. A range that is coming or going is shown while it is in
use; --at asks for another time.

Exit codes: 0 all is well, 1 the provider or region is unknown, 2 wrong usage.`

const rangesExample = `  # List the providers.
  fairlead ranges

  # The addresses of one region, one a line, for a script.
  fairlead ranges stream-chat --region us-east -o plain

  # The addresses at the turn of the year, of a profile of your own.
  fairlead ranges acme -f acme-provider.yaml --at 2027-01-01`

// profileLine is a provider, as it is listed.
type profileLine struct {
	Name          string   `json:"name"`
	Regions       []string `json:"regions"`
	Ranges        int      `json:"ranges"`
	Checked       string   `json:"checked"`
	Documentation string   `json:"documentation"`
}

// rangeLine is a range of addresses.
type rangeLine struct {
	Region string `json:"region"`
	CIDR   string `json:"cidr"`
}

// rangeList is what is printed of one provider.
type rangeList struct {
	Provider      string      `json:"provider"`
	Revision      string      `json:"revision"`
	Documentation string      `json:"documentation"`
	Checked       string      `json:"checked"`
	At            time.Time   `json:"at"`
	NextChange    *time.Time  `json:"nextChange"`
	Ranges        []rangeLine `json:"ranges"`
}

// rangesFlags are the flags of ranges.
type rangesFlags struct {
	regions, files []string
	at, output     string
}

func newRanges() *cobra.Command {
	var f rangesFlags
	cmd := &cobra.Command{
		Use:     "ranges [PROVIDER]",
		Short:   "Print the addresses that a provider sends from",
		Long:    rangesHelp,
		Example: rangesExample,
		Args:    arguments(0, 1, "at most one provider"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, args)
		},
	}
	cmd.Flags().StringArrayVar(&f.regions, "region", nil, "only this region; may be repeated")
	cmd.Flags().StringVar(&f.at, "at", "", "a date (2027-01-01) or time (2027-01-01T12:00:00Z) instead of now")
	cmd.Flags().StringArrayVarP(&f.files, "file", "f", nil, "file, directory, or - with profiles of your own; may be repeated")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json, yaml or plain; else a table")
	return cmd
}

func (f *rangesFlags) run(cmd *cobra.Command, args []string) error {
	if err := checkOutput(f.output, "", "json", "yaml", "plain"); err != nil {
		return err
	}
	at, err := parseTime(f.at, time.Now())
	if err != nil {
		return err
	}
	profiles, err := loadProfiles(f.files, cmd.InOrStdin())
	if err != nil {
		return err
	}
	if len(args) == 0 {
		if len(f.regions) > 0 {
			return usagef("--region needs a provider")
		}
		return printProfiles(cmd.OutOrStdout(), profiles, f.output)
	}
	p, err := pick(profiles, args[0])
	if err != nil {
		return err
	}
	list, err := listRanges(p, f.regions, at)
	if err != nil {
		return err
	}
	return list.print(cmd.OutOrStdout(), f.output)
}

// loadProfiles returns the built-in profiles and those in files, by name.
func loadProfiles(files []string, stdin io.Reader) (map[string]*v1alpha1.WebhookProvider, error) {
	f, err := manifest.Load(files, stdin)
	if err != nil {
		return nil, fmt.Errorf("loading profiles: %w", err)
	}
	profiles, err := f.Profiles()
	if err != nil {
		return nil, fmt.Errorf("loading profiles: %w", err)
	}
	return profiles, nil
}

func pick(profiles map[string]*v1alpha1.WebhookProvider, name string) (*v1alpha1.WebhookProvider, error) {
	p := profiles[name]
	if p == nil {
		return nil, fmt.Errorf("provider %q is unknown; choose from %s, or name a file with its profile by -f",
			name, strings.Join(slices.Sorted(maps.Keys(profiles)), ", "))
	}
	return p, nil
}

// parseTime reads a date or a time; without a zone it is UTC.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now.UTC().Truncate(time.Second), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usagef("--at is %q; write a date like 2027-01-01 or a time like 2027-01-01T12:00:00Z", text)
}

func listRanges(p *v1alpha1.WebhookProvider, regions []string, at time.Time) (*rangeList, error) {
	ranges, next, err := resolve.Ranges(p, regions, at)
	if problems := resolve.Problems(err); len(problems) > 0 {
		return nil, fmt.Errorf("listing ranges: %s", problems[0].Message)
	}
	list := &rangeList{
		Provider:      p.Name,
		Revision:      provider.Revision(p),
		Documentation: p.Spec.Provenance.Documentation,
		Checked:       p.Spec.Provenance.Checked,
		At:            at,
		Ranges:        []rangeLine{},
	}
	if !next.IsZero() {
		next = next.UTC()
		list.NextChange = &next
	}
	for _, r := range ranges {
		list.Ranges = append(list.Ranges, rangeLine{r.Region, r.CIDR.String()})
	}
	return list, nil
}

func (l *rangeList) print(w io.Writer, output string) error {
	switch output {
	case "json", "yaml":
		return printData(w, output, l)
	case "plain":
		var cidrs []string
		for _, r := range l.Ranges {
			cidrs = append(cidrs, r.CIDR)
		}
		slices.Sort(cidrs)
		for _, c := range slices.Compact(cidrs) {
			fmt.Fprintln(w, c)
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REGION\tCIDR")
	for _, r := range l.Ranges {
		fmt.Fprintf(t, "%s\t%s\n", r.Region, r.CIDR)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	fmt.Fprintf(w, "\nChecked on %s against %s\n", l.Checked, l.Documentation)
	if l.NextChange != nil {
		fmt.Fprintf(w, "Changes on %s\n", l.NextChange.Format(time.RFC3339))
	}
	return nil
}

func printProfiles(w io.Writer, profiles map[string]*v1alpha1.WebhookProvider, output string) error {
	lines := []profileLine{}
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		lines = append(lines, lineOf(profiles[name]))
	}
	switch output {
	case "json", "yaml":
		return printData(w, output, lines)
	case "plain":
		for _, l := range lines {
			fmt.Fprintln(w, l.Name)
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROVIDER\tREGIONS\tRANGES\tCHECKED")
	for _, l := range lines {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", l.Name, len(l.Regions), l.Ranges, l.Checked)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

func lineOf(p *v1alpha1.WebhookProvider) profileLine {
	l := profileLine{Name: p.Name, Regions: []string{}, Checked: p.Spec.Provenance.Checked, Documentation: p.Spec.Provenance.Documentation}
	for i := range p.Spec.Regions {
		l.Regions = append(l.Regions, p.Spec.Regions[i].Name)
		l.Ranges += len(p.Spec.Regions[i].Ranges)
	}
	return l
}

// printData writes v for programs.
func printData(w io.Writer, output string, v any) error {
	if output == "json" {
		return printJSON(w, v)
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	return nil
}
