package edge_test

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// opened returns how many connections a host has taken so far.
func (h *host) opened(t testing.TB) int {
	t.Helper()
	var text []byte
	err := h.do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] != "Tcp:" {
			continue
		}
		for i, name := range names {
			if n, err := strconv.Atoi(fields[i]); name == "PassiveOpens" && err == nil {
				return n
			}
		}
		names = fields
	}
	t.Fatal("the kernel does not say how many connections were opened")
	return 0
}

// reuse holds that clients are not taken for each other when a proxy uses its
// connections again and again for all of them, and that it does so.
func (w *world) reuse(t *testing.T) {
	const each = 50
	for _, tt := range []struct {
		name string
		plan
		h2 bool
		// most is how many connections the receiver may get at most.
		most int
	}{
		{"direct", plan{}, false, 4 * each},
		{"nginx", plan{sample: "nginx/http.conf", trusted: true}, false, 3 * each},
		{"nginx, HTTP/2", plan{sample: "nginx/tls.conf", trusted: true, tls: true}, true, 3 * each},
		{"nginx, TCP", plan{sample: "nginx/tcp-proxy-protocol.conf", trusted: true, required: true}, false, 4 * each},
		{"HAProxy", plan{sample: "haproxy/http.cfg", trusted: true}, false, 3 * each},
		{"HAProxy, HTTP/2", plan{sample: "haproxy/tls.cfg", trusted: true, tls: true}, true, 3 * each},
		{"HAProxy, PROXY header", plan{sample: "haproxy/http-proxy-protocol.cfg", trusted: true, required: true}, false, 4 * each},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, tt.plan)
			before := s.inside.opened(t)
			var all sync.WaitGroup
			for n, on := range []*host{w.stream, w.unknown, w.stream, w.social} {
				c := s.client(t, on, tt.h2, true)
				want := 403
				if on == w.stream {
					want = 200
				}
				all.Go(func() {
					for i := range each {
						if got := c.send(fmt.Sprint(n, "-", i)); got != want {
							t.Errorf("client %d was answered %d, want %d", n, got, want)
						}
					}
				})
			}
			all.Wait()
			servertest.Until(t, "the events", func() bool { return s.sink.count() >= 2*each })
			if n := s.sink.count(); n != 2*each {
				t.Errorf("the sink has %d events, want %d", n, 2*each)
			}
			opened := s.inside.opened(t) - before
			t.Logf("%d requests over %d connections to the receiver and its sink", 4*each, opened)
			if opened > tt.most {
				t.Errorf("the receiver took %d connections: none was used again", opened)
			}
		})
	}
}

// providers holds that an endpoint of social.plus takes social.plus and not Stream.
func (w *world) providers(t *testing.T) {
	for _, sample := range []string{"nginx/http.conf", "haproxy/http.cfg"} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, plan{sample: sample, trusted: true, provider: "social-plus"})
			for on, want := range map[*host]int{w.social: 200, w.stream: 403, w.unknown: 403} {
				c := s.client(t, on, false, false)
				if got := c.send(fmt.Sprint("e", want)); got != want {
					t.Errorf("status = %d, want %d", got, want)
				}
			}
			servertest.Until(t, "the event", func() bool { return s.sink.times(s.bodyOf("e200")) == 1 })
		})
	}
}

// six holds that the same is true of IPv6.
func (w *world) six(t *testing.T) {
	for _, p := range []plan{
		{},
		{sample: "nginx/http.conf", trusted: true},
		{sample: "nginx/forwarded.conf", trusted: true},
		{sample: "nginx/passthrough-proxy-protocol.conf", trusted: true, required: true, tls: true, own: true},
		{sample: "haproxy/http.cfg", trusted: true},
		{sample: "haproxy/forwarded.cfg", trusted: true},
		{sample: "haproxy/tcp-proxy-protocol-v1.cfg", trusted: true, required: true},
		{sample: "haproxy/tcp-proxy-protocol-v2.cfg", trusted: true, required: true},
	} {
		t.Run(p.sample, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, p)
			if got := s.client(t, w.listed6, true, false).send("listed"); got != 200 {
				t.Errorf("the listed client was answered %d", got)
			}
			for i, forged := range []http.Header{
				nil,
				{"X-Forwarded-For": {listed6Address}},
				{"X-Forwarded-For": {"[" + listed6Address + "]:443"}},
				{"X-Forwarded-For": {"::ffff:" + streamAddress}},
				{"Forwarded": {`for="[` + listed6Address + `]"`}},
			} {
				c := s.client(t, w.unknown6, true, false)
				c.forged = forged
				if got := c.send(fmt.Sprint("unlisted", i)); got != 403 {
					t.Errorf("an unlisted client with %v was answered %d", forged, got)
				}
			}
			if got := s.client(t, w.stream, true, false).send("four"); got != 200 {
				t.Errorf("the listed client of IPv4 was answered %d", got)
			}
			servertest.Until(t, "the events", func() bool { return s.sink.count() == 2 })
		})
	}
}
