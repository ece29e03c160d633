package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// plan says what a site is made of.
type plan struct {
	// sample is the proxy's configuration, below testdata; empty means no proxy.
	sample string
	// tls is whether clients speak TLS, own whether it is the receiver that has the
	// certificate.
	tls, own bool
	// trusted is whether the receiver trusts the proxy, required whether it wants the
	// PROXY protocol from it.
	trusted, required bool
	// provider is stream-chat if it is empty.
	provider string
	// second is whether there is a second receiver, at secondAddress.
	second bool
	// moderator, if it is not nil, answers the synchronous hooks.
	moderator *responder
	edit      func(*v1alpha1.Config)
}

// site is a receiver, and a proxy before it, with a public address.
type site struct {
	t *testing.T
	w *world
	plan
	dir     string
	number  int32
	public  string // its address and port, of IPv4
	public6 string // the same of IPv6
	url     string
	proxy   *host // nil without a proxy
	inside  *host // where receivers are
	sink    *sink
	config  *v1alpha1.Config
	running []*receiver
}

// newSite starts receiver and proxy and returns when both take connections.
func (w *world) newSite(t *testing.T, p plan) *site {
	t.Helper()
	number := w.sites.Add(1)
	s := &site{t: t, w: w, plan: p, number: number, dir: filepath.Join(w.dir, fmt.Sprint("site-", number)), inside: w.host(t)}
	s.files()
	s.wire()
	s.sink = &sink{got: map[string]int{}}
	s.config = s.configuration()
	s.write("1")
	s.start(firstAddress, "1")
	if p.second {
		s.write("2")
		s.start(secondAddress, "2")
	}
	s.front()
	return s
}

