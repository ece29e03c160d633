package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/hack/readme"
)

// mistake is one section of config/TROUBLESHOOTING.md, made on purpose.
type mistake struct {
	section string
	// spec is added to the endpoint's, entries are those of its Secret.
	spec, entries string
	run           []string // arguments of fairlead run besides
	// sends are the arguments of fairlead send, one call each. TO stands for the
	// receiver's address, PROXY for what stands before it.
	sends []string
	// proxy makes what changes requests on their way to an address.
	proxy func(to string) http.Handler
	// await is what the status page shows once the requests are dealt with, if that is
	// after they were answered.
	await string
}

const (
	rightSecret = "not-a-real-stream-secret-0123456789"
	rightEntry  = "a1b23cdefgh4: " + rightSecret
	toStream    = "stream-chat --to http://TO/stream --secret " + rightSecret
	asks        = toStream + " --hook before-message-send"
)

func mistakes(t *testing.T) []mistake {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	if err := writeCertificate(filepath.Join(dir, "tls"), secure.TLS.Certificates[0]); err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	return []mistake{
		{section: "1. White space or quotes in the Secret", spec: "sources: {mode: Observe}", entries: `a1b23cdefgh4: "` + rightSecret + `\n\n"`, sends: []string{toStream}},
		{section: "2. The wrong secret, entry or app", spec: "sources: {mode: Observe}", entries: "other: another-secret-0123456789", sends: []string{toStream}},
		{section: "2. The wrong secret, entry or app", spec: "sources: {mode: Observe}\n  secretRef: {name: signing, keys: [current]}", entries: "currnet: " + rightSecret, sends: []string{toStream}},
		{section: "3. A proxy hides the clients' addresses", entries: rightEntry, sends: []string{toStream + " --header X-Forwarded-For=34.225.10.29"}, await: `"verified": 1`},
		{section: "4. A region is left out", spec: "regions: [us-east]\n  sources: {trustedProxies: [127.0.0.1/32]}", entries: rightEntry, sends: []string{toStream + " --header X-Forwarded-For=65.1.48.87"}, await: `"verified": 1`},
		{section: "5. The network plugin enforces no NetworkPolicy", spec: "sources: {trustedProxies: [127.0.0.1/32]}", entries: rightEntry,
			sends: []string{toStream + " --forge --header X-Forwarded-For=203.0.113.7"}, await: `"unlisted": 1`},
		{section: "6. TLS", spec: "sources: {mode: Observe}", entries: rightEntry, sends: []string{"stream-chat --to https://TO/stream --secret " + rightSecret}},
		{section: "6. TLS", spec: "sources: {mode: Observe}", entries: rightEntry, run: []string{"--tls-dir", filepath.Join(dir, "tls")},
			sends: []string{toStream, "stream-chat --to https://TO/stream --secret " + rightSecret,
				"stream-chat --to https://hooks.invalid/stream --connect TO --ca " + authority + " --secret " + rightSecret}},
		{section: "6. TLS", spec: "sources: {mode: Observe}", entries: rightEntry, run: []string{"--tls-dir", filepath.Join(dir, "empty")}},
		{section: "7. The path", spec: "sources: {mode: Observe}", entries: rightEntry, sends: []string{
			"stream-chat --to http://TO/webhook --secret " + rightSecret, asks}},
		{section: "8. Time-outs", spec: "sources: {mode: Observe}\n  responders:\n  - hook: before-message-send\n    http: {url: " + hanging.URL + "}\n    timeout: 100ms\n    onFailure: Allow", entries: rightEntry,
			sends: []string{asks, asks, asks, "stream-chat --to " + hanging.URL + "/stream --timeout 100ms --secret " + rightSecret}},
		{section: "9. A firewall or load balancer lets nobody in", spec: "sources: {mode: Observe}", entries: rightEntry,
			sends: []string{"stream-chat --to http://" + silent(t) + "/stream --timeout 300ms --secret " + rightSecret}},
		{section: "10. A proxy changes the body: gzip, and the like", spec: "sources: {mode: Observe}", entries: rightEntry, proxy: rewriting,
			sends: []string{"stream-chat --to http://PROXY/stream --secret " + rightSecret}},
	}
}

// TestTroubleshooting makes each mistake of config/TROUBLESHOOTING.md and holds that
// what the page quotes is what is then seen. What the operator says is tested in
// controllers/endpoint.
func TestTroubleshooting(t *testing.T) {
	quotes := quoted(t)
	seen := map[string]*symptoms{}
	for _, m := range mistakes(t) {
		if seen[m.section] == nil {
			seen[m.section] = &symptoms{}
		}
		m.make(t, seen[m.section])
	}
	for section, list := range quotes {
		if seen[section] == nil {
			t.Errorf("nobody makes the mistake %q", section)
			continue
		}
		for _, q := range list {
			if !seen[section].shows(q) {
				t.Errorf("%s: %q is not seen; there is:\n%s", section, q, seen[section].text())
			}
		}
	}
	for section := range seen {
		if len(quotes[section]) == 0 {
			t.Errorf("the page quotes nothing of %q", section)
		}
	}
}

// quoted returns what the page quotes of what the tool and a receiver say, by
// section.
func quoted(t *testing.T) map[string][]string {
	t.Helper()
	blocks, err := readme.ReadBlocks(repository, "config/TROUBLESHOOTING.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, b := range blocks {
		for _, line := range b.Lines {
			if b.Language == "text" && !strings.HasPrefix(line, "condition ") {
				all[b.Section] = append(all[b.Section], line)
			}
		}
	}
	return all
}

// symptoms is what was seen of a mistake.
type symptoms struct {
	send, log, statusz, metrics []string
}

func (s *symptoms) text() string {
	metrics := slices.DeleteFunc(slices.Clone(s.metrics), func(l string) bool { return !strings.Contains(l, "requests_") || strings.HasPrefix(l, "#") })
	return strings.Join(slices.Concat(s.send, s.log, s.statusz, metrics), "\n")
}

// shows reports whether a line of the page, which begins with where it is from, is
// among the symptoms.
func (s *symptoms) shows(line string) bool {
	kind, text, _ := strings.Cut(line, " ")
	text = strings.TrimSpace(text)
	has := func(list []string) bool {
		return slices.ContainsFunc(list, func(l string) bool { return strings.Contains(l, text) })
	}
	switch kind {
	case "send":
		return has(s.send)
	case "run":
		return has(s.log)
	case "statusz":
		var compact bytes.Buffer
		if json.Compact(&compact, []byte("{"+text+"}")) != nil {
			return false
		}
		text = strings.TrimSuffix(strings.TrimPrefix(compact.String(), "{"), "}")
		return has(s.statusz)
	case "metric":
		name, labels, _ := strings.Cut(strings.TrimSuffix(text, "}"), "{")
		return slices.ContainsFunc(s.metrics, func(l string) bool {
			return strings.HasPrefix(l, name+"{") && strings.Contains(l, labels) && !strings.HasSuffix(l, " 0")
		})
	}
	return false
}
