// The operator turns WebhookEndpoints into running receivers and tells how they
// fare. It has no right to read a Secret.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/controllers/desired"
	"github.com/fairlead-dev/fairlead/controllers/endpoint"
	"github.com/fairlead-dev/fairlead/controllers/probe"
	"github.com/fairlead-dev/fairlead/controllers/provider"
)

// version is set by the linker.
var version = "devel"

// lease is the name of the Lease by which one of several operators leads.
const lease = "fairlead-operator.fairlead.dev"

type flags struct {
	image, metrics, probes, certs, ownNamespace, providers, level string
	namespaces, exposures, hosts, annotations                     list
	elect, version                                                bool
	concurrency                                                   int
	kindsEvery                                                    time.Duration
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// split returns the parts of all values between commas.
func (l list) split() []string {
	var out []string
	for _, v := range l {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (flags, error) {
	var f flags
	fs := flag.NewFlagSet("operator", flag.ContinueOnError)
	fs.SetOutput(stderr)
	// controller-runtime's own --kubeconfig is on the global set; here it is ours.
	fs.StringVar(&f.image, "receiver-image", os.Getenv("RECEIVER_IMAGE"), "`image` of the receivers; required. Default: $RECEIVER_IMAGE")
	fs.Var(&f.namespaces, "namespaces", "`namespaces` to work in, between commas; needs only Roles there. Default: all")
	fs.Var(&f.exposures, "allowed-exposures", "exposure types that endpoints may have, as `[NAMESPACE=]TYPE,TYPE`; may be repeated. A namespace's own entry goes before * or none. Default: all")
	fs.Var(&f.hosts, "allowed-hosts", "globs of the hosts that endpoints may have, as `[NAMESPACE=]GLOB,GLOB`; may be repeated. Default: all")
	fs.Var(&f.annotations, "allowed-annotations", "`globs` of the annotations that endpoints may put on an Ingress, a load balancer's Service or a ServiceAccount. Default: none")
	fs.StringVar(&f.providers, "watch-providers", "auto", "whether WebhookProviders are read: true, false or auto, which asks the API server what is allowed")
	fs.StringVar(&f.ownNamespace, "operator-namespace", os.Getenv("POD_NAMESPACE"), "`namespace` of the operator's pods and Lease. Default: $POD_NAMESPACE")
	fs.BoolVar(&f.elect, "leader-elect", true, "let one of several operators lead")
	fs.StringVar(&f.metrics, "metrics-bind-address", ":8443", "`address` of /metrics, by HTTPS, for those whom the API server lets get it; 0 for none")
	fs.StringVar(&f.certs, "metrics-cert-dir", "", "`directory` with tls.crt and tls.key for /metrics. Default: a certificate of its own making")
	fs.StringVar(&f.probes, "health-probe-bind-address", ":8081", "`address` of /healthz and /readyz")
	fs.StringVar(&f.level, "log-level", "info", "`level` of the log: debug, info, warn or error")
	fs.IntVar(&f.concurrency, "concurrent-reconciles", 8, "how many endpoints are reconciled at once")
	fs.DurationVar(&f.kindsEvery, "discovery-interval", 30*time.Second, "how often Gateway API and PodMonitors are looked for")
	fs.BoolVar(&f.version, "version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		return f, err
	}
	if fs.NArg() > 0 {
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
	}
	if a.Exposures, err = endpoint.ParseLimits(f.exposures); err != nil {
		return a, fmt.Errorf("reading --allowed-exposures: %w", err)
	}
	if a.Hosts, err = endpoint.ParseLimits(f.hosts); err != nil {
		return a, fmt.Errorf("reading --allowed-hosts: %w", err)
	}
	a.Annotations = f.annotations.split()
	return a, endpoint.CheckGlobs(a.Annotations)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if f.version {
		_, err := fmt.Fprintln(stdout, version)
		return err
	}
	allowed, err := f.check()
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return fmt.Errorf("reading --log-level: %w", err)
	}
	log := logr.FromSlogHandler(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	cfg, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	cfg.QPS = -1 // the API server's own flow control is fair to others, and knows more
	return operate(ctx, cfg, f, allowed, log)
}

// operate runs until ctx ends.
func operate(ctx context.Context, cfg *rest.Config, f flags, allowed endpoint.Allowed, log logr.Logger) error {
	mgr, err := manager(cfg, f, log)
	if err != nil {
		return fmt.Errorf("making manager: %w", err)
	}
	providers, err := mayReadProviders(ctx, mgr, f.providers)
	if err != nil {
		return err
	}
	if !providers {
		log.Info("WebhookProviders are not read; endpoints can use built-in profiles only")
	}
	err = endpoint.Setup(ctx, mgr, endpoint.Options{
		Image: f.image, Operator: desired.Operator{Namespace: f.ownNamespace, Labels: desired.OperatorLabels()},
		Providers: providers, Allowed: allowed, Concurrency: f.concurrency, KindsEvery: f.kindsEvery,
	}, endpoint.Parts{Clock: clock.RealClock{}, Registerer: metrics.Registry, Probe: probe.Options{
		Client: probe.Client(), Port: desired.TelemetryPort, Interval: 30 * time.Second, FastInterval: 5 * time.Second,
		Timeout: 2 * time.Second, Concurrency: 32, Clock: clock.RealClock{},
	}})
	if err != nil {
		return fmt.Errorf("setting up endpoints: %w", err)
	}
	if providers && len(f.namespaces.split()) == 0 { // with some namespaces, providers are another operator's to judge
		if err := (&provider.Reconciler{Client: mgr.GetClient()}).SetupWithManager(mgr); err != nil {
			return fmt.Errorf("setting up providers: %w", err)
		}
	}
	log.Info("Starting", "version", version, "namespaces", f.namespaces.split())
	return mgr.Start(ctx)
}

func manager(cfg *rest.Config, f flags, log logr.Logger) (ctrl.Manager, error) {
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: endpoint.Scheme(), Logger: log,
		Cache:  endpoint.CacheOptions(f.namespaces.split()),
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics: metricsserver.Options{BindAddress: f.metrics, SecureServing: true, CertDir: f.certs,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
			TLSOpts:        []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS12; c.NextProtos = []string{"http/1.1"} }}},
		HealthProbeBindAddress: f.probes,
		LeaderElection:         f.elect, LeaderElectionID: lease, LeaderElectionNamespace: f.ownNamespace,
		LeaderElectionReleaseOnCancel: true, // what follows Start does nothing more
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("cache", synced(mgr))
}

// synced is ready when the cache is: before that an operator would not know what
// there is.
func synced(mgr ctrl.Manager) healthz.Checker {
	return func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), 500*time.Millisecond)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the cache has not synced; see the log for what the API server refuses")
		}
		return nil
	}
}

// mayReadProviders says whether WebhookProviders are read.
func mayReadProviders(ctx context.Context, mgr ctrl.Manager, how string) (bool, error) {
	switch how {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "auto":
	default:
		return false, fmt.Errorf("--watch-providers is %q; write true, false or auto", how)
	}
	for _, verb := range []string{"get", "list", "watch"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: v1alpha1.GroupVersion.Group, Resource: "webhookproviders", Verb: verb}}}
		if err := mgr.GetClient().Create(ctx, review); err != nil {
			return false, fmt.Errorf("asking whether WebhookProviders may be read: %w", err)
		}
		if !review.Status.Allowed {
			return false, nil
		}
	}
	return true, nil
}
