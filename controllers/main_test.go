package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/fairlead-dev/fairlead/controllers/endpoint"
	"github.com/fairlead-dev/fairlead/controllers/endpointtest"
	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// asOperator makes the test's own binary behave as the operator: that is the
// process that the tests run.
const asOperator = "FAIRLEAD_TEST_AS_OPERATOR"

// The API server of all tests, and a client that may do everything.
var (
	env   *envtest.Environment
	admin client.Client
)

// patience is for what takes well under a second on a machine that is not busy.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asOperator) != "" {
		main()
		return
	}
	ctrl.SetLogger(logr.Discard())
	code, err := withServer(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withServer(m *testing.M) (code int, err error) {
	assets, err := plane.Assets()
	if err != nil {
		return 1, err
	}
	certs, err := os.MkdirTemp("", "fairlead-operator-test-") // of the test's own, so that a restart keeps them
	if err != nil {
		return 1, err
	}
	env = &envtest.Environment{BinaryAssetsDirectory: assets, ErrorIfCRDPathMissing: true,
		CRDDirectoryPaths:       []string{"../config/crd/fairlead.dev_webhookendpoints.yaml", "../config/crd/fairlead.dev_webhookproviders.yaml"},
		ControlPlaneStopTimeout: time.Second, // then it is killed; it would wait a minute for those who watch
	}
	env.ControlPlane.GetAPIServer().CertDir = certs
	cfg, err := env.Start()
	if err != nil {
		return 1, fmt.Errorf("starting API server: %w", err)
	}
	defer func() {
		_ = env.Stop() // that a server had to be killed is no matter
		err = errors.Join(err, os.RemoveAll(certs))
	}()
	cfg.QPS = -1
	if admin, err = client.New(cfg, client.Options{Scheme: endpoint.Scheme()}); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// process is an operator in a process of its own.
type process struct {
	t               *testing.T
	cmd             *exec.Cmd
	metrics, probes string // addresses
	log             output
	ended           chan struct{} // closed when it has; then code is set
	code            int
}

// output keeps what a process writes.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// line is one of the log.
type line struct{ Level, Msg, Err string }

func (o *output) lines() []line {
	var out []line
	for text := range strings.Lines(o.String()) {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil {
			out = append(out, l)
		}
	}
	return out
}

func (o *output) says(msg string) bool {
	return slices.ContainsFunc(o.lines(), func(l line) bool { return strings.Contains(l.Msg, msg) })
}

// errors returns the lines that tell of one. That a leader which is told to stop
// leads no longer is none, whatever the library says.
func (o *output) errors() []string {
	var out []string
	for _, l := range o.lines() {
		if l.Level == "ERROR" && l.Err != "leader election lost" {
			out = append(out, l.Msg+": "+l.Err)
		}
	}
	return out
}

// spawn starts an operator as a user. It ends with the test at the latest.
func spawn(t *testing.T, as user, args ...string) *process {
	t.Helper()
	p := &process{t: t, metrics: freeAddress(t), probes: freeAddress(t), ended: make(chan struct{})}
	args = append([]string{"--receiver-image=receiver:test", "--operator-namespace=fairlead-system",
		"--metrics-bind-address=" + p.metrics, "--health-probe-bind-address=" + p.probes}, args...)
	p.cmd = exec.CommandContext(context.Background(), os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asOperator+"=1", "KUBECONFIG="+as.kubeconfig)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the code says all
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // if it has not ended; then it gives its Lease back
		p.end()
		if t.Failed() {
			t.Logf("log of operator %d:\n%s", p.cmd.Process.Pid, &p.log)
		}
	})
	return p
}

// freeAddress returns an address at which nobody listens now: neither server of
// the operator tells which port it was given.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ready waits until the operator says that it is.
func (p *process) ready() *process {
	p.t.Helper()
	until(p.t, "the operator is ready", func(ctx context.Context) error {
		if p.hasEnded() {
			p.t.Fatalf("the operator ended with code %d", p.code)
		}
		code, _, err := get(ctx, http.DefaultClient, "http://"+p.probes+"/readyz", "")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("/readyz answers %d", code)
		}
		return err
	})
	return p
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// signal sends a signal and returns the exit code, and how long the end took.
func (p *process) signal(s syscall.Signal) (int, time.Duration) {
	p.t.Helper()
	since := time.Now()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	return p.end(), time.Since(since)
}

// end waits until the operator has ended, and returns its exit code.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Error("the operator does not end")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.code
}

func until(t *testing.T, what string, ok func(context.Context) error) {
	t.Helper()
	endpointtest.Wait{Every: 50 * time.Millisecond, Patience: patience}.Until(t, what, ok)
}

func TestFlags(t *testing.T) {
	good := []string{"--receiver-image=receiver:test", "--operator-namespace=fairlead-system"}
	for name, tt := range map[string]struct {
		args []string
		code int
		says string // in the one line that there is; "" for any number of lines
	}{
		"help":               {args: []string{"--help"}, code: 0},
		"version":            {args: []string{"--version"}, code: 0, says: "devel"},
		"unknown flag":       {args: []string{"--nope"}, code: 1, says: "-nope"},
		"argument":           {args: []string{"serve"}, code: 1, says: `"serve"`},
		"no image":           {args: good[1:], code: 1, says: "--receiver-image"},
		"no namespace":       {args: good[:1], code: 1, says: "--operator-namespace"},
		"level":              {args: append(good, "--log-level=loud"), code: 1, says: "log-level"},
		"concurrency":        {args: append(good, "--concurrent-reconciles=0"), code: 1, says: "--concurrent-reconciles"},
		"interval":           {args: append(good, "--discovery-interval=0s"), code: 1, says: "--discovery-interval"},
		"no duration":        {args: append(good, "--discovery-interval=often"), code: 1, says: "discovery-interval"},
		"providers":          {args: append(good, "--watch-providers=maybe"), code: 1, says: "--watch-providers"},
		"empty namespaces":   {args: append(good, "--namespaces="), code: 1, says: "--namespaces"}, // must not stand for all
		"misspelt namespace": {args: append(good, "--namespaces=shop,Forum"), code: 1, says: `"Forum"`},
		"misspelt exposure":  {args: append(good, "--allowed-exposures=Gatway"), code: 1, says: `"Gatway"`},
		"exposures twice":    {args: append(good, "--allowed-exposures=shop=Gateway", "--allowed-exposures=shop=Ingress"), code: 1, says: "--allowed-exposures"},
		"bad host glob":      {args: append(good, "--allowed-hosts=[a"), code: 1, says: "--allowed-hosts"},
		"bad annotation":     {args: append(good, "--allowed-annotations=[a"), code: 1, says: "--allowed-annotations"},
		"no API server":      {args: good, code: 1, says: "API server"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], tt.args...)
			cmd.Env = []string{asOperator + "=1", "KUBECONFIG=" + filepath.Join(t.TempDir(), "none"), "GORACE=" + os.Getenv("GORACE")}
			out, err := cmd.CombinedOutput()
			if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("the exit code is %d, want %d", got, tt.code)
			}
			if tt.says != "" && (strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), tt.says)) {
				t.Errorf("it says %q, want one line with %q", out, tt.says)
			}
			if name == "help" && !strings.Contains(string(out), "-allowed-annotations") {
				t.Errorf("help is %q", out)
			}
		})
	}
}
