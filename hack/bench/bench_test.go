package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary stand for this program and for the product: the
// runner starts both as processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		var err error
		switch os.Args[1] {
		case "render":
			err = fakeRender(os.Args[len(os.Args)-1])
		case "--config":
			err = fakeReceiver(ctx, os.Args[1:])
		default:
			err = dispatch(ctx, os.Args[1:])
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

// fakeRender prints the manifest as the configuration.
func fakeRender(file string) error {
	manifest, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(manifest)
	return err
}

// fakeReceiver does what the runner relies on: it takes the flags of the
// receiver, is ready, accepts, and delivers unless it is suspended.
func fakeReceiver(ctx context.Context, args []string) error {
	fs := flags("receiver")
	file, listen, admin := fs.String("config", "", ""), fs.String("listen", "", ""), fs.String("telemetry-listen", "", "")
	fs.String("data-dir", "", "")
	fs.String("secrets-dir", "", "")
	fs.Bool("allow-loopback-sinks", false, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	manifest, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	to := regexp.MustCompile(`url: "([^"]+)"`).FindSubmatch(manifest)[1]
	suspended := bytes.Contains(manifest, []byte("suspend: Deliveries"))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !suspended {
			deliver(r, string(to))
		}
		_, _ = io.WriteString(w, "{}")
	})
	ready := http.NewServeMux()
	ready.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	go func() { _ = serve(ctx, &http.Server{Addr: *admin, Handler: ready}) }()
	return serve(ctx, &http.Server{Addr: *listen, Handler: handler})
}

func deliver(r *http.Request, to string) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, to, r.Body)
	if err != nil {
		return
	}
	req.Header.Set("Ce-Id", r.Header.Get("X-Webhook-Id"))
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
}

// quick makes a bench whose loads are over soon.
func quick(t *testing.T) *bench {
	t.Helper()
	t.Setenv("GORACE", "atexit_sleep_ms=0") // else the processes take a second to end
	b, err := newBench(t.TempDir(), 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	b.warm, b.settle, b.pool = 50*time.Millisecond, 10*time.Millisecond, 50
	return b
}

// TestRun measures the yardstick and a made-up product, twice.
func TestRun(t *testing.T) {
	b := quick(t)
	o := &options{fairlead: b.self, receiver: b.self, against: b.self, againstReceiver: b.self}
	systems := o.systems(b)
	if err := rotate(t.Context(), io.Discard, systems, 2); err != nil {
		t.Fatal(err)
	}
	for _, s := range systems {
		for i, f := range s.rounds {
			if f.perSecond == 0 || f.ready == 0 || f.loaded == 0 {
				t.Errorf("%s, round %d: not all was measured: %+v", s.name, i+1, f)
			}
			deliver := strings.HasPrefix(s.name, nameDeliver)
			if deliver != (f.delivered > 0) || f.missing != 0 {
				t.Errorf("%s, round %d: delivered %.0f/s, %d missing", s.name, i+1, f.delivered, f.missing)
			}
		}
	}
	var out bytes.Buffer
	if err := report(t.Context(), &out, o, systems); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"go-verify", "accept, fsync", "all delivered", "against B", "MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

// TestRunBroken holds that a product that does not start is an error with what
// it said, and leaves no process behind.
func TestRunBroken(t *testing.T) {
	b := quick(t)
	_, err := b.accept(t.Context(), programs{b.self, b.dir + "/nothing"})
	if err == nil {
		t.Fatal("a program that is not there was measured")
	}
	p, err := start(t.Context(), b.dir, "broken", b.secret, b.self, "no-such-verb")
	if err != nil {
		t.Fatal(err)
	}
	err = p.awaitReady(t.Context(), "http://127.0.0.1:1/")
	if err == nil || !strings.Contains(err.Error(), "no-such-verb") {
		t.Errorf("got %v, want what the program said", err)
	}
	p.stop()
}

func TestStop(t *testing.T) {
	b := quick(t)
	ctx, cancel := context.WithCancel(t.Context())
	addrs, err := freeAddrs(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	var ps []*process
	for _, addr := range addrs {
		p, err := start(ctx, b.dir, "sink", b.secret, b.self, "sink", "--addr", addr)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
		if err := p.awaitReady(ctx, "http://"+addr+"/count"); err != nil {
			t.Error(err)
		}
	}
	ps[0].stop()
	cancel() // as Ctrl-C does
	<-ps[1].done
	for _, addr := range addrs {
		if answers(t.Context(), "http://"+addr+"/count") {
			t.Errorf("the sink at %s is still there", addr)
		}
	}
}

func TestYardstick(t *testing.T) {
	secret, body := "s3cret", `{"type":"message.new"}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	good := hex.EncodeToString(mac.Sum(nil))
	y := newYardstick([]byte(secret))
	for _, tt := range []struct {
		name, body, signature string
		want                  int
	}{
		{"signed", body, good, 200},
		{"signed again", body, good, 200}, // with a pooled mac and buffer
		{"forged", body + " ", good, 401},
		{"unsigned", body, "", 401},
		{"no hex", body, strings.Repeat("x", 64), 401},
		{"too large", strings.Repeat("x", maxBody+1), good, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set("X-Signature", tt.signature)
			w := httptest.NewRecorder()
			y.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("answered %d, want %d", w.Code, tt.want)
			}
			if w.Code == 200 && w.Body.String() != "{}" {
				t.Errorf("answered %q, want {}", w.Body)
			}
		})
	}
}

func TestSink(t *testing.T) {
	addrs, err := freeAddrs(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- sinkVerb(ctx, []string{"--addr", addrs[0]}) }()
	p := &process{done: make(chan struct{})}
	if err := p.awaitReady(ctx, "http://"+addrs[0]+"/count"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "a", ""} {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addrs[0]+"/", strings.NewReader("{}"))
		if id != "" {
			r.Header.Set("ce-id", id)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	got, err := fetchTally(ctx, addrs[0])
	if want := (tally{Requests: 3, Distinct: 2}); err != nil || got != want {
		t.Errorf("counted %+v, %v; want %+v", got, err, want)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		row  row
		want string
	}{
		{row{must: 2, aim: 1, rounds: []float64{0.5, 1, 9}}, "aim reached"}, // the median counts
		{row{must: 2, aim: 1, rounds: []float64{1.5}}, "must reached"},
		{row{must: 2, aim: 1, rounds: []float64{2.1}}, "MISSED"},
		{row{must: 1, aim: 2, more: true, rounds: []float64{2}}, "aim reached"},
		{row{must: 1, aim: 2, more: true, rounds: []float64{1, 2}}, "must reached"},
		{row{must: 1, aim: 2, more: true, rounds: []float64{0.9}}, "MISSED"},
		{row{must: 1, aim: 2, more: true}, "not measured"},
	} {
		if got := tt.row.verdict(); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.row.rounds, got, tt.want)
		}
	}
}

func TestMountedOn(t *testing.T) {
	mounts := "/dev/a / ext4 rw\ntmpfs /tmp tmpfs rw\nproc /proc proc rw\n"
	for dir, want := range map[string]string{"/tmp/x": "tmpfs", "/tmp": "tmpfs", "/tmpx": "ext4", "/home/a": "ext4"} {
		if got := mountedOn(dir, mounts); got != want {
			t.Errorf("%s is on %q, want %q", dir, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, args := range [][]string{{"--rounds", "0"}, {"--duration", "1ms"}, {"extra"}, {"--nothing"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	o, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.limit() > 5*time.Minute {
		t.Errorf("a run may take %s", o.limit())
	}
}