// files makes the site's directory, with the certificate.
func (s *site) files() {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range []string{"tls.crt", "tls.key", "tls.pem"} {
		content, err := os.ReadFile(filepath.Join(s.w.dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		put(s.t, s.dir, name, string(content))
	}
}

// wire joins the hosts: the public one is the proxy, or the receiver itself.
func (s *site) wire() {
	public := s.inside
	if s.sample != "" {
		s.proxy = s.w.host(s.t)
		public = s.proxy
		if err := pair(s.proxy, s.inside, proxyAddress, firstAddress, secondAddress); err != nil {
			s.t.Fatal(err)
		}
	}
	s.public, s.public6 = fmt.Sprint("198.51.100.", s.number), fmt.Sprintf("2001:db8:ff::%x", s.number)
	if err := s.w.router.join(public, s.public, s.public6); err != nil {
		s.t.Fatal(err)
	}
}

// front starts the proxy, if there is one, and finds the URL for clients.
func (s *site) front() {
	port := "80"
	switch {
	case s.sample == "" && s.own:
		port = "8443"
	case s.sample == "":
		port = "8080"
	case s.tls:
		port = "443"
	}
	scheme := "http"
	if s.tls {
		scheme = "https"
	}
	s.url = scheme + "://" + net.JoinHostPort(publicHost, port) + "/hooks"
	s.public, s.public6 = net.JoinHostPort(s.public, port), net.JoinHostPort(s.public6, port)
	if s.sample == "" {
		return
	}
	sample, err := filepath.Abs(filepath.Join("testdata", s.sample))
	if err != nil {
		s.t.Fatal(err)
	}
	start := s.w.runNginx
	if strings.HasPrefix(s.sample, "haproxy/") {
		start = s.w.runHAProxy
	}
	start(s.t, s.proxy, s.dir, sample).until("the proxy", func() bool {
		c, err := s.proxy.dial(s.t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// configuration is the endpoint's.
func (s *site) configuration() *v1alpha1.Config {
	if s.provider == "" {
		s.provider = "stream-chat"
	}
	return servertest.ConfigOf(s.t, s.provider, serve(s.t, s.inside, s.sink), func(c *v1alpha1.Config) {
		c.Sources.Ranges = append(published(s.t, s.provider), netip.MustParsePrefix(listed6Address+"/128"))
		if s.trusted {
			c.Sources.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
		}
		c.Sources.ProxyProtocol = s.required
		if s.moderator != nil {
			moderate(c, serve(s.t, s.inside, s.moderator))
		}
		if s.edit != nil {
			s.edit(c)
		}
	})
}

// published returns the ranges of one region of a provider's profile.
func published(t testing.TB, name string) []netip.Prefix {
	t.Helper()
	p, err := provider.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []netip.Prefix
	for _, r := range p.Spec.Regions {
		if r.Name != "us-east" && r.Name != "singapore" || r.Name == "singapore" && name == "stream-chat" {
			continue
		}
		for _, one := range r.Ranges {
			out = append(out, netip.MustParsePrefix(string(one.CIDR)))
		}
	}
	return out
}

// write writes a receiver's configuration, so that a change is there at once, and
// its Secret, which does not change.
func (s *site) write(name string) {
	s.t.Helper()
	config, signing := filepath.Join(s.dir, name, "config"), filepath.Join(s.dir, name, "secrets", "signing")
	for _, dir := range []string{config, signing} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	put(s.t, signing, "current", servertest.OldSecret)
	put(s.t, config, "config.new", string(servertest.Encode(s.t, s.config)))
	if err := os.Rename(filepath.Join(config, "config.new"), filepath.Join(config, "config.yaml")); err != nil {
		s.t.Fatal(err)
	}
}

// observe lets everybody in, and returns when the receiver knows it.
func (s *site) observe() {
	s.t.Helper()
	s.config.Sources.Mode = "Observe"
	s.config.Endpoint.Generation++
	s.write("1")
	servertest.Until(s.t, "the change", func() bool { return s.status().Config.Generation == s.config.Endpoint.Generation })
}

// receiver is one that runs.
type receiver struct {
	*process
	s         *site
	address   string
	telemetry string
}

// start starts a receiver with the files of a name, and returns when it serves.
func (s *site) start(address, name string) *receiver {
	s.t.Helper()
	dir := filepath.Join(s.dir, name)
	port := "8080"
	var tls []string
	if s.own {
		port, tls = "8443", []string{"--tls-dir", s.dir}
	}
	if s.sample == "" {
		address = "" // one is enough, whatever its address
	}
	r := &receiver{s: s, address: net.JoinHostPort(address, port), telemetry: "127.0.0.1:" + strconv.Itoa(9090+len(s.running))}
	cmd := exec.Command(s.w.receiver, append([]string{
		"--config", filepath.Join(dir, "config", "config.yaml"), "--secrets-dir", filepath.Join(dir, "secrets"), "--data-dir", filepath.Join(dir, "data"),
		"--listen", r.address, "--telemetry-listen", r.telemetry, "--admin-listen", "", "--termination-message", "", "--allow-loopback-sinks",
	}, tls...)...)
	serving := make(chan struct{})
	var once sync.Once
	r.process = run(s.t, s.inside, "receiver "+name, cmd, func(line string) {
		if strings.Contains(line, `"msg":"Serving"`) {
			once.Do(func() { close(serving) })
		}
	})
	r.until("the receiver", func() bool {
		select {
		case <-serving:
			return true
		default:
			return false
		}
	})
	s.running = append(s.running, r)
	return r
}

// ask reads a page of the first receiver's telemetry.
func (s *site) ask(path string) string {
	s.t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return s.inside.dial(ctx, network, address)
	}}
	resp, err := (&http.Client{Transport: tr, Timeout: servertest.Wait}).Get("http://" + s.running[0].telemetry + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// status is the endpoint's part of the first receiver's status page.
func (s *site) status() statusz.Endpoint {
	s.t.Helper()
	var page statusz.Page
	if err := json.Unmarshal([]byte(s.ask("/statusz")), &page); err != nil || len(page.Endpoints) != 1 {
		s.t.Fatalf("the status page cannot be read: %v", err)
	}
	return page.Endpoints[0]
}

// metric returns a number that the first receiver counts; labels are as they are
// shown.
func (s *site) metric(name, labels string) int {
	s.t.Helper()
	for line := range strings.Lines(s.ask("/metrics")) {
		rest, ok := strings.CutPrefix(line, "fairlead_receiver_"+name+"{"+labels+"} ")
		if n, err := strconv.Atoi(strings.TrimSpace(rest)); ok && err == nil {
			return n
		}
	}
	return 0
}
