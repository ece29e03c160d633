// Package plane runs a Kubernetes control plane for tests and for programs that
// show something. It is hack/cluster/cp.sh for Go, and serves only inside a
// checkout of the repository.
package plane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNoBinaries says that the control plane was not built, and how that is done.
var ErrNoBinaries = errors.New("run `make cluster-binaries`, or `make test`, which builds them first")

const (
	endPatience  = 30 * time.Second // for what should take none
	assetsEnv    = "KUBEBUILDER_ASSETS"
	scriptFolder = "hack/cluster"
)

// Assets returns the folder with etcd, kube-apiserver and kubectl: that which
// KUBEBUILDER_ASSETS names, or the one to which build.sh builds. The error is
// ErrNoBinaries if one of the three is not there.
func Assets() (string, error) {
	dir := os.Getenv(assetsEnv)
	if dir == "" {
		built, err := buildFolder()
		if err != nil {
			return "", err
		}
		dir = built
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("looking for %s in %q: %w", name, dir, ErrNoBinaries)
		}
	}
	return dir, nil
}

// buildFolder returns the folder to which build.sh builds.
func buildFolder() (string, error) {
	build, err := locate("build.sh")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, build, "--print").Output() //nolint:gosec // a script of the repository
	if err != nil {
		return "", fmt.Errorf("asking build.sh for its folder: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// locate returns the path of a script of hack/cluster, in the first folder above
// the current one that has it.
func locate(name string) (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, scriptFolder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("finding the repository: %s/%s is in no folder above %q", scriptFolder, name, start)
		}
	}
}

// Options says what to start.
type Options struct {
	Level int       // 1: API server; 2: and controllers, scheduler, a node. 0 means 2
	Log   io.Writer // gets what is waited for; nil: only an error shows it
	Dir   string    // certificates, data, logs; new or empty. "" means a temporary one
}

// Plane is a control plane that runs. Several can run at once.
type Plane struct {
	Kubeconfig string // path of the kubeconfig of a user who may do everything
	Dir        string // Stop removes it

	assets string
}

// Start returns when the API server is ready and, at level 2, pods can be
// scheduled and become Ready. On an error nothing is left behind. Ending ctx ends
// the waiting and has no effect after that. The control plane ends with this
// process at the latest.
func Start(ctx context.Context, o Options) (*Plane, error) {
	assets, err := Assets()
	if err != nil {
		return nil, err
	}
	dir, err := stateFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	p := &Plane{Kubeconfig: filepath.Join(dir, "admin.kubeconfig"), Dir: dir, assets: assets}
	if o.Level == 0 {
		o.Level = 2
	}
	if err := p.script(ctx, o.Log, "up", "--level", strconv.Itoa(o.Level)); err != nil {
		err = fmt.Errorf("starting a control plane of level %d: %w", o.Level, err)
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Stop returns when every process has ended and Dir is gone. To stop again is no
// error.
func (p *Plane) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	if err := p.script(ctx, nil, "down"); err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return nil
}

// stateFolder returns an absolute path. What it made, `cp.sh down` removes.
func stateFolder(dir string) (string, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("naming the folder of the control plane: %w", err)
		}
		return abs, nil
	}
	dir, err := os.MkdirTemp("", "fairlead-cluster-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the control plane: %w", err)
	}
	return dir, nil
}

// script runs cp.sh. Its output goes to log or else, if it fails, into the error.
// When ctx ends, the script is asked to end and to stop what it started.
func (p *Plane) script(ctx context.Context, log io.Writer, args ...string) error {
	path, err := locate("cp.sh")
	if err != nil {
		return err
	}
	var kept bytes.Buffer // the script writes some dozen lines at most
	if log == nil {
		log = &kept
	}
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // a script of the repository
	cmd.Env = append(os.Environ(), "R="+p.Dir, assetsEnv+"="+p.assets,
		"FAIRLEAD_CLUSTER_PARENT="+strconv.Itoa(os.Getpid()))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endPatience
	err = cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if said := strings.TrimSpace(kept.String()); said != "" {
		return fmt.Errorf("running cp.sh: %w: %s", err, said)
	}
	return fmt.Errorf("running cp.sh: %w", err)
}
