package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

const renderHelp = `Render prints the objects that the operator would apply for the endpoints in the
files, made by the operator's own code and without a cluster: for review in pull
requests. They are a stream of YAML documents in the order in which they are
applied. No Secret is among them and no value of one.

It is what a new endpoint gets. What depends on the cluster is said by flags,
whose defaults are those of config/default. An operator may be told to allow less
(--allowed-exposures and the like); that is not looked at here.

Owner references are left out, because they hold the uid of the endpoint, which
only a cluster gives. So compare and read what is printed, and do not apply it:
the operator leaves objects alone that do not belong to the endpoint.

Problems are printed as fairlead validate prints them, and then nothing else is.

Exit codes: 0 printed, 1 the manifests are wrong, 2 wrong usage.`

const renderExample = `  # What a change comes to, in a pull request.
  git show main:endpoint.yaml | fairlead render -f - --at 2026-12-01T00:00:00Z > before.yaml
  fairlead render -f endpoint.yaml --at 2026-12-01T00:00:00Z | diff before.yaml -

  # One endpoint of several.
  fairlead render -f config/samples default/stream

  # Run the receiver's own program from a manifest.
  fairlead render --receiver-config -f endpoint.yaml > config.yaml
  receiver --config config.yaml --secrets-dir secrets --data-dir data`

// The receivers' image and the operator's namespace, as config/default has them.
const (
	defaultReceiverImage     = "fairlead/receiver:devel"
	defaultOperatorNamespace = "fairlead-system"
)

// rendering is what render is told.
type rendering struct {
	files                []string
	endpoint             string // NAMESPACE/NAME, or empty for all
	at                   string
	receiverConfig       bool
	image, operator      string
	podMonitors, noRoute bool
	noCertificate        bool
	families             []string
}

func newRender() *cobra.Command {
	var r rendering
	cmd := &cobra.Command{
		Use:     "render -f FILE... [NAMESPACE/NAME]",
		Short:   "Print what the operator would apply",
		Long:    renderHelp,
		Example: renderExample,
		Args:    arguments(0, 1, "at most one endpoint, as NAMESPACE/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.endpoint = strings.Join(args, "")
			if err := r.check(); err != nil {
				return err
			}
			return r.run(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&r.files, "file", "f", nil, "file, directory, or - for standard input; may be repeated")
	f.StringVar(&r.at, "at", "", "source ranges are those in use at this `time`, as in 2026-12-01T00:00:00Z (default now)")
	f.BoolVar(&r.receiverConfig, "receiver-config", false, "print only the configuration that a receiver of the one endpoint reads")
	f.StringVar(&r.image, "receiver-image", defaultReceiverImage, "`image` of the receivers, as the operator is told it")
	f.StringVar(&r.operator, "operator-namespace", defaultOperatorNamespace, "`namespace` of the operator's pods")
	f.BoolVar(&r.podMonitors, "pod-monitors", false, "the cluster has PodMonitors, of the Prometheus operator")
	f.BoolVar(&r.noRoute, "no-gateway-api", false, "the cluster has no HTTPRoutes, of Gateway API")
	f.BoolVar(&r.noCertificate, "no-cert-manager", false, "the cluster has no Certificates, of cert-manager")
	f.StringSliceVar(&r.families, "ip-families", nil,
		"IP `families` of the cluster's Services, IPv4 or IPv6 or both; a load balancer gets only their ranges (default not known, as when a Service is made, and all ranges are listed)")
	return cmd
}

// check finds what is wrong with the flags.
func (r *rendering) check() error {
	switch {
	case len(r.files) == 0:
		return usagef("no file is named; name one with -f")
	case r.image == "":
		return usagef("--receiver-image is empty; name the image that the operator is told")
	case r.operator == "":
		return usagef("--operator-namespace is empty; name the namespace of the operator's pods")
	}
	for _, f := range r.families {
		if f != "IPv4" && f != "IPv6" {
			return usagef("--ip-families holds %q; it may hold IPv4 and IPv6", f)
		}
	}
	return nil
}

// time returns the moment whose ranges are printed.
func (r *rendering) time(now time.Time) (time.Time, error) {
	if r.at == "" {
		return now, nil
	}
	at, err := time.Parse(time.RFC3339, r.at)
	if err != nil {
		return at, usagef("--at is %q; write it like 2026-12-01T00:00:00Z", r.at)
	}
	return at, nil
}

func (r *rendering) run(stdin io.Reader, stdout, stderr io.Writer, now time.Time) error {
	at, err := r.time(now)
	if err != nil {
		return err
	}
	file, err := manifest.LoadRight(r.files, stdin)
	if file == nil {
		return fmt.Errorf("rendering: %w", err)
	}
	for _, ep := range file.Endpoints {
		ep.Generation = max(ep.Generation, 1) // a new object's
	}
	all, resolveErr := file.ResolveEach(at)
	if err := errors.Join(err, resolveErr); err != nil {
		return printProblems(stderr, err)
	}
	if all, err = r.choose(all); err != nil {
		return err
	}
	var text []byte
	if r.receiverConfig {
		text, err = receiverConfig(all)
	} else {
		text, err = r.objects(file, all)
	}
	if err != nil {
		return err
	}
	if _, err = stdout.Write(text); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// printProblems prints them a line each; the error says how many there are.
func printProblems(w io.Writer, err error) error {
	found := manifest.Problems(err)
	if len(found) == 0 {
		return err
	}
	for _, p := range found {
		fmt.Fprintln(w, p)
	}
	return problemCount(len(found))
}

// choose returns the endpoint that is named, or all.
func (r *rendering) choose(all []manifest.Resolved) ([]manifest.Resolved, error) {
	if len(all) == 0 {
		return nil, errors.New("there is no WebhookEndpoint in the manifests")
	}
	if r.endpoint == "" && (!r.receiverConfig || len(all) == 1) {
		return all, nil
	}
	var names []string
	for i, e := range all {
		names = append(names, e.Endpoint.Namespace+"/"+e.Endpoint.Name)
		if names[i] == r.endpoint {
			return all[i : i+1], nil
		}
	}
	known := strings.Join(names, ", ")
	if r.endpoint == "" {
		return nil, usagef("there are %d endpoints; name one of %s", len(all), known)
	}
	return nil, fmt.Errorf("there is no endpoint %q in the manifests; there are %s", r.endpoint, known)
}

func receiverConfig(all []manifest.Resolved) ([]byte, error) {
	text, err := yaml.Marshal(all[0].Result.Config)
	if err != nil {
		return nil, fmt.Errorf("writing configuration: %w", err)
	}
	return text, nil
}

// objects returns what the operator applies for the endpoints, as one stream.
func (r *rendering) objects(file *manifest.File, all []manifest.Resolved) ([]byte, error) {
	var objects []desired.Object
	for _, e := range all {
		in := desired.Inputs{
			Config: e.Result.Config, Image: r.image, Replicas: ptr.To(desired.FirstReplicas(e.Endpoint)), ServiceFamilies: r.families,
			Operator:    desired.Operator{Namespace: r.operator, Labels: desired.OperatorLabels()},
			PodMonitors: r.podMonitors, Gateways: !r.noRoute, RouteTimeouts: true, Certificates: !r.noCertificate,
		}
		if slices.Contains(file.Providers, e.Provider) {
			in.Profile = e.Provider
		}
		of, err := desired.Objects(e.Endpoint, in)
		if err != nil {
			return nil, fmt.Errorf("rendering endpoint %q: %w", e.Endpoint.Namespace+"/"+e.Endpoint.Name, err)
		}
		objects = append(objects, of...)
	}
	return desired.Stream(objects)
}
