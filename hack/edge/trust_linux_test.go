package edge_test

import (
	"net/http"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// misplacedTrust shows what no receiver can find out: that a proxy which it is told
// to trust passes on what clients write. README.md says so, and this holds it to it.
func (w *world) misplacedTrust(t *testing.T) {
	for _, tt := range []struct {
		name string
		plan
		forgery
	}{
		{"TCP without a header, trusted", plan{sample: "haproxy/tcp-hidden.cfg", trusted: true},
			forgery{forged: http.Header{"X-Forwarded-For": {streamAddress}}}},
		{"TCP without a header, PROXY protocol expected", plan{sample: "nginx/tcp-hidden.conf", trusted: true, required: true},
			forgery{first: proxyV2(streamAddress)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, tt.plan)
			c := s.client(t, w.unknown, false, false)
			c.first, c.forged = tt.first, tt.forged
			if got := c.send("forged"); got != 200 {
				t.Errorf("status = %d: what is said in README.md is not true any more", got)
			}
		})
	}
}

// unknownClient holds that behind a proxy that should say who the client is and does
// not, nobody gets in, and that this is counted.
func (w *world) unknownClient(t *testing.T) {
	for _, tt := range []struct {
		name string
		plan
	}{
		{"no header of HTTP", plan{sample: "nginx/tcp-hidden.conf", trusted: true}},
		{"no PROXY header", plan{sample: "nginx/tcp-hidden.conf", trusted: true, required: true}},
		{"a header of HTTP for a PROXY header", plan{sample: "nginx/http.conf", trusted: true, required: true}},
		{"a PROXY header that is not expected", plan{sample: "nginx/tcp-proxy-protocol.conf", trusted: true}},
		{"a PROXY header of a stranger", plan{sample: "nginx/tcp-proxy-protocol.conf", required: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, tt.plan)
			got := s.client(t, w.stream, false, false).send("e")
			if got >= 200 && got < 300 {
				t.Errorf("status = %d", got)
			}
			servertest.Until(t, "the count", func() bool { return got != 403 || s.status().Sources.Unknown > 0 })
			if n := s.sink.count(); n > 0 {
				t.Errorf("the sink has %d events", n)
			}
		})
	}
}
