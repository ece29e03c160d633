package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/local"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
)

const runHelp = `Run serves the endpoints of manifests on this machine: the very receiver that
runs in a cluster, without one. Events are on disk before they are answered, and
go to the sinks that the manifests name, which may be on this machine.

The responders of synchronous hooks are asked as in a cluster, and PROXY protocol
headers are taken where spec.exposure.proxyProtocol is Required. With --tls-dir DIR
webhooks are taken over TLS, with DIR/tls.crt and DIR/tls.key, which may be renewed
while it runs.

The manifests hold WebhookEndpoints, and WebhookProviders and Secrets that these
need; with --secrets-dir DIR the entries of Secret NAME are the files DIR/NAME/*.
Changes of manifests and secrets are taken live; a mistake in them is reported
and leaves what runs as it is.

Ctrl-C stops at once; SIGTERM drains first, as the manifest's spec.receiver.drain
says (a second signal ends that). What is not delivered stays in --data-dir and is
delivered after the next start.

Exit codes: 0 stopped as asked, 1 it could not start or serve, 2 wrong usage, 74
the disk failed.`

const runExample = `  # Serve a manifest, and send it an event from a second terminal.
  fairlead run -f config/samples/stream-chat.yaml
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt

  # Have a responder judge messages, as the sample moderator does.
  go run ./config/samples/moderator --listen 127.0.0.1:9200 --mask heck --refuse pills
  fairlead run -f config/samples/moderator/local.yaml
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt --hook before-message-send --text "cheap pills"

  # Over TLS.
  fairlead run -f endpoint.yaml --listen :8443 --tls-dir certificate

  # Look at what is queued, at what holds, and at the metrics.
  fairlead queue status
  curl http://127.0.0.1:8081/statusz
  curl http://127.0.0.1:8081/metrics`

type runFlags struct {
	files                               []string
	listen, admin, data, secrets, level string
	tls                                 string
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:     "run -f FILE...",
		Short:   "Serve manifests on this machine, without a cluster",
		Long:    runHelp,
		Example: runExample,
		Args:    arguments(0, 0, "no arguments; name files with -f"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(f.files) == 0 {
				return usagef("no file is named; name one with -f")
			}
			return f.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringArrayVarP(&f.files, "file", "f", nil, "file, directory, or - for standard input; may be repeated")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "address that takes webhooks")
	cmd.Flags().StringVar(&f.admin, "admin", "127.0.0.1:8081", "address of /healthz, /readyz, /metrics, /statusz and, on loopback, the admin API")
	cmd.Flags().StringVar(&f.data, "data-dir", "fairlead-data", "directory of the queues; made if it is missing")
	cmd.Flags().StringVar(&f.secrets, "secrets-dir", "", "directory with a directory of files for each Secret that the manifests lack")
	cmd.Flags().StringVar(&f.tls, "tls-dir", "", "directory with tls.crt and tls.key; webhooks are taken over TLS then")
	cmd.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (f *runFlags) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return usagef("--log-level is %q; it must be one of debug, info, warn, error", f.level)
	}
	if info, err := os.Stat(f.tls); f.tls != "" && (err != nil || !info.IsDir()) {
		return usagef("--tls-dir is %q; it must be a directory, with tls.crt and tls.key", f.tls)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the HTTP client would print to package log what sinks send unasked
	listen, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listening for webhooks (choose another address with --listen): %w", err)
	}
	admin, err := net.Listen("tcp", f.admin)
	if err != nil {
		return errors.Join(fmt.Errorf("listening for telemetry (choose another address with --admin): %w", err), listen.Close())
	}
	hurry, stop := hurried()
	defer stop()
	err = local.Run(ctx, local.Options{
		Load: f.load(stdin), Watched: f.watched(), SecretsDir: f.secrets, TLSDir: f.tls, Listen: listen, Admin: admin, DataDir: f.data, Stdout: stdout,
		Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})), Version: currentVersion(), Hurry: hurry, Exit: exit,
		Ready: func(all []manifest.Resolved) {
			(&greeting{all: all, listen: listen.Addr(), admin: admin.Addr(), data: f.data, tls: f.tls != ""}).print(stderr)
			debug.FreeOSMemory() // checking manifests took far more than serving will
		},
	})
	if err == nil {
		fmt.Fprintf(stderr, "Stopped. What is not delivered waits in %s for the next start.\n", f.data)
	}
	return err
}

// load returns what reads the manifests. Standard input can be read only once.
func (f *runFlags) load(stdin io.Reader) func() (*manifest.File, error) {
	return func() (*manifest.File, error) { return manifest.Load(f.files, stdin) }
}

// watched returns what lists the directories of the manifests, or nil if they
// come from standard input and so cannot change.
func (f *runFlags) watched() func() []string {
	for _, name := range f.files {
		if name == "-" {
			return nil
		}
	}
	return func() []string {
		var dirs []string
		for _, name := range f.files {
			if info, err := os.Stat(name); err == nil && info.IsDir() {
				dirs = append(dirs, name)
			} else {
				dirs = append(dirs, filepath.Dir(name))
			}
		}
		return dirs
	}
}

// hurried returns a channel that is closed when somebody is waiting at a
// terminal (Ctrl-C), or asks for the second time.
func hurried() (<-chan struct{}, func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	hurry, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(hurry)
		for asked := 0; asked < 2; asked++ {
			select {
			case s := <-signals:
				if s == os.Interrupt {
					return
				}
			case <-done:
				return
			}
		}
	}()
	return hurry, func() {
		signal.Stop(signals)
		close(done)
	}
}
