package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
)

type flags struct {
	image, metrics, probes, pprof, certs, ownNamespace, providers string
	namespaces, exposures, hosts, annotations                     list
	elect, version                                                bool
	concurrency                                                   int
	kindsEvery                                                    time.Duration
	level                                                         slog.Level
}

// auto has the API server asked whether WebhookProviders may be read.
const auto = "auto"

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// split returns the parts of all values between commas.
func (l list) split() []string {
	var out []string
	for _, v := range l {
		out = append(out, endpoint.SplitList(v)...)
	}
	return out
}

// parse reads the arguments. Help that is asked for goes to stdout, with
// flag.ErrHelp; what is wrong is only in the error.
func parse(args []string, stdout io.Writer) (flags, error) {
	var f flags
	fs := flag.NewFlagSet("operator", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&f.image, "receiver-image", os.Getenv("RECEIVER_IMAGE"), "`image` of the receivers; required. Default: $RECEIVER_IMAGE")
	fs.Var(&f.namespaces, "namespaces", "`namespaces` to work in, between commas; needs only Roles there. Default: all")
	fs.Var(&f.exposures, "allowed-exposures", "exposure types that endpoints may have, as `[NAMESPACE=]TYPE,TYPE`; may be repeated. A namespace's own entry goes before * or none. Default: all")
	fs.Var(&f.hosts, "allowed-hosts", "globs of the hosts that endpoints may have, as `[NAMESPACE=]GLOB,GLOB`; may be repeated. Default: all")
	fs.Var(&f.annotations, "allowed-annotations", "`globs` of the annotations that endpoints may put on an Ingress, a load balancer's Service or a ServiceAccount. Default: none")
	fs.StringVar(&f.providers, "watch-providers", auto, "`whether` WebhookProviders are read: true, false or auto, which asks the API server what is allowed")
	fs.StringVar(&f.ownNamespace, "operator-namespace", os.Getenv("POD_NAMESPACE"), "`namespace` of the operator's pods and Lease. Default: $POD_NAMESPACE")
	fs.BoolVar(&f.elect, "leader-elect", true, "let one of several operators lead")
	fs.StringVar(&f.metrics, "metrics-bind-address", ":8443", "`address` of /metrics, by HTTPS, for those whom the API server lets get it; 0 for none")
	fs.StringVar(&f.certs, "metrics-cert-dir", "", "`directory` with tls.crt and tls.key for /metrics. Default: a certificate of its own making")
	fs.StringVar(&f.probes, "health-probe-bind-address", ":8081", "`address` of /healthz and /readyz")
	fs.StringVar(&f.pprof, "pprof-bind-address", "", "`address` of /debug/pprof, without encryption and for whoever asks: use one of the loopback. Default: none")
	fs.TextVar(&f.level, "log-level", slog.LevelInfo, "`level` of the log: debug, info, warn or error")
	fs.IntVar(&f.concurrency, "concurrent-reconciles", 8, "how many endpoints are reconciled at once")
	fs.DurationVar(&f.kindsEvery, "discovery-interval", 30*time.Second, "how often Gateway API and PodMonitors are looked for")
	fs.BoolVar(&f.version, "version", false, "print the version and exit")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(stdout)
		fs.Usage()
		return f, err
	case err != nil:
		return f, fmt.Errorf("reading flags: %w; see --help", err)
	case fs.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q; see --help", fs.Arg(0))
	}
	return f, nil
}

// check finds what is wrong with the flags before anything is started.
func (f *flags) check() (endpoint.Allowed, error) {
	var a endpoint.Allowed
	var err error
	switch {
	case f.image == "":
		return a, errors.New("name the receivers' image with --receiver-image")
	case f.ownNamespace == "":
		return a, errors.New("name the operator's namespace with --operator-namespace or $POD_NAMESPACE")
	case f.concurrency < 1:
		return a, errors.New("--concurrent-reconciles must be at least 1")
	case f.kindsEvery <= 0:
		return a, errors.New("--discovery-interval must be positive")
	case !slices.Contains([]string{"true", "false", auto}, f.providers):
		return a, fmt.Errorf("--watch-providers is %q; write true, false or auto", f.providers)
	}
	if err := f.checkNamespaces(); err != nil {
		return a, err
	}
	if a.Exposures, err = endpoint.ParseLimits(f.exposures); err != nil {
		return a, fmt.Errorf("reading --allowed-exposures: %w", err)
	}
	if err := checkExposures(a.Exposures); err != nil {
		return a, err
	}
	if a.Hosts, err = endpoint.ParseLimits(f.hosts); err != nil {
		return a, fmt.Errorf("reading --allowed-hosts: %w", err)
	}
	a.Annotations = f.annotations.split()
	if err := endpoint.CheckGlobs(a.Annotations); err != nil {
		return a, fmt.Errorf("reading --allowed-annotations: %w", err)
	}
	return a, nil
}

// checkNamespaces refuses what names no namespace. An empty list most of all: it
// would stand for all of them.
func (f *flags) checkNamespaces() error {
	names := f.namespaces.split()
	if len(f.namespaces) > 0 && len(names) == 0 {
		return errors.New("--namespaces names no namespace; leave it out to work in all")
	}
	for _, n := range append(names, f.ownNamespace) {
		if len(validation.IsDNS1123Label(n)) > 0 {
			return fmt.Errorf("%q is no name of a namespace; see --namespaces and --operator-namespace", n)
		}
	}
	return nil
}

// checkExposures refuses a value that allows no exposure, such as a misspelt one.
func checkExposures(limits endpoint.Limits) error {
	known := []v1alpha1.ExposureType{v1alpha1.ExposureClusterIP, v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureGateway, v1alpha1.ExposureIngress}
	for _, globs := range limits {
		for _, g := range globs {
			if !slices.ContainsFunc(known, func(t v1alpha1.ExposureType) bool { return endpoint.Matches([]string{g}, string(t)) }) {
				return fmt.Errorf("--allowed-exposures has %q, which is no exposure type; choose from %v", g, known)
			}
		}
	}
	return nil
}
