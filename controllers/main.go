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

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stdout)
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
	log := logr.FromSlogHandler(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: f.level}))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	cfg, err := ctrl.GetConfig() // of the pod, or what $KUBECONFIG names
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
	if f.elect {
		if err := mgr.Add(&leaseOwner{mgr.GetClient(), mgr.GetAPIReader(), f.ownNamespace, log}); err != nil {
			return fmt.Errorf("setting up the Lease: %w", err)
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
		HealthProbeBindAddress: f.probes, PprofBindAddress: f.pprof,
		LeaderElection: f.elect, LeaderElectionID: lease, LeaderElectionNamespace: f.ownNamespace,
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
	if how != auto {
		return how == "true", nil
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
