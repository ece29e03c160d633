package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write what the tool prints into the scripts")

// signingSecret is the one that the scripts' server knows.
const signingSecret = "0123456789abcdef0123456789abcdef"

func TestMain(m *testing.M) {
	tool := func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(execute(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	testscript.Main(m, map[string]func(){"fairlead": tool, "kubectl-fairlead": tool})
}

// TestScripts runs testdata/*.txtar. Each has a server of its own:
//
//	$SERVER/verify/PROVIDER  answers as a receiver of that provider does
//	$SERVER/status/CODE      answers with that status
//	$SERVER/hang             answers never
//	$SERVER/sync/PROVIDER/…  answers a hook as a receiver does that has the sample
//	                         moderator, which masks heck and refuses pills
//	$SERVER/moderate/HOOK    is that moderator
//	$SERVER/answer/STATUS/BODY answers with those; BODY is base64 without padding
//	$SERVER/whoami           says the client's address, and the request's URL
//	$SERVER/sink             a sink: answers with the status of answer CODE, else 200
//	$TLSSERVER               the same over TLS, by the authority in ca.pem
//	$PROXYSERVER             the same behind the PROXY protocol
//	seen N                   waits until the server has had N requests
//	answer CODE              says what the sink answers from now on
//	delivered N              waits until the sink has taken N events, and writes what
//	                         it knows of each to delivered.txt, a line each
//	atleast N                waits until the sink has taken N events or more
//	dead N, quarantined N    waits until the receiver at $ADMIN, or at the address in
//	                         the variable that is named behind N, has so many
//	secrets N                waits until it has so many signing secrets
//	ready                    waits until a receiver's telemetry at $ADMIN says so
//	$SAMPLES                 config/samples
//	written PAGE TEXT FILE   writes to FILE the next command of PAGE that begins so, as
//	                         it is written but for addresses; PAGE is README.md and the
//	                         like, see hack/readme
//	written -all             fails if a command that a script is to type was not written
//	manifest PAGE N FILE     writes to FILE the Nth block of YAML of PAGE
//	$LISTEN, $ADMIN, $ADMIN2 addresses where nothing listens
//	$KUBECONFIG              an API server that plays: cluster_test.go
//	cluster WHAT...          changes what it does
//	certificate/             tls.crt and tls.key by the authority in ca.pem
//	endpoint.yaml            an endpoint for $LISTEN/hooks that delivers to the sink
func TestScripts(t *testing.T) {
	samples, err := filepath.Abs("../../config/samples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			s := &scriptServer{}
			plain := httptest.NewServer(s)
			secure := httptest.NewUnstartedServer(s)
			secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // refused handshakes are wanted
			secure.StartTLS()
			proxied := httptest.NewUnstartedServer(s)
			proxied.Listener = &proxyproto.Listener{Listener: proxied.Listener, ReadHeaderTimeout: time.Second,
				ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil }}
			proxied.Start()
			e.Defer(proxied.Close)
			e.Setenv("PROXYSERVER", proxied.URL)
			e.Defer(plain.Close)
			e.Defer(secure.Close)
			e.Setenv("SERVER", plain.URL)
			e.Setenv("TLSSERVER", secure.URL)
			e.Setenv("SAMPLES", samples)
			// A program that is built with the race detector would sleep for a second
			// before it ends.
			e.Setenv("GORACE", cmp.Or(os.Getenv("GORACE"), "atexit_sleep_ms=20"))
			e.Values["server"] = s
			for _, name := range []string{"LISTEN", "LISTEN2", "ADMIN", "ADMIN2"} {
				e.Setenv(name, freeAddress())
			}
			if err := playCluster(e); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(e.WorkDir, "endpoint.yaml"), fmt.Appendf(nil, scriptEndpoint, plain.URL+"/sink", signingSecret), 0o600); err != nil {
				return err
			}
			if err := writeCertificate(filepath.Join(e.WorkDir, "certificate"), secure.TLS.Certificates[0]); err != nil {
				return err
			}
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
			if err := os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), ca, 0o600); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "secret.txt"), []byte(signingSecret+"\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"seen": seen, "answer": setAnswer, "delivered": delivered, "ready": ready,
			"written": written, "manifest": shown, "atleast": atLeast, "dead": counted("fairlead_receiver_dead_letters"), "quarantined": counted("fairlead_receiver_quarantined_requests"), "secrets": secrets, "cluster": changeCluster},
	})
}

// writeCertificate writes what --tls-dir names.
func writeCertificate(dir string, c tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return err
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "tls.crt"), crt, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

