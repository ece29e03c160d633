package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// process is a program that runs on a host. What it prints is shown if the test
// fails.
type process struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how; valid after that

	mu    sync.Mutex
	lines []string
}

// run starts a program, which is killed at the end of the test unless it has ended.
// line, if it is not nil, is told each line.
func run(t testing.TB, on *host, name string, cmd *exec.Cmd, line func(string)) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, ended: make(chan struct{})}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	err = on.start(cmd)
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		p.read(out, line)
		p.err = cmd.Wait()
	}()
	t.Cleanup(p.end)
	return p
}

func (p *process) read(out io.ReadCloser, line func(string)) {
	defer out.Close()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mu.Unlock()
		if line != nil {
			line(lines.Text())
		}
	}
}

// until waits for what a running program does.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	servertest.Until(p.t, what, func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended: %v", p.name, p.err)
		default:
		}
		return ok()
	})
}

// end kills the program and shows what it printed, if the test has failed.
func (p *process) end() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	if p.t.Failed() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.t.Logf("%s printed:\n%s", p.name, strings.Join(p.lines[max(0, len(p.lines)-30):], "\n"))
	}
}

// stop asks the program to end, and returns when it has done so without an error.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.ended
	if p.err != nil {
		p.t.Errorf("%s ended with %v", p.name, p.err)
	}
}

// nginxMain is the part of nginx's configuration that a system has already. The
// sample goes into http or into stream.
const nginxMain = `daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr notice;
%s
events { worker_connections 512; }
%s {
%s
include %s;
}
`

// nginxTemporary is where nginx puts large bodies.
const nginxTemporary = `access_log off; client_body_temp_path body; proxy_temp_path proxy;
fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;`

// haproxyMain is the part of HAProxy's configuration that a system has already.
const haproxyMain = `global
    stats socket unix@admin.sock level admin
    maxconn 512
    nbthread 1
    crt-base .
`

// runNginx starts nginx with a sample, in a directory that has the certificate.
func (w *world) runNginx(t testing.TB, on *host, dir, sample string) *process {
	t.Helper()
	if w.nginx == "" {
		untried(t, sample, "nginx is missing")
	}
	main := fmt.Sprintf(nginxMain, "", "http", nginxTemporary, sample)
	if isStream(sample) {
		if w.module == "" {
			untried(t, sample, "nginx's module for TCP is missing (libnginx-mod-stream)")
		}
		main = fmt.Sprintf(nginxMain, "load_module "+w.module+";", "stream", "", sample)
	}
	put(t, dir, "nginx.conf", main)
	cmd := exec.Command(w.nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	cmd.Env = libraries()
	return run(t, on, "nginx", cmd, nil)
}

// isStream reports whether a sample of nginx is one for its stream module.
func isStream(sample string) bool {
	name := filepath.Base(sample)
	return strings.Contains(name, "tcp") || strings.Contains(name, "passthrough")
}

// runHAProxy does the same with HAProxy.
func (w *world) runHAProxy(t testing.TB, on *host, dir, sample string) *process {
	t.Helper()
	if w.haproxy == "" {
		untried(t, sample, "haproxy is missing")
	}
	put(t, dir, "global.cfg", haproxyMain)
	cmd := exec.Command(w.haproxy, "-db", "-f", "global.cfg", "-f", sample)
	cmd.Dir, cmd.Env = dir, libraries()
	return run(t, on, "haproxy", cmd, nil)
}

// libraries is an environment in which the libraries are found that install.sh has
// unpacked beside a program.
func libraries() []string {
	if edgeDir() == "/" {
		return os.Environ()
	}
	var found []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		some, _ := filepath.Glob(filepath.Join(edgeDir(), pattern)) // the patterns are right
		found = append(found, some...)
	}
	if len(found) == 0 {
		return os.Environ()
	}
	return append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(found, ":"))
}

func put(t testing.TB, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
