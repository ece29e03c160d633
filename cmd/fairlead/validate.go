package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
)

const validateHelp = `Validate checks manifests as a cluster does, without one: by the CRDs themselves
(types, unknown fields, rules), and then for what a schema cannot see, such as a
region that the provider does not have, or nobody who might send.

A directory stands for its .yaml, .yml and .json files; - stands for standard
input. Objects of other kinds are passed over.

Exit codes: 0 all objects are right, 1 at least one is not, 2 wrong usage.`

const validateExample = `  # Check one file, and all files of a directory.
  fairlead validate -f endpoint.yaml
  fairlead validate -f config/samples

  # Check what kustomize makes.
  kustomize build . | fairlead validate -f -`

// checked is an object that was found to be right.
type checked struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"`
	Warnings  []string `json:"warnings,omitempty"`
}

// wrong is a problem, as it is printed for programs.
type wrong struct {
	Place   string `json:"place,omitempty"`
	Object  string `json:"object,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// verdict is what validate prints.
type verdict struct {
	Right    []checked `json:"right"`
	Problems []wrong   `json:"problems"`
	// Clashes are wrong for fairlead run only.
	Clashes []wrong  `json:"clashes"`
	Skipped []string `json:"skipped"`
}

func newValidate() *cobra.Command {
	var files []string
	var output string
	cmd := &cobra.Command{
		Use:     "validate -f FILE...",
		Short:   "Check manifests as a cluster does",
		Long:    validateHelp,
		Example: validateExample,
		Args:    arguments(0, 0, "no arguments; name files with -f"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "plain", "json"); err != nil {
				return err
			}
			if len(files) == 0 {
				return usagef("no file is named; name one with -f")
			}
			v, err := validate(files, cmd.InOrStdin(), time.Now())
			if err != nil {
				return err
			}
			return v.report(cmd.OutOrStdout(), output)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "file, directory, or - for standard input; may be repeated")
	cmd.Flags().StringVarP(&output, "output", "o", "plain", "plain or json")
	return cmd
}

// validate returns what is right and what is wrong in files.
func validate(files []string, stdin io.Reader, now time.Time) (*verdict, error) {
	f, err := manifest.LoadRight(files, stdin)
	if f == nil {
		return nil, fmt.Errorf("validating: %w", err)
	}
	resolved, resolveErr := f.ResolveEach(now)
	return &verdict{
		Right:    right(f, resolved),
		Problems: wrongs(errors.Join(err, resolveErr)),
		Clashes:  wrongs(f.Clashes(resolved)),
		Skipped:  append([]string{}, f.Skipped...),
	}, nil
}

func wrongs(err error) []wrong {
	all := []wrong{}
	for _, p := range manifest.Problems(err) {
		all = append(all, wrong(*p))
	}
	return all
}

// right lists the objects in which nothing is wrong.
func right(f *manifest.File, resolved []manifest.Resolved) []checked {
	all := []checked{}
	for _, r := range resolved {
		all = append(all, checked{"WebhookEndpoint", r.Endpoint.Namespace, r.Endpoint.Name, r.Warnings})
	}
	if _, err := f.Profiles(); err == nil {
		for _, p := range f.Providers {
			all = append(all, checked{"WebhookProvider", "", p.Name, nil})
		}
	}
	for _, s := range f.Secrets {
		all = append(all, checked{"Secret", s.Namespace, s.Name, nil})
	}
	return all
}

// report prints the verdict; the error says that something is wrong.
func (v *verdict) report(w io.Writer, output string) error {
	if output == "json" {
		if err := printJSON(w, v); err != nil {
			return err
		}
	} else {
		v.print(w)
	}
	switch {
	case len(v.Problems) > 0:
		return problemCount(len(v.Problems))
	case len(v.Right) == 0:
		return errors.New("there is no object of fairlead's to check")
	}
	return nil
}

// problemCount is the error of a verb that has printed n problems.
func problemCount(n int) error {
	if n == 1 {
		return errors.New("there is 1 problem")
	}
	return fmt.Errorf("there are %d problems", n)
}

func (v *verdict) print(w io.Writer) {
	for _, c := range v.Right {
		name := c.Name
		if c.Namespace != "" {
			name = c.Namespace + "/" + name
		}
		fmt.Fprintf(w, "%s %s: OK\n", c.Kind, name)
		for _, text := range c.Warnings {
			fmt.Fprintf(w, "  warning: %s\n", text)
		}
	}
	for _, s := range v.Skipped {
		fmt.Fprintf(w, "%s: passed over\n", s)
	}
	for _, p := range v.Clashes {
		fmt.Fprintf(w, "warning, for fairlead run: %v\n", (*manifest.Problem)(&p))
	}
	for _, p := range v.Problems {
		fmt.Fprintf(w, "%v\n", (*manifest.Problem)(&p))
	}
}
