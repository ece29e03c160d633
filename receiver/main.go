// The receiver takes the webhooks of one endpoint, stores them before it
// answers, and delivers them. It reads one configuration file and the Secrets
// that are mounted beside it; it needs no Kubernetes API.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/handoff"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/server"
)

// version is set by the linker.
var version = "devel"

type flags struct {
	config, secrets, data, queueType, listen, telemetry, admin, level string
	internal, peers, message, tls, hostIPs, podIPs                    string
	dataMax                                                           int64
	allowLoopback, version                                            bool
}

func main() {
	ctx, hurry, stop := asked()
	defer stop()
	if err := run(ctx, hurry, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

// asked returns a context that ends with the first signal to stop, and a channel
// that is closed with the second.
func asked() (ctx context.Context, hurry <-chan struct{}, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	second := make(chan struct{})
	go func() {
		<-signals
		cancel()
		<-signals
		close(second)
	}()
	return ctx, second, func() { signal.Stop(signals); cancel() }
}

func parse(args []string, stderr io.Writer) (flags, error) {
	var f flags
	fs := flag.NewFlagSet("receiver", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&f.config, "config", "/etc/fairlead/config/config.yaml", "`file` with the endpoint's configuration; changes are taken live")
	fs.StringVar(&f.secrets, "secrets-dir", "/etc/fairlead/secrets", "`directory` with a directory for each mounted Secret; changes are taken live")
	fs.StringVar(&f.data, "data-dir", "/var/lib/fairlead", "`directory` of the queue; it belongs to this process alone")
	fs.StringVar(&f.queueType, "queue-type", "Ephemeral", "`type` of the queue, shown on /statusz: Ephemeral or Persistent")
	fs.StringVar(&f.listen, "listen", ":8080", "`address` that takes webhooks")
	fs.StringVar(&f.telemetry, "telemetry-listen", ":9090", "`address` of /healthz, /readyz, /metrics and /statusz")
	fs.StringVar(&f.admin, "admin-listen", "127.0.0.1:8081", "`address` of the admin API, on loopback; empty for none")
	fs.StringVar(&f.internal, "internal-listen", ":8082", "`address` that takes what sisters hand over; only used with --peers")
	fs.StringVar(&f.peers, "peers", "", "`HOST:PORT` of the sisters that get what is left in an Ephemeral queue at the end, several separated by commas; each address of a HOST is one, but this process's own. Empty for none")
	fs.Int64Var(&f.dataMax, "data-max-bytes", 0, "`bytes` that the data directory may take; 0 for what the disk has")
	fs.StringVar(&f.message, "termination-message", "/dev/termination-log", "`file` that is told at the end what is left behind and what sisters took; empty for none")
	fs.StringVar(&f.tls, "tls-dir", "", "`directory` with tls.crt and tls.key, which --listen serves TLS with; changes are taken live. Empty for plain HTTP")
	fs.StringVar(&f.hostIPs, "host-ips", "", "`addresses` of this node, separated by commas, by which /statusz tells that clients' addresses are hidden")
	fs.StringVar(&f.podIPs, "pod-ips", "", "`addresses` of this pod, separated by commas; the same for proxies in the cluster")
	fs.StringVar(&f.level, "log-level", "info", "`level` of the log: debug, info, warn or error")
	fs.BoolVar(&f.allowLoopback, "allow-loopback-sinks", false, "let sinks be on this machine; for trying out only")
	fs.BoolVar(&f.version, "version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		return f, err
	}
	if fs.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q; see --help", fs.Arg(0))
	}
	return f, nil
}

func run(ctx context.Context, hurry <-chan struct{}, args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if f.version {
		_, err := fmt.Fprintln(stdout, version)
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return fmt.Errorf("reading --log-level: %w", err)
	}
	return serve(ctx, hurry, f, stdout, slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level})))
}

