package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// published is the provider's only address in these tests (RFC 5737).
const published = "203.0.113.7"

// loopback is where the tests' connections come from: the trusted proxy.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

// behind is an endpoint behind a proxy.
func behind(t *testing.T, sink *servertest.Sinkhole, proxyProtocol bool) *v1alpha1.Config {
	return servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Sources.Ranges = []netip.Prefix{netip.MustParsePrefix(published + "/32")}
		c.Sources.TrustedProxies, c.Sources.ProxyProtocol = []netip.Prefix{loopback, netip.MustParsePrefix("10.0.0.0/8")}, proxyProtocol
	})
}

// ask sends a request to the ready path.
func (r *receiver) ask(client *http.Client, method string) (int, string) {
	r.t.Helper()
	base, _, _ := strings.Cut(r.url, "/hooks")
	req, err := http.NewRequestWithContext(context.Background(), method, base+"/.well-known/fairlead/ready", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestReadyPath is what health checks of layer 7 get: an answer without details,
// wherever they come from, that is counted nowhere.
func TestReadyPath(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	c := servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Sources.Ranges, c.Drain.Delay.Duration = []netip.Prefix{other}, 300*time.Millisecond
	})
	r := start(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret))
	client := servertest.NewClient(t)
	check := func(method string, status int, body string) {
		t.Helper()
		if got, text := r.ask(client, method); got != status || text != body {
			t.Errorf("%s: %d %q, want %d %q", method, got, text, status, body)
		}
	}
	check(http.MethodGet, 200, "ok\n")
	check(http.MethodHead, 200, "")
	if strings.Contains(r.get("/metrics"), "requests_total{") {
		t.Error("the health check was counted as a request")
	}
	r.source.Set(servertest.Encode(t, c), servertest.Secrets())
	servertest.Until(t, "no secret", func() bool { return r.get("/readyz") != "ok\n" })
	check(http.MethodGet, 503, "")
	r.source.Set(servertest.Encode(t, c), servertest.Secrets(servertest.OldSecret))
	servertest.Until(t, "the secret", func() bool { return r.get("/readyz") == "ok\n" })
	if got, _ := r.ask(client, http.MethodPost); got != 403 {
		t.Errorf("POST: %d", got) // like any other path
	}
	r.stop()
	servertest.Until(t, "the stop", func() bool { return r.page().Draining })
	check(http.MethodGet, 503, "")
}

// header is a PROXY protocol header of version 1.
func header(client string) string { return "PROXY TCP4 " + client + " 10.0.0.1 49152 8080\r\n" }

