package main

import (
	"context"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

var update = flag.Bool("update", false, "write what the tool prints into the scripts")

// signingSecret is the one that the scripts' server knows.
const signingSecret = "0123456789abcdef0123456789abcdef"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fairlead": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestScripts runs testdata/*.txtar. Each has a server of its own:
//
//	$SERVER/verify/PROVIDER  answers as a receiver of that provider does
//	$SERVER/status/CODE      answers with that status
//	$SERVER/hang             answers never
//	$TLSSERVER               the same over TLS, by the authority in ca.pem
//	seen N                   waits until the server has had N requests
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
			e.Defer(plain.Close)
			e.Defer(secure.Close)
			e.Setenv("SERVER", plain.URL)
			e.Setenv("TLSSERVER", secure.URL)
			e.Setenv("SAMPLES", samples)
			e.Values["server"] = s
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
			if err := os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), ca, 0o600); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "secret.txt"), []byte(signingSecret+"\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"seen": seen},
	})
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

// scriptServer plays a receiver.
type scriptServer struct {
	mu       sync.Mutex
	requests int
}

func (s *scriptServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *scriptServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	what, arg, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch what {
	case "verify":
		s.verify(w, r, arg)
	case "status":
		code, err := strconv.Atoi(arg)
		if err != nil {
			code = http.StatusInternalServerError
		}
		w.WriteHeader(code)
		fmt.Fprintln(w, "as you\twish")
	case "hang":
		_, _ = io.Copy(io.Discard, r.Body) // the end of the connection is noticed only then
		<-r.Context().Done()
	}
}

// verify answers as a receiver does that has the signing secret.
func (s *scriptServer) verify(w http.ResponseWriter, r *http.Request, name string) {
	p, err := provider.Get(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	reply := p.Spec.Replies.Accepted
	if isIgnored(p, r.Header) {
		reply = p.Spec.Replies.Ignored
	} else if err := verifyRequest(p, r); err != nil {
		reply = p.Spec.Replies.Unauthenticated
	}
	w.WriteHeader(int(reply.Status))
	fmt.Fprint(w, reply.Body)
}

func isIgnored(p *v1alpha1.WebhookProvider, h http.Header) bool {
	has := func(name v1alpha1.HeaderName) bool { return h.Get(string(name)) != "" }
	for _, rule := range p.Spec.Ignore {
		if !slices.ContainsFunc(rule.Absent, has) && has(rule.Present[0]) {
			return true
		}
	}
	return false
}

func verifyRequest(p *v1alpha1.WebhookProvider, r *http.Request) error {
	scheme, err := verify.New(p.Spec.Signatures, "")
	if err != nil {
		return err
	}
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" && scheme.SignsInflated() {
		if in, err = gzip.NewReader(r.Body); err != nil {
			return err
		}
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	keys, _ := scheme.Keys([]verify.Entry{{Name: "current", Value: []byte(signingSecret)}})
	_, err = keys.Verify(verify.Request{Method: r.Method, Header: r.Header, Body: body}, time.Now())
	return err
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
	root := newRoot(nil, io.Discard, io.Discard)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s has no description or no example", cmd.Name())
		}
		if cmd.Name() != "version" && !strings.Contains(cmd.Long, "Exit codes: 0 ") {
			t.Errorf("the help of %s does not name its exit codes", cmd.Name())
		}
	}
}
