package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopGrace is how long a process that was asked to end may take.
const stopGrace = 3 * time.Second

// A process is a system under measurement. It ends with the context that it was
// started under, with stop, and, on Linux, with this program.
type process struct {
	name   string
	pid    int
	log    string // file with what it said
	cancel context.CancelFunc
	done   chan struct{}
}

// start starts a program with the secret in its environment. Its output goes to
// a file in dir.
func start(ctx context.Context, dir, name, secret string, argv ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("making log of %q: %w", name, err)
	}
	defer out.Close()
	ctx, p.cancel = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the programs that the caller wants measured
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), secretVar+"="+secret)
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace // then it is killed
	if err := cmd.Start(); err != nil {
		p.cancel()
		return nil, fmt.Errorf("starting %q: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended shows in its log
	}()
	return p, nil
}

// stop ends the process and returns when it has ended.
func (p *process) stop() {
	p.cancel()
	<-p.done
}

// tail returns the end of what the process said.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// awaitReady returns when url answers 200.
func (p *process) awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		if answers(ctx, url) {
			return nil
		}
		select {
		case <-poll.C:
		case <-p.done:
			return fmt.Errorf("waiting for %q: it ended; it said:\n%s", p.name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("waiting for %q: %w; it said:\n%s", p.name, ctx.Err(), p.tail())
		}
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// freeAddrs returns n loopback addresses where nobody listens just now.
func freeAddrs(ctx context.Context, n int) ([]string, error) {
	var lc net.ListenConfig
	addrs := make([]string, n)
	for i := range addrs {
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close() // only at the end, so that no address comes twice
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
