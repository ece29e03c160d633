package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// make makes the mistake, and adds what is seen of it.
func (m *mistake) make(t *testing.T, s *symptoms) {
	t.Helper()
	dir, listen, admin := t.TempDir(), freeAddress(), freeAddress()
	file := filepath.Join(dir, "endpoint.yaml")
	spec := m.spec
	if !strings.Contains(spec, "secretRef") {
		spec = strings.TrimPrefix(spec+"\n  secretRef: {name: signing}", "\n  ")
	}
	text := fmt.Sprintf("apiVersion: fairlead.dev/v1alpha1\nkind: WebhookEndpoint\nmetadata: {name: chat}\nspec:\n  provider: stream-chat\n  exposure: {path: /stream}\n"+
		"  sinks: [{name: print, stdout: {}}]\n  receiver: {drain: {delay: 0s, grace: 1s}}\n  %s\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: signing}\nstringData: {%s}\n", spec, m.entries)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, append([]string{"fairlead", "run", "-f", file, "--listen", listen, "--admin", admin, "--data-dir", filepath.Join(dir, "data")}, m.run...), nil, io.Discard, log)
	}()
	defer func() { cancel(); <-ended }()
	get := func(page string) string {
		resp, err := http.Get("http://" + admin + page)
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return ""
		}
		return string(body)
	}
	soon(t, "a receiver", func() bool { return get("/statusz") != "" || len(ended) > 0 })
	names := []string{"TO", listen}
	if m.proxy != nil {
		before := httptest.NewServer(m.proxy(listen))
		defer before.Close()
		names = append(names, "PROXY", strings.TrimPrefix(before.URL, "http://"))
	}
	for _, args := range m.sends {
		var out bytes.Buffer
		code := execute(t.Context(), append([]string{"fairlead", "send"}, strings.Fields(strings.NewReplacer(names...).Replace(args))...), nil, &out, &out)
		s.send = append(s.send, out.String(), fmt.Sprintf("exit code %d", code))
	}
	soon(t, m.await, func() bool { return strings.Contains(get("/statusz"), m.await) })
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(get("/statusz"))); err != nil {
		t.Errorf("%s: reading the status page: %v", m.section, err)
	}
	s.statusz = append(s.statusz, compact.String())
	s.metrics = append(s.metrics, strings.Split(get("/metrics"), "\n")...)
	s.log = append(s.log, log.String())
}

// rewriting is a proxy that reads JSON and prints it again.
func rewriting(to string) http.Handler {
	target := &url.URL{Scheme: "http", Host: to}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		var doc any
		if json.NewDecoder(r.In.Body).Decode(&doc) != nil {
			return
		}
		body, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			return
		}
		r.Out.Body, r.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}}
}

// soon waits for a condition.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// buffer is written to while it is read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
