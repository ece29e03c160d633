package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// asReceiver makes the test's own binary behave as the receiver: that is the
// child that is killed.
const asReceiver = "FAIRLEAD_TEST_AS_RECEIVER"

func TestMain(m *testing.M) {
	if os.Getenv(asReceiver) == "" {
		os.Exit(m.Run())
	}
	main()
}

// child is a receiver in a process of its own.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	url, telemetry string
	addr           string // where it takes webhooks
	output         io.ReadCloser
	drained        sync.WaitGroup // of its output
}

// spawn starts a receiver and returns when it serves. Later flags win.
func spawn(t *testing.T, dir string, flags ...string) *child {
	t.Helper()
	args := []string{
		"--config", filepath.Join(dir, "config", "config.yaml"), "--secrets-dir", filepath.Join(dir, "secrets"), "--data-dir", filepath.Join(dir, "data"),
		"--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--termination-message", "", "--allow-loopback-sinks",
	}
	c := &child{t: t, cmd: exec.CommandContext(context.Background(), os.Args[0], append(args, flags...)...)}
	c.cmd.Env = append(os.Environ(), asReceiver+"=1")
	var err error
	if c.output, err = c.cmd.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.awaitReady()
	return c
}

func (c *child) awaitReady() {
	c.t.Helper()
	lines := bufio.NewScanner(c.output)
	for lines.Scan() {
		var line struct{ Msg, Webhooks, Telemetry string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "Serving" {
			c.addr, c.telemetry, c.url = line.Webhooks, line.Telemetry, "http://"+line.Webhooks+"/hooks"
			c.drained.Go(func() { c.follow(lines) })
			return
		}
		c.t.Log(lines.Text())
	}
	c.t.Fatalf("the receiver did not start: %v", c.cmd.Wait())
}

// follow reads the log to its end, and shows what is worse than usual.
func (c *child) follow(lines *bufio.Scanner) {
	for lines.Scan() {
		if text := lines.Text(); strings.Contains(text, `"level":"ERROR"`) || !strings.HasPrefix(text, "{") {
			c.t.Log(text)
		}
	}
}

// kill ends the process without any warning.
func (c *child) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	c.drained.Wait()
	_ = c.cmd.Wait() // it says that it was killed
}

// terminate asks the process to stop.
func (c *child) terminate() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
}

// wait returns when the process has stopped as it was asked to.
func (c *child) wait() {
	c.t.Helper()
	c.drained.Wait()
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the receiver ended with %v", err)
	}
}

// write makes the files of a pod: configuration and one mounted Secret.
func write(t *testing.T, dir string, config []byte) {
	t.Helper()
	for name, content := range map[string][]byte{"config/config.yaml": config, "secrets/signing/current": []byte(servertest.OldSecret + "\n")} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// kills is how often the receiver is killed.
const kills = 12

// TestKill kills a receiver again and again while 16 clients send. Whatever was
// answered 200 must reach the sink, byte for byte.
func TestKill(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	dir := t.TempDir()
	write(t, dir, servertest.Encode(t, servertest.Config(t, sink.URL, nil)))
	accepted := map[string]bool{}
	unanswered := 0
	for round := range kills {
		c := spawn(t, dir)
		crowd := servertest.NewCrowd(t, 16, c.url, fmt.Sprintf("r%d-", round), func() string { return servertest.OldSecret })
		enough := 50 + rand.IntN(1500)
		servertest.Until(t, "events", func() bool { return crowd.Count() >= enough })
		c.kill()
		maps.Copy(accepted, crowd.Stop())
		unanswered += crowd.Other[0]
		delete(crowd.Other, 0)
		if len(crowd.Other) > 0 {
			t.Errorf("round %d: answers other than 200: %v", round, crowd.Other)
		}
	}
	c := spawn(t, dir)
	servertest.UntilAll(t, accepted, sink)
	c.kill()
	delivered, again := sink.IDs(), 0
	for _, n := range sink.Times() {
		again += n - 1
	}
	t.Logf("%d kills: %d events answered 200, all delivered; %d requests unanswered, %d of their events delivered; %d deliveries made more than once",
		kills, len(accepted), unanswered, len(without(delivered, accepted)), again)
}

func without(a, b map[string]bool) []string {
	var out []string
	for id := range a {
		if !b[id] {
			out = append(out, id)
		}
	}
	return out
}

// The program says what is wrong with how it was called.
func TestFlags(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"argument":       {[]string{"what"}, `unexpected argument "what"`},
		"level":          {[]string{"--log-level", "loud"}, "--log-level"},
		"no such config": {[]string{"--config", "nowhere.yaml", "--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0"}, "reading configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), nil, tt.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one about %q", err, tt.want)
			}
		})
	}
	var out strings.Builder
	if err := run(t.Context(), nil, []string{"--version"}, &out, io.Discard); err != nil || out.String() != version+"\n" {
		t.Errorf("--version printed %q, %v", out.String(), err)
	}
}