// scriptEndpoint keeps what fails verification, and gives a delivery two attempts.
const scriptEndpoint = `
apiVersion: fairlead.dev/v1alpha1
kind: WebhookEndpoint
metadata: {name: chat, namespace: community}
spec:
  provider: stream-chat
  secretRef: {name: signing}
  sources: {mode: Observe}
  sinks:
  - name: app
    http: {url: %q}
    delivery: {maxAttempts: 2, minBackoff: 100ms}
  exposure: {path: /hooks}
  queue: {quarantine: {maxRequests: 100}}
  receiver: {drain: {delay: 0s, grace: 1s}}
---
apiVersion: v1
kind: Secret
metadata: {name: signing, namespace: community}
stringData: {current: %q}
`

// freeAddress is one where nothing listens now.
func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// setAnswer says what the script's sink answers.
func setAnswer(ts *testscript.TestScript, _ bool, args []string) {
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := ts.Value("server").(*scriptServer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = code
}

// taken returns what the script's sink took, once it is so many.
func taken(ts *testscript.TestScript, arg string) (got []string, want int) {
	want, err := strconv.Atoi(arg)
	ts.Check(err)
	s := ts.Value("server").(*scriptServer)
	until(ts, fmt.Sprint(want, " events at the sink"), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = slices.Clone(s.events)
		return len(got) >= want
	})
	return got, want
}

func atLeast(ts *testscript.TestScript, _ bool, args []string) { taken(ts, args[0]) }

func delivered(ts *testscript.TestScript, _ bool, args []string) {
	got, want := taken(ts, args[0])
	if len(got) != want {
		ts.Fatalf("the sink had %d events, want %d", len(got), want)
	}
	slices.Sort(got)
	ts.Check(os.WriteFile(ts.MkAbs("delivered.txt"), []byte(strings.Join(got, "\n")+"\n"), 0o600))
}

// page returns a page of the receiver's telemetry; empty if there is none.
func page(ts *testscript.TestScript, at, name string) string {
	resp, err := http.Get("http://" + ts.Getenv(at) + name)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	return string(body)
}

// counted waits until a metric of the receiver is so high.
func counted(metric string) func(*testscript.TestScript, bool, []string) {
	line := regexp.MustCompile(`(?m)^` + metric + `\{.*\} (\d+)$`)
	return func(ts *testscript.TestScript, _ bool, args []string) {
		at := append(args, "ADMIN")[1]
		until(ts, metric+" "+args[0], func() bool {
			m := line.FindStringSubmatch(page(ts, at, "/metrics"))
			return m != nil && m[1] == args[0]
		})
	}
}

func secrets(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, args[0]+" secrets", func() bool {
		return fmt.Sprint(strings.Count(page(ts, "ADMIN", "/statusz"), `"fingerprint"`)) == args[0]
	})
}

// ready waits for a receiver.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	name := "ADMIN"
	if len(args) > 0 {
		name = args[0]
	}
	until(ts, "a receiver", func() bool {
		resp, err := http.Get("http://" + ts.Getenv(name) + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func until(ts *testscript.TestScript, what string, ok func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("waited in vain for %s", what)
		}
	}
}

// seen waits until the script's server has had so many requests.
func seen(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := ts.Value("server").(*scriptServer)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); s.count() < want; <-tick.C {
		if time.Now().After(deadline) {
			break
		}
	}
	if got := s.count(); got != want {
		ts.Fatalf("the server had %d requests, want %d", got, want)
	}
}

// TestRenderDefaults holds that render assumes what config/default installs.
func TestRenderDefaults(t *testing.T) {
	for file, want := range map[string]string{
		"deployment.yaml": "--receiver-image=" + defaultReceiverImage + "\n",
		"namespace.yaml":  "name: " + defaultOperatorNamespace + "\n",
	} {
		data, err := os.ReadFile(filepath.Join("../../config/operator", file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), want) {
			t.Errorf("%s does not hold %q", file, want)
		}
	}
}

// TestHelp holds that every verb and flag says what it is for, with an example,
// and that a verb's exit codes stand in its help.
func TestHelp(t *testing.T) {
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s has no description or no example", cmd.CommandPath())
		}
		if cmd.Name() != "version" && !strings.Contains(cmd.Long, "Exit codes: 0 ") {
			t.Errorf("the help of %s does not name its exit codes", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("flag --%s of %s says nothing", f.Name, cmd.CommandPath())
			}
		})
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newRoot(nil, io.Discard, io.Discard))
}

// What Ctrl-C has ended has the exit code that shells give for that.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"deadletters", "list"}, {"replay", "--all"}, {"quarantine", "reverify", "--all"}, {"queue", "status"}} {
		if got := execute(ctx, append([]string{"fairlead"}, args...), nil, io.Discard, io.Discard); got != exitStopped {
			t.Errorf("%v: exit code %d, want %d", args, got, exitStopped)
		}
	}
}
