// Package demo runs a receiver from manifests, plays the providers at it, and
// shows what was sent, what it was answered, and what reached the sink.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/local"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
)

// patience bounds each wait of the demo.
const patience = 10 * time.Second

// errWrong means that something was not as it should be; the table says what.
var errWrong = errors.New("not all of it is right; see the lines marked with WRONG")

// Program is what the program that shows the demo says of itself.
type Program struct {
	Version string
	// Exit ends the process when the disk has failed: os.Exit.
	Exit func(code int)
}

// Run plays every endpoint of the manifests in paths and prints a table to out.
// It needs no network but loopback, and leaves nothing behind. The error is nil
// only if every request was answered, and every event delivered, as it should be.
func Run(ctx context.Context, paths []string, p Program, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	data, err := os.MkdirTemp("", "fairlead-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for the queues: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	s, err := newSink(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	m, err := newModerator(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	file, err := load(paths, s.url(), m.url())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Receiver from %v; sink at %s; each client's address is told by a trusted proxy (X-Forwarded-For).\n\n", paths, s.url())
	var log bytes.Buffer
	r := newRun(ctx, file, data, p, &log)
	rows, asked, err := playAll(ctx, r, file, s, m)
	if err = errors.Join(err, r.stop()); err != nil {
		return fmt.Errorf("%w\n%s", err, log.String())
	}
	err = report(out, rows, s)
	return cmp.Or(err, reportAsked(out, asked))
}

// load reads the manifests and turns them to this machine: sinks and responders
// to the demo's, and the demo itself as a trusted proxy. All else stays as it is
// written.
func load(paths []string, sink, moderator string) (*manifest.File, error) {
	file, err := manifest.Load(paths, bytes.NewReader(nil))
	if err != nil {
		return nil, err
	}
	for _, ep := range file.Endpoints {
		for i := range ep.Spec.Sinks {
			if h := ep.Spec.Sinks[i].HTTP; h != nil {
				h.URL = sink
			}
		}
		for i := range ep.Spec.Responders {
			if h := ep.Spec.Responders[i].HTTP; h != nil {
				h.URL = moderator + ep.Spec.Responders[i].Hook
			}
		}
		ep.Spec.Sources.TrustedProxies = []v1alpha1.CIDR{"127.0.0.1/32"}
		ep.Spec.Receiver.Drain = &v1alpha1.Drain{Delay: "0s", Grace: v1alpha1.Duration(patience.String())}
	}
	return file, nil
}

// run is a receiver at work.
type run struct {
	listen net.Listener
	cancel context.CancelFunc
	ready  chan []manifest.Resolved
	done   chan error
}

func newRun(ctx context.Context, file *manifest.File, data string, p Program, log io.Writer) *run {
	ctx, cancel := context.WithCancel(ctx)
	r := &run{cancel: cancel, ready: make(chan []manifest.Resolved, 1), done: make(chan error, 1)}
	var admin net.Listener
	var err, err2 error
	r.listen, err = net.Listen("tcp", "127.0.0.1:0")
	admin, err2 = net.Listen("tcp", "127.0.0.1:0")
	if err = errors.Join(err, err2); err != nil {
		r.done <- fmt.Errorf("listening: %w", err)
		return r
	}
	go func() {
		r.done <- local.Run(ctx, local.Options{
			Load: func() (*manifest.File, error) { return file, nil }, Listen: r.listen, Admin: admin, DataDir: data, Stdout: io.Discard,
			Logger: slog.New(slog.NewTextHandler(log, nil)), Version: p.Version, Exit: p.Exit, Ready: func(all []manifest.Resolved) { r.ready <- all },
		})
	}()
	return r
}

// wait returns what is served, or why nothing is.
func (r *run) wait() ([]manifest.Resolved, error) {
	select {
	case all := <-r.ready:
		return all, nil
	case err := <-r.done:
		r.done <- nil
		return nil, fmt.Errorf("starting the receiver: %w", err)
	}
}

// stop ends the receiver, which delivers what is queued first.
func (r *run) stop() error {
	r.cancel()
	return <-r.done
}
