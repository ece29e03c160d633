package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// operator is the program that is measured.
type operator struct {
	cmd            *exec.Cmd
	metrics, pprof string // addresses
	token          string
	client         *http.Client
	log            bytes.Buffer // to be read when it has ended
	ended          chan struct{}
	err            error // of its end
	stop           func() error
}

// startOperator returns when the process runs. It has the environment that
// config/operator gives it. It ends by stop.
func startOperator(ctx context.Context, program string, c *cluster) (*operator, error) {
	env, err := manifestEnv()
	if err != nil {
		return nil, err
	}
	o := &operator{token: c.token, client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}} //nolint:gosec // it is on this machine, with a certificate of its own making
	var addresses [3]string
	for i := range addresses {
		if addresses[i], err = freeAddress(); err != nil {
			return nil, err
		}
	}
	o.metrics, o.pprof = addresses[0], addresses[1]
	o.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, "--receiver-image=receiver:bench", "--operator-namespace="+ownNamespace, //nolint:gosec // whoever runs the bench names it
		"--metrics-bind-address="+o.metrics, "--pprof-bind-address="+o.pprof, "--health-probe-bind-address="+addresses[2], "--log-level=warn")
	o.cmd.Env = append(append(os.Environ(), env...), "KUBECONFIG="+c.kubeconfig)
	o.cmd.Stderr = &o.log                                   // some lines, unless something is wrong
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	if err := o.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	o.ended = make(chan struct{})
	go func() {
		defer close(o.ended)
		o.err = o.cmd.Wait()
	}()
	o.stop = sync.OnceValue(o.end)
	return o, nil
}

// end has the operator end as a kubelet would.
func (o *operator) end() error {
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = o.cmd.Process.Kill() })
	defer kill.Stop()
	<-o.ended
	if o.err != nil {
		return fmt.Errorf("the operator ended with %w: %s", o.err, tail(o.log.String()))
	}
	return nil
}

// lifetime returns a context that ends when the operator does.
func (o *operator) lifetime(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-o.ended:
			cancel(errors.New("the operator ended by itself"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// tail returns the last lines of a log.
func tail(log string) string {
	const most = 2000
	if len(log) > most {
		log = log[len(log)-most:]
	}
	return strings.TrimSpace(log)
}

// manifestEnv returns the environment of the operator's container, as far as it
// does not depend on the pod.
func manifestEnv() ([]string, error) {
	data, err := os.ReadFile("config/operator/deployment.yaml")
	if err != nil {
		return nil, err
	}
	d := &appsv1.Deployment{}
	if err := yaml.UnmarshalStrict(data, d); err != nil {
		return nil, fmt.Errorf("reading the operator's Deployment: %w", err)
	}
	var out []string
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		if v.ValueFrom == nil {
			out = append(out, v.Name+"="+v.Value)
		}
	}
	return out, nil
}

// freeAddress returns an address at which nobody listens now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// get returns an answer of the operator.
func (o *operator) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the operator answers %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// work returns how many reconciles of endpoints there have been, and how many
// there are or wait.
func (o *operator) work(ctx context.Context) (done, left int, err error) {
	body, err := o.get(ctx, "https://"+o.metrics+"/metrics")
	if err != nil {
		return 0, 0, err
	}
	for text := range strings.Lines(string(body)) {
		name, value, ok := strings.Cut(strings.TrimSpace(text), " ")
		if !ok || !strings.Contains(name, `"webhookendpoint"`) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue // a comment
		}
		switch metric, _, _ := strings.Cut(name, "{"); metric {
		case "controller_runtime_reconcile_total":
			done += int(n)
		case "workqueue_depth", "controller_runtime_active_workers":
			left += int(n)
		}
	}
	return done, left, nil
}

// profile writes one of the operator's profiles to a file.
func (o *operator) profile(ctx context.Context, kind, path string) error {
	data, err := o.get(ctx, "http://"+o.pprof+"/debug/pprof/"+kind)
	if err != nil {
		return fmt.Errorf("profiling the operator: %w", err)
	}
	return os.WriteFile(path, data, 0o600)
}
