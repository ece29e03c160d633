package probe_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/fairlead-dev/fairlead/controllers/probe"
)

const telltale = "s3cret"

// TestRead asks one pod, through the client that the operator uses.
func TestRead(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			_, _ = conn.Write([]byte(text))
		}
	}
	answer := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write([]byte(body))
		}
	}
	const js = "application/json"
	unreadable := "the status page cannot be read; let operator and receiver have the same version"
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    string // the error; "" for a page
		result  string
	}{
		"page":            {answer(js+"; charset=utf-8", pageOf(page(chat))), "", "ok"},
		"unknown field":   {answer(js, strings.Replace(pageOf(page(chat)), `{`, `{"later":1,`, 1)), "", "ok"}, // of a newer receiver
		"other endpoint":  {answer(js, strings.ReplaceAll(pageOf(page(chat)), `"chat"`, `"`+telltale+`"`)), "the status page does not name this endpoint", "invalid"},
		"null":            {answer(js, "null"), "the status page does not name this endpoint", "invalid"},
		"no JSON":         {answer(js, telltale), unreadable, "invalid"},
		"two values":      {answer(js, pageOf(page(chat))+"{}"), unreadable, "invalid"},
		"another shape":   {answer(js, `{"endpoints":"`+telltale+`"}`), unreadable, "invalid"},
		"another type":    {answer("text/html", pageOf(page(chat))), "answered with something else than a status page", "invalid"},
		"too large":       {answer(js, pageOf(page(chat))+strings.Repeat(" ", 1<<20)), "the status page is larger than 1 MiB", "invalid"},
		"not ready":       {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, telltale, http.StatusServiceUnavailable) }, "answered 503", "invalid"},
		"redirect":        {http.RedirectHandler("/"+telltale, http.StatusFound).ServeHTTP, "answered 302", "invalid"},
		"closed":          {raw(""), "the connection was closed before the answer ended", "unreachable"},
		"cut off":         {raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"), "the connection was closed before the answer ended", "unreachable"},
		"not HTTP":        {raw("SSH-2.0-" + telltale + "\r\n\r\n"), "no usable answer in HTTP", "unreachable"},
		"endless headers": {raw("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 1<<20)), "no usable answer in HTTP", "unreachable"},
		"slow":            {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timed out after 100ms", "unreachable"},
		"slow body": {func(w http.ResponseWriter, r *http.Request) {
			answer(js, "{")(w, r)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "timed out after 100ms", "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 9)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Method + " " + r.URL.Path
				tt.handler(w, r)
			}))
			defer srv.Close()
			timeout := 10 * time.Second
			if strings.HasPrefix(name, "slow") {
				timeout = 100 * time.Millisecond
			}
			addr := srv.Listener.Addr().(*net.TCPAddr)
			got, result := readOnce(t, probe.Options{Port: addr.Port, Timeout: timeout}, addr.IP.String())
			if (got.Page != nil) != (tt.want == "") || text(got.Err) != tt.want || result != tt.result {
				t.Errorf("report = %v, %q, counted as %s; want %q, counted as %s", got.Page, text(got.Err), result, tt.want, tt.result)
			}
			if len(asked) != 1 {
				t.Errorf("%d requests, want 1", len(asked))
			}
			if first := <-asked; first != "GET /statusz" {
				t.Errorf("request is %q, want GET /statusz", first)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// readOnce asks one pod, and returns what it said and as what that was counted.
func readOnce(t *testing.T, o probe.Options, ip string) (probe.Report, string) {
	t.Helper()
	reg := prometheus.NewRegistry()
	o.Registerer = reg
	r := start(t, o)
	r.Watch(chat, []probe.Target{{Pod: "a", UID: "a", IP: ip}}, false)
	r.changed()
	got := r.Reports(chat)
	r.stop()
	if len(got) != 1 {
		t.Fatalf("Reports() = %v, want one", got)
	}
	for _, leak := range []string{telltale, "http", ip} {
		if strings.Contains(text(got[0].Err), leak) {
			t.Errorf("the error shows %q: %v", leak, got[0].Err)
		}
	}
	lint(t, reg)
	for result, n := range reads(t, reg) {
		if n == 1 {
			return got[0], result
		}
	}
	t.Fatal("the read was not counted")
	return got[0], ""
}

// lint checks the names of the metrics, and that how long the only read took is
// among them.
func lint(t *testing.T, reg *prometheus.Registry) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("linting metrics: %v, %v", problems, err)
	}
	var samples uint64
	for _, f := range families {
		if f.GetName() == "fairlead_operator_status_read_duration_seconds" {
			samples = f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	if samples != 1 {
		t.Errorf("%d durations, want 1", samples)
	}
}

func TestReadRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	got, result := readOnce(t, probe.Options{Port: port}, "127.0.0.1")
	if text(got.Err) != "connection refused" || result != "unreachable" {
		t.Errorf("error = %q, counted as %s; want connection refused, unreachable", text(got.Err), result)
	}
}

func TestReadAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		ip, want string // what is dialled; "" for nothing
	}{
		"IPv4":        {"192.0.2.7", "192.0.2.7:9090"},
		"IPv6":        {"2001:db8::7", "[2001:db8::7]:9090"},
		"IPv4 mapped": {"::ffff:192.0.2.7", "192.0.2.7:9090"},
		"zone":        {"fe80::1%eth0", ""},
		"a name":      {"metadata.internal", ""},
		"a path":      {"192.0.2.7/x?", ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(pageOf(page(chat))))
			}))
			defer srv.Close()
			var dialled string
			client := probe.Client()
			client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialled = addr
				return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
			}
			got, _ := readOnce(t, probe.Options{Client: client, Port: 9090}, tt.ip)
			if dialled != tt.want || (got.Page != nil) != (tt.want != "") {
				t.Errorf("dialled %q, %v; want %q", dialled, got.Err, tt.want)
			}
			if tt.want == "" && text(got.Err) != "the pod has no usable address" {
				t.Errorf("error = %q, want that there is no address", text(got.Err))
			}
		})
	}
}

// TestClientIgnoresProxies holds that the environment sends no read elsewhere.
func TestClientIgnoresProxies(t *testing.T) {
	if transport := probe.Client().Transport.(*http.Transport); transport.Proxy != nil || !transport.DisableKeepAlives {
		t.Error("the client uses a proxy or keeps connections")
	}
}
