package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// startTLS runs a receiver that takes its certificate from a directory.
func startTLS(t *testing.T, dir string, c *v1alpha1.Config) *receiver {
	t.Helper()
	r := startWith(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) { o.TLSDir = dir })
	r.url = strings.Replace(r.url, "http:", "https:", 1)
	return r
}

// host is where a receiver takes webhooks.
func (r *receiver) host() string {
	host, _, _ := strings.Cut(r.url[strings.Index(r.url, "//")+2:], "/")
	return host
}

// dialTLS is a bare connection inside of TLS.
func dialTLS(t *testing.T, r *receiver, c *tls.Config) (*tls.Conn, error) {
	t.Helper()
	d := tls.Dialer{Config: c}
	conn, err := d.DialContext(t.Context(), "tcp", r.host())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*tls.Conn), conn.SetDeadline(time.Now().Add(servertest.Wait))
}

// A receiver without a certificate runs, says what is missing, and takes the
// certificate when it comes; then a renewed one, without touching what is open; and
// it keeps a good one when a bad one comes.
func TestTLS(t *testing.T) {
	first := servertest.NewCertificate(t, time.Now().Add(24*time.Hour))
	second := servertest.NewCertificate(t, time.Now().Add(48*time.Hour))
	sink, dir := servertest.NewSinkhole(t, nil), servertest.NewMount(t)
	r := startTLS(t, dir.Dir, servertest.Config(t, sink.URL, nil))
	if _, err := dialTLS(t, r, servertest.Client(t, first)); err == nil {
		t.Error("a handshake succeeds without a certificate")
	}
	if text, e := r.get("/readyz"), r.page(); !strings.Contains(text, "certificate") || e.Endpoints[0].Ready || e.TLS == nil || e.TLS.Error == "" || e.TLS.NotAfter != nil {
		t.Errorf("readyz = %q, status = %+v", text, e.TLS)
	}
	dir.Set(first.Files())
	servertest.Until(t, "readiness", func() bool { return r.get("/readyz") == "ok\n" })
	for _, h2 := range []bool{false, true} {
		id := fmt.Sprint("h2-", h2)
		if got := servertest.Post(t, servertest.NewTLSClient(t, h2, first), r.url, id, servertest.OldSecret, servertest.BodyOf(id)); got != 200 {
			t.Errorf("%s: status = %d", id, got)
		}
	}
	open, err := dialTLS(t, r, servertest.Client(t, first))
	if err != nil {
		t.Fatal(err)
	}
	dir.Set(second.Files())
	servertest.Until(t, "the renewed certificate", func() bool { return r.page().TLS.NotAfter.After(time.Now().Add(25 * time.Hour)) })
	dir.Set(map[string][]byte{"tls.crt": first.Cert, "tls.key": second.Key})
	servertest.Until(t, "the report", func() bool { return r.page().TLS.Error != "" })
	if got := servertest.Post(t, servertest.NewTLSClient(t, true, second), r.url, "second", servertest.OldSecret, servertest.BodyOf("second")); got != 200 {
		t.Errorf("with the renewed certificate: status = %d", got)
	}
	if got := servertest.Post(t, servertest.NewTLSClient(t, true, first), r.url, "x", servertest.OldSecret, servertest.BodyOf("x")); got != 0 {
		t.Errorf("a client that believes only the old certificate gets %d", got)
	}
	if _, err := io.WriteString(open, raw(t, "open")); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(open), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("a connection from before: %v, %v", resp, err)
	}
	text := r.get("/metrics")
	for _, want := range []string{fmt.Sprintf("tls_certificate_not_after_seconds %v\n", float64(r.page().TLS.NotAfter.Unix())),
		`tls_certificate_loads_total{result="error"} 2`, `tls_certificate_loads_total{result="ok"} 2`} {
		if !strings.Contains(text, want) {
			t.Errorf("no metric %s", want)
		}
	}
	r.end()
	servertest.EqualSets(t, "delivered", map[string]bool{"h2-false": true, "h2-true": true, "second": true, "open": true}, sink.IDs())
}

// What is no TLS gets an answer that says so, and TLS gets none where there is no
// TLS. HTTP/2 without TLS is not spoken.
func TestWrongProtocol(t *testing.T) {
	pair := servertest.NewCertificate(t, time.Now().Add(time.Hour))
	dir := servertest.NewMount(t)
	dir.Set(pair.Files())
	sink := servertest.NewSinkhole(t, nil)
	secure := startTLS(t, dir.Dir, servertest.Config(t, sink.URL, nil))
	plain := start(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
	w := dial(t, secure)
	w.send(raw(t, "plain"))
	if got := w.status(); got != 400 {
		t.Errorf("HTTP to TLS: %d", got)
	}
	if _, err := dialTLS(t, plain, servertest.Client(t, pair)); err == nil {
		t.Error("a handshake succeeds without TLS")
	}
	w = dial(t, plain)
	w.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if got := w.status(); got < 400 {
		t.Errorf("HTTP/2 without TLS: %d", got)
	}
	if len(sink.IDs()) > 0 {
		t.Error("something was stored")
	}
}

// A stop over TLS loses nothing: a request whose body is still on its way is
// answered, by HTTP/1.1 and by HTTP/2, and so is what comes during the delay.
func TestStopOverTLS(t *testing.T) {
	pair := servertest.NewCertificate(t, time.Now().Add(time.Hour))
	dir := servertest.NewMount(t)
	dir.Set(pair.Files())
	sink := servertest.NewSinkhole(t, nil)
	r := startTLS(t, dir.Dir, servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Drain.Delay.Duration = 300 * time.Millisecond }))
	want := map[string]bool{}
	var all sync.WaitGroup
	var release []func()
	for _, h2 := range []bool{false, true} {
		id := fmt.Sprint("slow-", h2)
		want[id] = true
		body, finish := io.Pipe()
		req := servertest.Request(t, r.url, id, servertest.OldSecret, servertest.BodyOf(id)).WithContext(context.Background())
		text := servertest.BodyOf(id)
		req.Body = body
		client := servertest.NewTLSClient(t, h2, pair)
		all.Go(func() {
			resp, err := client.Do(req)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%s: %v, %v", id, resp, err)
				return
			}
			_ = resp.Body.Close()
		})
		if _, err := io.WriteString(finish, text[:9]); err != nil {
			t.Fatal(err)
		}
		release = append(release, func() {
			_, _ = io.WriteString(finish, text[9:])
			_ = finish.Close()
		})
	}
	servertest.Until(t, "the requests", func() bool { return strings.Contains(r.get("/metrics"), "in_flight_requests 2") })
	r.stop()
	servertest.Until(t, "the stop", func() bool { return r.page().Draining })
	id := "in-the-delay"
	want[id] = true
	if got := servertest.Post(t, servertest.NewTLSClient(t, true, pair), r.url, id, servertest.OldSecret, servertest.BodyOf(id)); got != 200 {
		t.Errorf("%s: status = %d", id, got)
	}
	servertest.Until(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", r.host())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	for _, f := range release {
		f()
	}
	all.Wait()
	r.end()
	servertest.EqualSets(t, "delivered", want, sink.IDs())
}
