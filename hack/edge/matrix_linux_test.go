package edge_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

var update = flag.Bool("update", false, "write the matrix into README.md")

// setup is one row of the matrix.
type setup struct {
	proxy, mode string
	plan
	h2 bool
	// finding is what /statusz says when all of the row's requests were let in.
	finding string
}

const (
	direct  = "none"
	nginx   = "nginx"
	haproxy = "HAProxy"
)

// setups are the rows. What the receiver is told is what the sample's comment says.
func setups() []setup {
	const seen, hidden = statusz.SourcePreserved, statusz.SourcePrivate
	plain, own := plan{}, plan{tls: true, own: true}
	behind := func(sample string) plan { return plan{sample: sample, trusted: true} }
	ended := func(sample string) plan { return plan{sample: sample, trusted: true, tls: true} }
	header := func(sample string) plan { return plan{sample: sample, trusted: true, required: true} }
	endedHeader := func(sample string) plan { return plan{sample: sample, trusted: true, required: true, tls: true} }
	through := func(sample string) plan {
		return plan{sample: sample, trusted: true, required: true, tls: true, own: true}
	}
	return []setup{
		{direct, "HTTP", plain, false, seen},
		{direct, "TLS in the receiver, HTTP/1.1", own, false, seen},
		{direct, "TLS in the receiver, HTTP/2", own, true, seen},
		{nginx, "HTTP, X-Forwarded-For", behind("nginx/http.conf"), false, seen},
		{nginx, "HTTP, Forwarded", behind("nginx/forwarded.conf"), false, seen},
		{nginx, "TLS ends in nginx, HTTP/1.1, X-Forwarded-For", ended("nginx/tls.conf"), false, seen},
		{nginx, "TLS ends in nginx, HTTP/2, X-Forwarded-For", ended("nginx/tls.conf"), true, seen},
		{nginx, "TCP, PROXY v1", header("nginx/tcp-proxy-protocol.conf"), false, seen},
		{nginx, "TLS ends in nginx, TCP, PROXY v1", endedHeader("nginx/tls-tcp-proxy-protocol.conf"), false, seen},
		{nginx, "TLS goes through, HTTP/1.1, PROXY v1", through("nginx/passthrough-proxy-protocol.conf"), false, seen},
		{nginx, "TLS goes through, HTTP/2, PROXY v1", through("nginx/passthrough-proxy-protocol.conf"), true, seen},
		{nginx, "TCP, client hidden", plan{sample: "nginx/tcp-hidden.conf"}, false, hidden},
		{nginx, "TLS goes through, client hidden", plan{sample: "nginx/passthrough-hidden.conf", tls: true, own: true}, true, hidden},
		{haproxy, "HTTP, X-Forwarded-For", behind("haproxy/http.cfg"), false, seen},
		{haproxy, "HTTP, Forwarded", behind("haproxy/forwarded.cfg"), false, seen},
		{haproxy, "HTTP, PROXY v2", header("haproxy/http-proxy-protocol.cfg"), false, seen},
		{haproxy, "TLS ends in HAProxy, HTTP/1.1, X-Forwarded-For", ended("haproxy/tls.cfg"), false, seen},
		{haproxy, "TLS ends in HAProxy, HTTP/2, X-Forwarded-For", ended("haproxy/tls.cfg"), true, seen},
		{haproxy, "TCP, PROXY v1", header("haproxy/tcp-proxy-protocol-v1.cfg"), false, seen},
		{haproxy, "TCP, PROXY v2", header("haproxy/tcp-proxy-protocol-v2.cfg"), false, seen},
		{haproxy, "TLS ends in HAProxy, TCP, PROXY v2", endedHeader("haproxy/tls-tcp-proxy-protocol.cfg"), false, seen},
		{haproxy, "TLS goes through, HTTP/1.1, PROXY v2", through("haproxy/passthrough-proxy-protocol.cfg"), false, seen},
		{haproxy, "TLS goes through, HTTP/2, PROXY v2", through("haproxy/passthrough-proxy-protocol.cfg"), true, seen},
		{haproxy, "TCP, client hidden", plan{sample: "haproxy/tcp-hidden.cfg"}, false, hidden},
		{haproxy, "TLS goes through, client hidden", plan{sample: "haproxy/passthrough-hidden.cfg", tls: true, own: true}, true, hidden},
	}
}

// results are what one mode of the source check gave.
type results struct{ listed, other, unlisted, headers, proxy []int }

func (r *results) String() string {
	return strings.Join([]string{show(r.listed), show(append(r.other, r.unlisted...)), show(r.headers), show(r.proxy)}, " | ")
}

// matrix tries each proxy in each mode with each kind of client, prints what came of
// it, and compares that with README.md.
func (w *world) matrix(t *testing.T) {
	all := setups()
	lines := make([]string, len(all))
	var mu sync.Mutex
	t.Run("rows", func(t *testing.T) {
		for i, row := range all {
			t.Run(row.proxy+"/"+row.mode, func(t *testing.T) {
				t.Parallel()
				line := w.try(t, row)
				mu.Lock()
				defer mu.Unlock()
				lines[i] = line
			})
		}
	})
	for _, line := range lines {
		if line == "" {
			t.Log("the table is not compared: some of its rows were not tried, or failed")
			return
		}
	}
	table := heading + strings.Join(lines, "")
	t.Log("\n" + table)
	compare(t, table)
}

