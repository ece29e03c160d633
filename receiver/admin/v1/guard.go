package v1

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// linesType stands for the types of a file with a JSON object on each line.
const linesType = "application/jsonl"

// guarded lets only through what a person on this machine, or at the end of a
// port-forward, has sent on purpose. A page in that person's browser can make it
// send requests here too; those have an Origin, another Host (by DNS rebinding),
// or a content type that is none of ours.
func (a *api) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := guard(r); err != nil {
			a.fail(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func guard(r *http.Request) error {
	switch {
	case len(r.Header.Values("Origin")) > 0:
		return problem(http.StatusForbidden, "requests of web pages (with an Origin header) are refused; use fairlead or curl")
	case !browserless(r.Header.Values("Sec-Fetch-Site")):
		return problem(http.StatusForbidden, "requests of web pages (with a Sec-Fetch-Site header) are refused; use fairlead or curl")
	case !isLoopbackHost(r.Host):
		return problem(http.StatusForbidden, "the Host header is not loopback; call http://127.0.0.1:PORT, localhost or [::1]")
	case !isLoopbackPeer(r.RemoteAddr):
		return problem(http.StatusForbidden, "the admin API is for this machine alone; call it from there, or through a port-forward")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return nil
	}
	return problem(http.StatusMethodNotAllowed, "use GET, HEAD or POST")
}

// browserless reports whether a request was not made by a page: what a person
// has typed into the address bar is none.
func browserless(site []string) bool {
	for _, s := range site {
		if s != "none" {
			return false
		}
	}
	return true
}

// isLoopbackHost reports whether a Host header names this machine. Names other
// than localhost are resolved by somebody else.
func isLoopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if rest, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(rest, "]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

func isLoopbackPeer(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// checkContentType refuses bodies of a type that is not asked for. The types that
// a page may send without asking (forms, plain text) are none of ours.
func checkContentType(r *http.Request, want string) error {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && (got == want || want == linesType && got == "application/x-ndjson") {
		return nil
	}
	return problem(http.StatusUnsupportedMediaType, fmt.Sprintf("send Content-Type: %s", want))
}
