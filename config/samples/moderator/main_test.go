package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestServe holds that a request that is under way when the program is told to
// end gets its answer.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	under, done := make(chan struct{}), make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(under)
		<-ctx.Done()
		_, _ = io.WriteString(w, "answered")
	})
	go func() { done <- serve(ctx, l, h, time.Millisecond) }()
	go func() {
		<-under
		cancel()
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "answered" {
		t.Errorf("answer %q, %v", body, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"flag":    {"--loud"},
		"address": {"--listen", "nowhere"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var log strings.Builder
	if err := run(ctx, []string{"--listen", "127.0.0.1:0", "--drain-delay", "0s", "--mask", "a, b"}, &log); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `"masked":2`) {
		t.Errorf("the log is %s", log.String())
	}
	if diff := cmp.Diff([]string{"a", "b"}, list("a, b,")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}
