// Package local runs the receiver from manifests, without a cluster: what
// fairlead run and fairlead demo have in common. The receiver is the very one
// that runs in a pod; only where its configuration comes from differs.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/server"
)

// Options say what is run, and where.
type Options struct {
	// Load reads the manifests. It is called again when something in Watched may
	// have changed; an error then leaves what runs as it is.
	Load func() (*manifest.File, error)
	// Watched lists the directories whose changes matter; none means that Load is
	// called once.
	Watched func() []string
	// SecretsDir holds a directory for each Secret that the manifests lack; empty
	// means that all are in the manifests.
	SecretsDir string
	// TLSDir holds tls.crt and tls.key, with which webhooks are taken; empty means
	// plain HTTP. Renewed files are taken live.
	TLSDir string
	// Listen takes webhooks; Admin telemetry and the admin API. Run closes them.
	Listen, Admin net.Listener
	// DataDir holds the queues, one directory for each endpoint.
	DataDir string
	// Stdout is where stdout sinks print.
	Stdout  io.Writer
	Logger  *slog.Logger
	Version string
	// Exit ends the process when the disk has failed: os.Exit.
	Exit func(code int)
	// Hurry, when it is closed, ends the waits of a stop.
	Hurry <-chan struct{}
	// Ready is told the endpoints when all is served.
	Ready func([]manifest.Resolved)
}

// runner is what Run works with.
type runner struct {
	o         Options
	endpoints map[string]*running
	next      time.Time // when ranges change
}

type running struct {
	source     *reload.Memory
	receiver   *server.Receiver
	generation int64
	last       string
}

// Run serves every endpoint of the manifests until ctx ends, and then stops as
// server.Serve does. What is queued stays in DataDir.
func Run(ctx context.Context, o Options) (err error) {
	r := &runner{o: o, endpoints: map[string]*running{}}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	resolved, err := r.open(reg)
	if err != nil {
		return errors.Join(err, o.Listen.Close(), o.Admin.Close())
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go r.watch(watching)
	var receivers []*server.Receiver
	for _, e := range resolved {
		receivers = append(receivers, r.endpoints[key(e)].receiver)
	}
	return server.Serve(ctx, server.ServeOptions{
		Webhooks: o.Listen, Telemetry: o.Admin, Admin: o.Admin, Receivers: receivers, Gatherer: reg, Logger: o.Logger, Version: o.Version,
		Now: time.Now, TLSDir: o.TLSDir, Registerer: reg, Hurry: o.Hurry, Ready: func() { o.Ready(resolved) },
	})
}

func key(e manifest.Resolved) string { return e.Endpoint.Namespace + "/" + e.Endpoint.Name }

// open starts a receiver for each endpoint. On an error those that were started
// are stopped again.
func (r *runner) open(reg prometheus.Registerer) ([]manifest.Resolved, error) {
	file, err := r.o.Load()
	if err != nil {
		return nil, err
	}
	resolved, err := file.Resolve(time.Now())
	if err != nil {
		return nil, err
	}
	if len(resolved) == 0 {
		return nil, errors.New("there is no WebhookEndpoint in the manifests; add one, such as in config/samples")
	}
	for _, e := range resolved {
		if err := r.start(reg, file, e); err != nil {
			return nil, errors.Join(fmt.Errorf("endpoint %s: %w", key(e), err), r.stop())
		}
	}
	return resolved, nil
}

func (r *runner) start(reg prometheus.Registerer, file *manifest.File, e manifest.Resolved) error {
	config, secrets, err := r.content(file, e, 1)
	if err != nil {
		return err
	}
	run := &running{source: reload.NewMemory(config, secrets), generation: 1, last: fingerprint(config, secrets)}
	dir := filepath.Join(r.o.DataDir, e.Endpoint.Namespace, e.Endpoint.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	run.receiver, err = server.Open(server.Options{
		Source: run.source, DataDir: dir, QueueType: string(e.Endpoint.Spec.Queue.Type),
		Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"endpoint": key(e)}, reg),
		Logger:     r.o.Logger.With("endpoint", key(e)), Now: time.Now, Stdout: r.o.Stdout, AllowLoopback: true, Fatal: server.DiskFailed(r.o.Logger, r.o.Exit),
	})
	if err != nil {
		return err
	}
	r.endpoints[key(e)] = run
	r.schedule(e)
	return nil
}

func (r *runner) stop() error {
	var err error
	for _, e := range r.endpoints {
		err = errors.Join(err, e.receiver.Stop(0))
	}
	return err
}

// schedule remembers when an endpoint's ranges change next.
func (r *runner) schedule(e manifest.Resolved) {
	if n := e.Result.NextChange; !n.IsZero() && (r.next.IsZero() || n.Before(r.next)) {
		r.next = n
	}
}

// content returns what the receiver reads: the configuration, and the Secrets
// that it names by SECRET/ENTRY.
func (r *runner) content(file *manifest.File, e manifest.Resolved, generation int64) ([]byte, map[string][]byte, error) {
	cfg := *e.Result.Config
	cfg.Endpoint.Generation = generation
	secrets := map[string][]byte{}
	for _, dir := range reload.Dirs(&cfg) {
		entries, err := r.secret(file, e.Endpoint.Namespace, dir)
		if err != nil {
			return nil, nil, err
		}
		for name, value := range entries {
			secrets[dir+"/"+name] = value
		}
	}
	config, err := json.Marshal(&cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("writing configuration: %w", err)
	}
	return config, secrets, nil
}

func (r *runner) secret(file *manifest.File, namespace, name string) (map[string][]byte, error) {
	if s := file.Secret(namespace, name); s != nil {
		return s.Data, nil
	}
	if r.o.SecretsDir == "" {
		return nil, fmt.Errorf("there is no Secret %q in namespace %q; add it to the manifests, or keep its entries as files in DIR/%s and give --secrets-dir DIR", name, namespace, name)
	}
	dir := &reload.Dir{SecretsDir: r.o.SecretsDir}
	names, err := dir.ListSecret(name)
	if err != nil {
		return nil, fmt.Errorf("reading Secret %q: %w", name, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no Secret %q in the manifests, and no file in directory %q of --secrets-dir; add one", name, name)
	}
	data := map[string][]byte{}
	for _, n := range names {
		if data[n], err = dir.ReadSecret(name + "/" + n); err != nil {
			return nil, fmt.Errorf("reading entry %q of Secret %q: %w", n, name, err)
		}
	}
	return data, nil
}