// TestProxyProtocol is what becomes of requests behind a header. Every one of them
// has a valid signature; what is not 200 stores nothing.
func TestProxyProtocol(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), behind(t, sink, true), servertest.Secrets(servertest.OldSecret))
	forwarded := func(id, to string) string {
		return strings.Replace(raw(t, id), "Host: x\r\n", "Host: x\r\nX-Forwarded-For: "+to+"\r\n", 1)
	}
	for name, tt := range map[string]struct {
		send string
		want []int
	}{
		"listed":                      {header(published) + raw(t, "listed"), []int{200}},
		"listed, twice":               {header(published) + raw(t, "listed1") + raw(t, "listed2"), []int{200, 200}},
		"unlisted":                    {header("203.0.113.8") + raw(t, "no"), []int{403, 0}},
		"unlisted, forwarded":         {header("203.0.113.8") + forwarded("no", published), []int{403, 0}},
		"through another proxy":       {header("10.1.1.1") + forwarded("other", published), []int{200}},
		"another proxy says nothing":  {header("10.1.1.1") + raw(t, "no"), []int{403, 0}},
		"another proxy, unlisted":     {header("10.1.1.1") + forwarded("no", published+", 203.0.113.8"), []int{403, 0}},
		"unknown":                     {"PROXY UNKNOWN\r\n" + raw(t, "no"), []int{403, 0}},
		"unknown, forwarded":          {"PROXY UNKNOWN\r\n" + forwarded("no", published), []int{403, 0}},
		"no header":                   {raw(t, "no"), []int{403, 0}},
		"no header, forwarded":        {forwarded("no", published), []int{403, 0}},
		"no header, health check":     {"GET /.well-known/fairlead/ready HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
		"header, health check":        {header("203.0.113.8") + "GET /.well-known/fairlead/ready HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
		"malformed":                   {"PROXY TCP4 " + published + "\r\n" + raw(t, "no"), []int{0}},
		"twice":                       {header("203.0.113.8") + header(published) + raw(t, "no"), []int{400, 0}},
		"behind a request":            {header("203.0.113.8") + raw(t, "no") + header(published) + raw(t, "no"), []int{403, 0}},
		"behind a request, keepalive": {header(published) + raw(t, "kept") + header(published) + raw(t, "no"), []int{200, 400, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			w := dial(t, r)
			w.send(tt.send)
			for i, want := range tt.want {
				if got := w.status(); got != want {
					t.Fatalf("answer %d = %d, want %d", i, got, want)
				}
			}
		})
	}
	servertest.UntilAll(t, map[string]bool{"listed": true, "listed1": true, "listed2": true, "other": true, "kept": true}, sink)
	if sink.IDs()["no"] {
		t.Error("an event was stored that must not be")
	}
	s := r.status().Sources
	if s.Unknown != 6 || s.Via != statusz.SourceViaProxyProtocol {
		t.Errorf("sources = %+v", s)
	}
	for reason, n := range map[string]int{"proxy_missing": 2, "proxy_unknown": 2, "proxy_malformed": 1, "header_missing": 1} {
		if want := fmt.Sprintf("source_addresses_unknown_total{reason=%q} %d\n", reason, n); !strings.Contains(r.get("/metrics"), want) {
			t.Errorf("no metric %s", want)
		}
	}
}

// Whether the header is read is taken live, for new connections; and from others
// than trusted proxies it never is.
func TestProxyProtocolIsTakenLive(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	c := behind(t, sink, false)
	r := start(t, t.TempDir(), c, servertest.Secrets(servertest.OldSecret))
	ask := func(id string) int {
		w := dial(t, r)
		w.send(header(published) + raw(t, id))
		return w.status()
	}
	change := func(edit func(*v1alpha1.Config)) {
		edit(c)
		c.Endpoint.Generation++
		r.source.Set(servertest.Encode(t, c), servertest.Secrets(servertest.OldSecret))
		servertest.Until(t, "the change", func() bool { return r.receiver.Config().Endpoint.Generation == c.Endpoint.Generation })
	}
	if got := ask("off"); got != 400 {
		t.Errorf("off: %d", got)
	}
	change(func(c *v1alpha1.Config) { c.Sources.ProxyProtocol = true })
	if got := ask("on"); got != 200 {
		t.Errorf("on: %d", got)
	}
	change(func(c *v1alpha1.Config) { c.Sources.TrustedProxies = c.Sources.TrustedProxies[1:] })
	if got := ask("untrusted"); got != 400 {
		t.Errorf("from a peer that is not trusted: %d", got)
	}
	servertest.UntilAll(t, map[string]bool{"on": true}, sink)
}

// Two endpoints on one listener believe what each of them trusts, and no more.
func TestProxyProtocolOfTwoEndpoints(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	direct := servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Path, c.Endpoint.Name = "/direct", "direct"
		c.Sources.Ranges = []netip.Prefix{netip.MustParsePrefix(published + "/32")}
	})
	second, err := server.Open(server.Options{Source: reload.NewMemory(servertest.Encode(t, direct), servertest.Secrets(servertest.OldSecret)),
		DataDir: t.TempDir(), Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Now: time.Now, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	r := startWith(t, t.TempDir(), behind(t, sink, true), servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) {
		o.Receivers = append(o.Receivers, second)
	})
	for path, want := range map[string]int{"/hooks": 200, "/direct": 403} { // for the second the client is the proxy
		w := dial(t, r)
		w.send(header(published) + strings.Replace(raw(t, "e"), "/hooks", path, 1))
		if got := w.status(); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// TestFindings is what a receiver finds out about the addresses of those that send.
func TestFindings(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	for name, tt := range map[string]struct {
		from []string // clients, as a trusted proxy says them; empty: the proxy says none
		want statusz.Sources
	}{
		"nothing came": {nil, statusz.Sources{Finding: statusz.SourceNoTraffic}},
		"listed":       {[]string{published}, statusz.Sources{Finding: statusz.SourcePreserved, Verified: 1, Addresses: []string{published}}},
		"one unlisted": {[]string{"198.51.100.1", "198.51.100.1"}, statusz.Sources{Finding: statusz.SourceSingle, Verified: 2, Unlisted: 2, Addresses: []string{"198.51.100.1"}}},
		"two unlisted": {[]string{"198.51.100.2", "198.51.100.1"}, statusz.Sources{Finding: statusz.SourcePreserved, Verified: 2, Unlisted: 2, Addresses: []string{"198.51.100.1", "198.51.100.2"}}},
		"the node":     {[]string{"192.168.1.5", "192.168.1.5", published}, statusz.Sources{Finding: statusz.SourceNode, Verified: 3, Addresses: []string{"192.168.1.5", published}}},
		"another node": {[]string{"192.168.1.6"}, statusz.Sources{Finding: statusz.SourcePrivate, Verified: 1, Addresses: []string{"192.168.1.6"}}},
		"a pod":        {[]string{"192.168.77.9"}, statusz.Sources{Finding: statusz.SourcePod, Verified: 1, Unlisted: 1, Addresses: []string{"192.168.77.9"}}},
		"in Observe":   {[]string{"198.51.100.1", "198.51.100.2"}, statusz.Sources{Mode: "Observe", Finding: statusz.SourcePreserved, Verified: 2, Addresses: []string{"198.51.100.1", "198.51.100.2"}}},
		"no address":   {[]string{"", "", published}, statusz.Sources{Finding: statusz.SourcePreserved, Verified: 1, Unknown: 2, Addresses: []string{published}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := behind(t, sink, false)
			c.Sources.TrustedProxies = c.Sources.TrustedProxies[:1]
			if tt.want.Mode == "Observe" {
				c.Sources.Mode = "Observe"
			}
			r := startReceiver(t, c, func(o *server.Options) {
				o.HostAddrs, o.PodAddrs = []netip.Addr{netip.MustParseAddr("192.168.1.5")}, []netip.Addr{netip.MustParseAddr("192.168.77.1")}
			})
			for i, from := range tt.from {
				req := servertest.Request(t, r.url, fmt.Sprint(name, i), servertest.OldSecret, servertest.BodyOf(fmt.Sprint(name, i)))
				if from != "" {
					req.Header.Set("X-Forwarded-For", from)
				}
				resp, err := servertest.NewClient(t).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			tt.want.Mode, tt.want.Ranges, tt.want.Via = string(c.Sources.Mode), 1, statusz.SourceViaHeader
			var got statusz.Sources
			// A sample is verified after its answer was sent. A NetworkPolicy lets the node in,
			// so that it comes from there is no sign that there is none.
			servertest.Until(t, "the findings", func() bool { got = r.status().Sources; return got.Verified >= tt.want.Verified })
			got.LastUnlistedValid = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}
