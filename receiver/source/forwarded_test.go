package source_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/source"
)

// TestForwarded is what is read of Forwarded behind a trusted proxy. What has no
// address names the reason.
func TestForwarded(t *testing.T) {
	const proxy = "10.1.2.3:4711"
	const unreadable, trusted, missing, conflict = source.HeaderUnreadable, source.HeaderTrusted, source.HeaderMissing, source.HeaderConflict
	r := resolver(t)
	for name, tt := range map[string]struct {
		lines []string // of Forwarded
		x     []string // of X-Forwarded-For
		want  string   // an address
		why   source.Reason
	}{
		"one":                      {[]string{"for=203.0.113.7"}, nil, "203.0.113.7", ""},
		"all parameters":           {[]string{"for=203.0.113.7;proto=https;by=10.1.1.1;host=hooks.example.com"}, nil, "203.0.113.7", ""},
		"other order":              {[]string{`host="hooks.example.com:443" ; for=203.0.113.7`}, nil, "203.0.113.7", ""},
		"other case":               {[]string{"FOR=203.0.113.7;Proto=https"}, nil, "203.0.113.7", ""},
		"quotes":                   {[]string{`for="203.0.113.7"`}, nil, "203.0.113.7", ""},
		"port":                     {[]string{`for="203.0.113.7:4711"`}, nil, "203.0.113.7", ""},
		"port without quotes":      {[]string{"for=203.0.113.7:4711"}, nil, "203.0.113.7", ""},
		"IPv6":                     {[]string{`for="[2001:db8::7]"`}, nil, "2001:db8::7", ""},
		"IPv6 and port":            {[]string{`for="[2001:db8::7]:4711"`}, nil, "2001:db8::7", ""},
		"IPv6 without quotes":      {[]string{"for=[2001:db8::7]:4711"}, nil, "2001:db8::7", ""},
		"mapped":                   {[]string{`for="[::ffff:203.0.113.7]"`}, nil, "203.0.113.7", ""},
		"two proxies":              {[]string{"for=203.0.113.7, for=10.9.9.9"}, nil, "203.0.113.7", ""},
		"two headers":              {[]string{"for=203.0.113.7", "for=10.9.9.9;proto=http"}, nil, "203.0.113.7", ""},
		"empty pairs":              {[]string{"for=203.0.113.7;;proto=http;"}, nil, "203.0.113.7", ""},
		"spaces":                   {[]string{" for=203.0.113.7 ; proto=http ,\tfor=10.9.9.9 "}, nil, "203.0.113.7", ""},
		"comma in quotes":          {[]string{`for=203.0.113.7;host="a,for=34.225.10.29"`}, nil, "203.0.113.7", ""},
		"escape in quotes":         {[]string{`for=203.0.113.7;host="a\",for=34.225.10.29;x=\""`}, nil, "203.0.113.7", ""},
		"both agree":               {[]string{"for=203.0.113.7"}, []string{"203.0.113.7"}, "203.0.113.7", ""},
		"both agree on the client": {[]string{"for=34.225.10.29, for=203.0.113.7"}, []string{"1.2.3.4, 203.0.113.7, 10.1.1.1"}, "203.0.113.7", ""},

		// Somebody writes what a client must not be able to say.
		"forged in front":          {[]string{"for=34.225.10.29, for=203.0.113.7"}, nil, "203.0.113.7", ""},
		"forged first header":      {[]string{"for=34.225.10.29", "for=203.0.113.7"}, nil, "203.0.113.7", ""},
		"garbage in first header":  {[]string{`for="34.225.10.29`, "for=203.0.113.7"}, nil, "203.0.113.7", ""},
		"forged quote before":      {[]string{`for=34.225.10.29;x=", for=203.0.113.7`}, nil, "", unreadable},
		"forged quote and quotes":  {[]string{`for=34.225.10.29;x=", for="[2001:db8::7]"`}, nil, "", unreadable},
		"forged quote and escape":  {[]string{`for=34.225.10.29;x="\, for="203.0.113.7"`}, nil, "", unreadable},
		"forged quote, host":       {[]string{`for=34.225.10.29;x=", for=203.0.113.7;host="a"`}, nil, "", unreadable},
		"forged quote, odd host":   {[]string{`for=34.225.10.29;x=", for=203.0.113.7;host=",a=b"`}, nil, "", unreadable},
		"forged escape, odd host":  {[]string{`for=34.225.10.29;x=", for=203.0.113.7;host=",a=\""`}, nil, "", unreadable},
		"the other is forged":      {[]string{"for=34.225.10.29"}, []string{"203.0.113.7"}, "", conflict},
		"the first is forged":      {[]string{"for=203.0.113.7"}, []string{"34.225.10.29"}, "", conflict},
		"the other is unreadable":  {[]string{"for=unknown"}, []string{"203.0.113.7"}, "", unreadable},
		"the first is unreadable":  {[]string{"for=203.0.113.7"}, []string{"unknown"}, "", unreadable},
		"the other is empty":       {[]string{""}, []string{"203.0.113.7"}, "", unreadable},
		"the first is empty":       {[]string{"for=203.0.113.7"}, []string{""}, "", unreadable},
		"the other has no address": {[]string{"proto=https"}, []string{"203.0.113.7"}, "", unreadable},
		"the other has proxies":    {[]string{"for=10.1.1.1"}, []string{"203.0.113.7"}, "", trusted},
		"neither":                  {nil, nil, "", missing},
		"trusted only":             {[]string{"for=10.0.0.1, for=10.0.0.2"}, nil, "", trusted},
		"unknown":                  {[]string{"for=unknown"}, nil, "", unreadable},
		"obfuscated":               {[]string{"for=_hidden"}, nil, "", unreadable},
		"obfuscated port":          {[]string{`for="203.0.113.7:_x"`}, nil, "", unreadable},
		"no for":                   {[]string{"by=203.0.113.7"}, nil, "", unreadable},
		"no for behind":            {[]string{"for=34.225.10.29, proto=http"}, nil, "", unreadable},
		"for twice":                {[]string{"for=34.225.10.29;for=203.0.113.7"}, nil, "", unreadable},
		"empty value":              {[]string{"for="}, nil, "", unreadable},
		"empty quotes":             {[]string{`for=""`}, nil, "", unreadable},
		"empty element":            {[]string{"for=34.225.10.29,"}, nil, "", unreadable},
		"no value":                 {[]string{"for"}, nil, "", unreadable},
		"spaces around =":          {[]string{"for = 203.0.113.7"}, nil, "", unreadable},
		"words behind a value":     {[]string{"for=203.0.113.7 x"}, nil, "", unreadable},
		"words behind quotes":      {[]string{`for="203.0.113.7"x`}, nil, "", unreadable},
		"IPv6 without brackets":    {[]string{`for="2001:db8::7"`}, nil, "", unreadable},
		"IPv4 in brackets":         {[]string{`for="[203.0.113.7]"`}, nil, "", unreadable},
		"zone":                     {[]string{`for="[fe80::1%eth0]"`}, nil, "", unreadable},
		"escaped address":          {[]string{`for="203.0.113.\7"`}, nil, "", unreadable},
		"half a quote":             {[]string{`for="203.0.113.7`}, nil, "", unreadable},
		"escape at the end":        {[]string{`for="203.0.113.7\`}, nil, "", unreadable},
		"control in quotes":        {[]string{"for=203.0.113.7;x=\"\x01\""}, nil, "", unreadable},
		"line of X-Forwarded-For":  {[]string{"203.0.113.7"}, nil, "", unreadable},
		"64 elements":              {[]string{"for=203.0.113.7" + strings.Repeat(",for=10.0.0.1", 63)}, nil, "203.0.113.7", ""},
		"65 elements":              {[]string{"for=203.0.113.7" + strings.Repeat(",for=10.0.0.1", 64)}, nil, "", unreadable},
		"64 headers":               {append([]string{"for=203.0.113.7"}, repeat("for=10.0.0.1", 63)...), nil, "203.0.113.7", ""},
		"65 headers":               {append([]string{"for=203.0.113.7"}, repeat("for=10.0.0.1", 64)...), nil, "", unreadable},
		"10 KB in one":             {[]string{"x=" + strings.Repeat("y", 10<<10) + ",for=203.0.113.7"}, nil, "", unreadable},
		"10 KB to the left":        {[]string{"x=" + strings.Repeat("y", 10<<10), "for=203.0.113.7"}, nil, "203.0.113.7", ""},
		"10 KB of proxies":         {append([]string{"for=203.0.113.7"}, repeat("for=10.0.0.1;x="+strings.Repeat("y", 5<<10), 2)...), nil, "", unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if tt.lines != nil {
				h["Forwarded"] = tt.lines
			}
			if tt.x != nil {
				h["X-Forwarded-For"] = tt.x
			}
			got, err := r.Client(request(proxy, h))
			checkClient(t, got, err, tt.want, tt.why)
			if got, err := r.Client(request("198.51.100.1:443", h)); err != nil || got.String() != "198.51.100.1" {
				t.Errorf("of a peer that is not trusted: Client() = %v, %v", got, err)
			}
		})
	}
}

func repeat(line string, n int) []string {
	var out []string
	for range n {
		out = append(out, line)
	}
	return out
}

func checkClient(t *testing.T, got netip.Addr, err error, want string, why source.Reason) {
	t.Helper()
	if want == "" {
		if !errors.Is(err, source.ErrNoAddress) || source.ReasonOf(err) != why || got.IsValid() {
			t.Errorf("Client() = %v, %v, want %s", got, err, why)
		}
		return
	}
	if err != nil || got.String() != want {
		t.Errorf("Client() = %v, %v, want %v", got, err, want)
	}
}

// announcer is a connection with a PROXY protocol header.
type announcer source.Announced

func (a announcer) Announced() source.Announced { return source.Announced(a) }

// TestAnnounced is what is believed of PROXY protocol headers, and by whom.
func TestAnnounced(t *testing.T) {
	const proxy, stranger = "10.1.2.3:4711", "198.51.100.1:443"
	client := func(a string) announcer { return announcer{Header: true, Client: netip.MustParseAddr(a)} }
	for name, tt := range map[string]struct {
		peer     string
		expected bool
		header   announcer
		forwards string // X-Forwarded-For
		want     string
		why      source.Reason
	}{
		"client":               {proxy, true, client("203.0.113.7"), "34.225.10.29", "203.0.113.7", ""},
		"mapped client":        {proxy, true, client("::ffff:203.0.113.7"), "", "203.0.113.7", ""},
		"another proxy":        {proxy, true, client("10.9.9.9"), "34.225.10.29, 203.0.113.7", "203.0.113.7", ""},
		"another silent proxy": {proxy, true, client("10.9.9.9"), "", "", source.HeaderMissing},
		"no address":           {proxy, true, announcer{Header: true}, "34.225.10.29", "", source.ProxyUnknown},
		"no header":            {proxy, true, announcer{}, "34.225.10.29", "", source.ProxyMissing},
		"not expected":         {proxy, false, client("34.225.10.29"), "203.0.113.7", "203.0.113.7", ""},
		"not expected, silent": {proxy, false, client("34.225.10.29"), "", "", source.HeaderMissing},
		"stranger":             {stranger, true, client("34.225.10.29"), "34.225.10.29", "198.51.100.1", ""},
		"socket":               {"@", true, client("34.225.10.29"), "34.225.10.29", "", source.PeerUnknown},
	} {
		r := source.NewResolver(prefixes(t, "10.0.0.0/8"), tt.expected)
		h := http.Header{}
		if tt.forwards != "" {
			h.Set("X-Forwarded-For", tt.forwards)
		}
		req := request(tt.peer, h).WithContext(source.WithAnnouncer(context.Background(), tt.header))
		t.Run(name, func(t *testing.T) {
			got, err := r.Client(req)
			checkClient(t, got, err, tt.want, tt.why)
		})
	}
	r := source.NewResolver(prefixes(t, "10.0.0.0/8"), true)
	got, err := r.Client(request(proxy, http.Header{})) // of a listener that reads no headers
	checkClient(t, got, err, "", source.ProxyMissing)
}

// FuzzForwarded holds Forwarded to what it must keep whatever a client sends: what
// the proxy adds at the right is the answer, or there is none.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"for=34.225.10.29", `for="[2001:db8::7]:1";proto=https, for=1.2.3.4`, `x="\"`, `x=",`, "for=unknown;;,", `a="b\\"`} {
		f.Add(seed, "", `,for="203.0.113.7:80";host="a"`)
	}
	r := resolver(f)
	f.Fuzz(func(t *testing.T, sent, other, host string) {
		var quoted strings.Builder // as an honest proxy writes what a client chose
		for i := range len(host) {
			if c := host[i]; c >= ' ' && c < 0x7f {
				if c == '"' || c == '\\' {
					quoted.WriteByte('\\')
				}
				quoted.WriteByte(c)
			}
		}
		for _, added := range []string{"for=203.0.113.7", `for="203.0.113.7:80"`, `proto=https;for=203.0.113.7`, `for=203.0.113.7;host="` + quoted.String() + `"`, `host="` + quoted.String() + `";for="203.0.113.7"`} {
			for _, lines := range [][]string{{sent + ", " + added}, {other, sent + "," + added}, {sent, added}, {sent + ", " + added, "for=10.0.0.1"}} {
				got, err := r.Client(request("10.0.0.1:80", http.Header{"Forwarded": lines}))
				if err == nil && got.String() != "203.0.113.7" {
					t.Errorf("%q: Client() = %v, which the client has written", lines, got)
				}
			}
		}
	})
}
