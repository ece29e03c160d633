package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fairlead-dev/fairlead/hack/cluster/plane"
)

// patience bounds the whole demo, stopPatience the end of the operator.
const (
	patience     = 3 * time.Minute
	stopPatience = 20 * time.Second
)

// errWrong says that something was not as it should be; the output says what.
var errWrong = errors.New("not all of it is right; see the lines that begin with WRONG")

type options struct {
	operator string // its program
	root     string // the repository
	out      io.Writer
	dir      string // of the control plane; "" means a temporary one
}

// stage is what the demo plays on: a control plane, and a kubectl that is shown.
type stage struct {
	options
	plane *plane.Plane
	bin   string // has kubectl
	wrong bool
}

// run shows the demo. Whatever becomes of it, nothing is left behind. The error is
// nil only if all was as it should be.
func run(ctx context.Context, o options) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	if _, err := os.Stat(o.operator); err != nil {
		return fmt.Errorf("finding the operator: %w; run `make build`", err)
	}
	if o.operator, err = filepath.Abs(o.operator); err != nil {
		return fmt.Errorf("finding the operator: %w", err)
	}
	s := &stage{options: o}
	if s.bin, err = plane.Assets(); err != nil {
		return err
	}
	s.chapter("A control plane on the loopback address")
	if s.plane, err = plane.Start(ctx, plane.Options{Level: 2, Dir: o.dir}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.plane.Stop()) }()
	s.say(whatIsReal)
	if err := s.play(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if s.wrong {
		return errWrong
	}
	s.say(fmt.Sprintf("All of it is as it should be, after %.0f s.", time.Since(began).Seconds()))
	return nil
}

// interrupted says why ctx has ended, if it has: what failed then failed for that.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ended early: %w", context.Cause(ctx))
	}
	return err
}

func (s *stage) chapter(title string) { fmt.Fprintf(s.out, "\n== %s\n", title) }

func (s *stage) say(text string) { fmt.Fprintf(s.out, "\n%s\n", text) }

// expect notes what is not as it should be.
func (s *stage) expect(ok bool, want string) {
	if !ok {
		s.wrong = true
		fmt.Fprintf(s.out, "WRONG: it should be that %s\n", want)
	}
}

// kubectl shows a command and what it prints, and returns that.
func (s *stage) kubectl(ctx context.Context, args ...string) (string, error) {
	out, err := s.quietly(ctx, args...)
	fmt.Fprint(s.out, indent(out))
	return out, err
}

// quietly shows a command and returns what it prints.
func (s *stage) quietly(ctx context.Context, args ...string) (string, error) {
	fmt.Fprintf(s.out, "\n$ kubectl %s\n", quoted(args))
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "kubectl"), args...) //nolint:gosec // which this very program was written to run
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.plane.Kubeconfig, "KUBECACHEDIR="+filepath.Join(s.plane.Dir, "cache"), "KUBERC=off")
	var out bytes.Buffer // what kubectl prints of this demo is some kilobytes
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running kubectl %s: %w\n%s", args[0], err, out.String())
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// indent sets a command's output off from the command.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + strings.TrimRight(line, "\n ") + "\n")
	}
	return b.String()
}

var plain = regexp.MustCompile(`^[-+=:,./_@%a-zA-Z0-9]+$`)

// quoted writes arguments as a shell takes them.
func quoted(args []string) string {
	all := slices.Clone(args)
	for i, a := range all {
		if !plain.MatchString(a) {
			all[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(all, " ")
}

// asOperator writes a kubeconfig for the bearer of a token, and nobody else.
func (s *stage) asOperator(token string) (string, error) {
	cfg, err := clientcmd.LoadFromFile(s.plane.Kubeconfig)
	if err != nil {
		return "", fmt.Errorf("reading kubeconfig: %w", err)
	}
	for name := range cfg.AuthInfos {
		cfg.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	}
	path := filepath.Join(s.plane.Dir, "operator.kubeconfig")
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		return "", fmt.Errorf("writing the operator's kubeconfig: %w", err)
	}
	return path, nil
}

// errEnded says that the operator ended while it was needed.
var errEnded = errors.New("the operator has ended")

// operate starts the operator. The context that it returns ends with the operator,
// or with ctx. stop ends the operator, and returns its log if that did not go well,
// or if it had ended before.
func (s *stage) operate(ctx context.Context, kubeconfig string, args ...string) (running context.Context, stop func() error, err error) {
	fmt.Fprintf(s.out, "\n$ bin/operator %s &\n", quoted(args))
	alive, end := context.WithCancel(ctx)
	cmd := exec.CommandContext(alive, s.operator, args...) //nolint:gosec // the program that the demo is of
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	var log bytes.Buffer // of one operator, for a minute
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		end()
		return nil, nil, fmt.Errorf("starting the operator: %w", err)
	}
	running, ended := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		ended(errEnded)
		if errors.Is(err, context.Canceled) {
			close(done) // it ended well, and was asked to
			return
		}
		done <- errors.Join(errEnded, err)
	}()
	return running, func() error {
		interrupted := ctx.Err() != nil // in a terminal the operator was, too
		end()
		err := <-done
		if interrupted {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("running the operator: %w; its log:\n%s", err, log.String())
		}
		return nil
	}, nil
}