func serve(ctx context.Context, hurry <-chan struct{}, f flags, stdout io.Writer, log *slog.Logger) error {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the HTTP client would print to package log what sinks send unasked
	hosts, err := addresses("--host-ips", f.hostIPs)
	if err != nil {
		return err
	}
	pods, err := addresses("--pod-ips", f.podIPs)
	if err != nil {
		return err
	}
	l, err := listen(f)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r, err := server.Open(server.Options{
		Source:  &reload.Dir{ConfigFile: f.config, SecretsDir: f.secrets, Logger: log},
		DataDir: f.data, DataMaxBytes: f.dataMax, QueueType: f.queueType, Registerer: reg, Logger: log, Now: time.Now, Stdout: stdout,
		AllowLoopback: f.allowLoopback, DenyAddrs: denied(os.Getenv), Fatal: server.DiskFailed(log, os.Exit),
		HostAddrs: hosts, PodAddrs: pods,
	})
	if err != nil {
		return errors.Join(err, l.close())
	}
	return server.Serve(ctx, server.ServeOptions{
		Webhooks: l.webhooks, Telemetry: l.telemetry, Admin: l.admin, Sisters: l.sisters, Receivers: []*server.Receiver{r}, Gatherer: reg, Logger: log,
		Version: version, Now: time.Now, Hurry: hurry, TerminationMessage: f.message, TLSDir: f.tls, Registerer: reg,
		Ready: func() {
			log.Info("Serving", "version", version, "webhooks", l.webhooks.Addr().String(), "telemetry", l.telemetry.Addr().String(),
				"admin", addr(l.admin), "internal", l.internal(), "tls", f.tls != "")
		},
	})
}

// listeners are what a receiver listens on. admin and sisters may be nil.
type listeners struct {
	webhooks, telemetry, admin net.Listener
	sisters                    *server.Sisters
}

// listen opens all listeners or none.
func listen(f flags) (l *listeners, err error) {
	l = &listeners{}
	defer func() {
		if err != nil {
			err, l = errors.Join(err, l.close()), nil
		}
	}()
	if l.webhooks, err = net.Listen("tcp", f.listen); err != nil {
		return l, fmt.Errorf("listening for webhooks: %w", err)
	}
	if l.telemetry, err = net.Listen("tcp", f.telemetry); err != nil {
		return l, fmt.Errorf("listening for telemetry: %w", err)
	}
	if l.admin, err = listenAdmin(f.admin); err != nil {
		return l, err
	}
	l.sisters, err = listenSisters(f)
	return l, err
}

// listenSisters listens for what sisters hand over. What is in a persistent queue
// waits on its volume, so that nothing is handed over there.
func listenSisters(f flags) (*server.Sisters, error) {
	if f.peers == "" || f.queueType != string(v1alpha1.QueueEphemeral) {
		return nil, nil
	}
	l, err := net.Listen("tcp", f.internal)
	if err != nil {
		return nil, fmt.Errorf("listening for sisters: %w", err)
	}
	own, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening for sisters: %w", err), l.Close())
	}
	peers, err := handoff.ParsePeers(f.peers, own, net.DefaultResolver)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &server.Sisters{Listener: l, Find: peers.Resolve}, nil
}

// internal is the address at which sisters hand over; empty if none do.
func (l *listeners) internal() string {
	if l.sisters == nil {
		return ""
	}
	return addr(l.sisters.Listener)
}

func (l *listeners) close() error {
	var errs []error
	for _, one := range []net.Listener{l.webhooks, l.telemetry, l.admin} {
		if one != nil {
			errs = append(errs, one.Close())
		}
	}
	if l.sisters != nil {
		errs = append(errs, l.sisters.Listener.Close())
	}
	return errors.Join(errs...)
}

// listenAdmin listens for the admin API: on loopback alone, because whoever can
// connect may order what he likes.
func listenAdmin(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the admin API: %w", err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("--admin-listen=%s is not on loopback; choose an address like 127.0.0.1:8081, or none", address), l.Close())
	}
	return l, nil
}

func addr(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// addresses reads a list from the downward API. It may be empty, and so may its
// elements: an old kubelet knows no lists of addresses.
func addresses(flag, list string) ([]netip.Addr, error) {
	var out []netip.Addr
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", flag, err)
		}
		out = append(out, a.WithZone("").Unmap())
	}
	return out, nil
}

// denied lists what no sink may resolve to: the API server's Service, and this
// pod itself.
func denied(getenv func(string) string) []netip.Addr {
	var out []netip.Addr
	if a, err := netip.ParseAddr(getenv("KUBERNETES_SERVICE_HOST")); err == nil {
		out = append(out, a)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return out // loopback and link-local are refused anyway
	}
	for _, a := range own {
		// Loopback is refused in any case, unless it is asked for.
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}