const heading = `| proxy | mode | | listed | not listed | forged header | forged PROXY | addresses |
|---|---|---|---|---|---|---|---|
`

// try makes both halves of a row: what Enforce answers, and what Observe does.
func (w *world) try(t *testing.T, row setup) string {
	s := w.newSite(t, row.plan)
	enforced := s.round(t, row.h2, "enforce")
	s.checkEnforced(t, row, enforced)
	line := fmt.Sprintf("| %s | %s | Enforce | %s | %s |\n", row.proxy, row.mode, enforced, s.found(t, row.finding))
	s.observe()
	before := s.metric("unlisted_requests_verified_total", `signature="valid"`)
	observed := s.round(t, row.h2, "observe")
	s.checkObserved(t, row, observed, s.metric("unlisted_requests_verified_total", `signature="valid"`)-before)
	return line + fmt.Sprintf("| | | Observe | %s | %s |\n", observed, s.found(t, row.finding))
}

// round sends from each kind of client.
func (s *site) round(t *testing.T, h2 bool, name string) *results {
	send := func(on *host, f forgery, id string) int {
		c := s.client(t, on, h2, false)
		c.first, c.forged = f.first, f.forged
		return c.send(name + "-" + id)
	}
	r := &results{}
	r.listed = []int{send(s.w.stream, forgery{}, "listed")}
	r.other = []int{send(s.w.social, forgery{}, "other")}
	r.unlisted = []int{send(s.w.unknown, forgery{}, "unlisted")}
	for _, f := range forgedHeaders() {
		if h2 && f.forged.Get("Connection") != "" {
			continue // there is no such header in HTTP/2
		}
		r.headers = append(r.headers, send(s.w.unknown, f, "forged "+f.name))
	}
	for _, f := range forgedProxy() {
		r.proxy = append(r.proxy, send(s.w.unknown, f, "forged PROXY "+f.name))
	}
	return r
}

// checkEnforced holds that only the listed client got in; with a hidden client,
// nobody.
func (s *site) checkEnforced(t *testing.T, row setup, r *results) {
	t.Helper()
	want := 200
	if row.finding != statusz.SourcePreserved {
		want = 403
	}
	if r.listed[0] != want {
		t.Errorf("the listed client was answered %d, want %d", r.listed[0], want)
	}
	for kind, statuses := range map[string][]int{"other provider": r.other, "unlisted": r.unlisted, "forged header": r.headers, "forged PROXY header": r.proxy} {
		for i, status := range statuses {
			if status >= 200 && status < 300 {
				t.Errorf("%s %d was answered %d", kind, i, status)
			}
		}
	}
	s.delivered(t, "enforce-listed", want == 200)
}

// checkObserved holds that everybody got in and was counted, and that nobody was
// taken for the listed client.
func (s *site) checkObserved(t *testing.T, row setup, r *results, counted int) {
	t.Helper()
	unlisted := 0
	for kind, statuses := range map[string][]int{"listed": r.listed, "other provider": r.other, "unlisted": r.unlisted, "forged header": r.headers} {
		for i, status := range statuses {
			if status != 200 && status != 400 { // a header that is nonsense may be refused as such by a proxy
				t.Errorf("%s %d was answered %d", kind, i, status)
			}
			if status == 200 && (kind != "listed" || row.finding != statusz.SourcePreserved) {
				unlisted++
			}
		}
	}
	if counted != unlisted {
		t.Errorf("%d requests of unlisted clients were let in and %d counted", unlisted, counted)
	}
	for _, status := range r.proxy {
		if status >= 200 && status < 300 {
			t.Errorf("a PROXY header of a client was answered %d", status)
		}
	}
	s.delivered(t, "observe-listed", true)
}

// delivered waits for the listed client's event at the sink, and holds that there is
// none that was not answered.
func (s *site) delivered(t *testing.T, id string, want bool) {
	t.Helper()
	if want {
		servertest.Until(t, "the event at the sink", func() bool { return s.sink.times(s.bodyOf(id)) == 1 })
	}
	if n := s.sink.count(); strings.HasPrefix(id, "enforce") && (n > 1 || !want && n > 0) {
		t.Errorf("the sink has %d events", n)
	}
}

// found returns what /statusz says of the addresses.
func (s *site) found(t *testing.T, want string) string {
	t.Helper()
	src := s.status().Sources
	if src.Finding != want {
		t.Errorf("the finding is %q, want %q: %+v", src.Finding, want, src)
	}
	return src.Finding
}

// The matrix stands in README.md between these lines.
const (
	begin = "<!-- matrix -->\n"
	end   = "<!-- end of matrix -->\n"
)

// compare holds README.md to what was found, or writes it with -update.
func compare(t *testing.T, table string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), begin)
	old, after, also := strings.Cut(rest, end)
	if !ok || !also {
		t.Fatal("README.md has no place for the matrix")
	}
	if *update {
		if err := os.WriteFile("README.md", []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(old, table); diff != "" {
		t.Errorf("README.md says otherwise (-README +run); accept it with -update:\n%s", diff)
	}
}
