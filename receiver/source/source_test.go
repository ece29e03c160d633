package source_test

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/source"
)

func prefixes(t testing.TB, texts ...string) []netip.Prefix {
	t.Helper()
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func resolver(t testing.TB) *source.Resolver {
	return source.NewResolver(prefixes(t, "10.0.0.0/8", "::ffff:172.16.0.0/108", "2001:db8:1::/48"), false)
}

// request is one of a peer, with headers.
func request(peer string, h http.Header) *http.Request {
	return &http.Request{RemoteAddr: peer, Header: h}
}

func TestClient(t *testing.T) {
	const proxy = "10.1.2.3:4711"
	r := resolver(t)
	for name, tt := range map[string]struct {
		peer      string
		forwarded []string // headers, in order
		want      string   // empty: ErrNoAddress
	}{
		"direct":                  {"203.0.113.7:443", nil, "203.0.113.7"},
		"direct with a header":    {"203.0.113.7:443", []string{"198.51.100.1"}, "203.0.113.7"},
		"direct IPv6":             {"[2001:db8::7]:443", []string{"198.51.100.1"}, "2001:db8::7"},
		"direct with a zone":      {"[fe80::1%eth0]:443", nil, "fe80::1"},
		"direct mapped":           {"[::ffff:203.0.113.7]:443", nil, "203.0.113.7"},
		"direct without a port":   {"203.0.113.7", nil, "203.0.113.7"},
		"no peer":                 {"", []string{"203.0.113.7"}, ""},
		"socket peer":             {"@", []string{"203.0.113.7"}, ""},
		"peer with a name":        {"localhost:80", []string{"203.0.113.7"}, ""},
		"one proxy":               {proxy, []string{"203.0.113.7"}, "203.0.113.7"},
		"mapped proxy":            {"[::ffff:10.1.2.3]:80", []string{"203.0.113.7"}, "203.0.113.7"},
		"proxy in a mapped range": {"172.17.0.1:80", []string{"203.0.113.7"}, "203.0.113.7"},
		"IPv6 proxy":              {"[2001:db8:1::5]:80", []string{"2001:db8::7"}, "2001:db8::7"},
		"two proxies":             {proxy, []string{"203.0.113.7, 10.9.9.9"}, "203.0.113.7"},
		"two headers":             {proxy, []string{"203.0.113.7", "10.9.9.9"}, "203.0.113.7"},
		"mapped client":           {proxy, []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		"mapped proxy in between": {proxy, []string{"203.0.113.7, ::ffff:10.9.9.9"}, "203.0.113.7"},
		"no spaces":               {proxy, []string{"203.0.113.7,10.9.9.9"}, "203.0.113.7"},
		"spaces and tabs":         {proxy, []string{" \t203.0.113.7\t , 10.9.9.9 "}, "203.0.113.7"},
		"client with a port":      {proxy, []string{"203.0.113.7:51234"}, "203.0.113.7"},
		"client in brackets":      {proxy, []string{"[2001:db8::7]"}, "2001:db8::7"},
		"brackets and port":       {proxy, []string{"[2001:db8::7]:51234"}, "2001:db8::7"},
		"client in quotes":        {proxy, []string{`"[2001:db8::7]:51234"`}, "2001:db8::7"},

		// Somebody writes what a client must not be able to say.
		"forged in front":         {proxy, []string{"34.225.10.29, 203.0.113.7"}, "203.0.113.7"},
		"forged first header":     {proxy, []string{"34.225.10.29", "203.0.113.7"}, "203.0.113.7"},
		"forged with a proxy":     {proxy, []string{"34.225.10.29, 10.0.0.1, 203.0.113.7"}, "203.0.113.7"},
		"garbage in front":        {proxy, []string{"<script>, 203.0.113.7"}, "203.0.113.7"},
		"forged all around":       {proxy, []string{"34.225.10.29, 203.0.113.7, 10.0.0.2", "10.0.0.1"}, "203.0.113.7"},
		"no header":               {proxy, nil, ""},
		"empty header":            {proxy, []string{""}, ""},
		"blank header":            {proxy, []string{"  "}, ""},
		"trusted only":            {proxy, []string{"10.0.0.1, 10.0.0.2"}, ""},
		"garbage":                 {proxy, []string{"unknown"}, ""},
		"hidden":                  {proxy, []string{"_hidden"}, ""},
		"garbage at the right":    {proxy, []string{"203.0.113.7, unknown"}, ""},
		"garbage behind a proxy":  {proxy, []string{"34.225.10.29, unknown, 10.0.0.1"}, ""},
		"empty element":           {proxy, []string{"203.0.113.7,,10.0.0.1"}, ""},
		"trailing comma":          {proxy, []string{"203.0.113.7,"}, ""},
		"empty last header":       {proxy, []string{"203.0.113.7", ""}, ""},
		"zone":                    {proxy, []string{"fe80::1%eth0"}, ""},
		"mapped with a zone":      {proxy, []string{"::ffff:203.0.113.7%eth0"}, ""},
		"name":                    {proxy, []string{"example.com"}, ""},
		"semicolons":              {proxy, []string{"203.0.113.7; 10.0.0.1"}, ""},
		"octal":                   {proxy, []string{"0203.0.113.7"}, ""},
		"short form":              {proxy, []string{"203.7"}, ""},
		"number":                  {proxy, []string{"3405803783"}, ""},
		"range":                   {proxy, []string{"203.0.113.0/24"}, ""},
		"port out of range":       {proxy, []string{"203.0.113.7:99999"}, ""},
		"port without a number":   {proxy, []string{"203.0.113.7:"}, ""},
		"IPv4 in brackets":        {proxy, []string{"[203.0.113.7]"}, ""},
		"half a bracket":          {proxy, []string{"[2001:db8::7"}, ""},
		"half a quote":            {proxy, []string{`"203.0.113.7`}, ""},
		"quotes only":             {proxy, []string{`""`}, ""},
		"line end":                {proxy, []string{"203.0.113.7\n"}, ""},
		"zero byte":               {proxy, []string{"203.0.113.7\x00"}, ""},
		"too many proxies":        {proxy, []string{"203.0.113.7" + strings.Repeat(",10.0.0.1", 64)}, ""},
		"many proxies":            {proxy, []string{"203.0.113.7" + strings.Repeat(",10.0.0.1", 63)}, "203.0.113.7"},
		"many forged":             {proxy, []string{strings.Repeat("34.225.10.29,", 100000) + "203.0.113.7"}, "203.0.113.7"},
		"huge element":            {proxy, []string{strings.Repeat("1", 1<<20)}, ""},
		"huge space":              {proxy, []string{"203.0.113.7," + strings.Repeat(" ", 9<<10) + "10.0.0.1"}, ""},
		"huge space in one":       {proxy, []string{strings.Repeat(" ", 1<<20) + "203.0.113.7"}, ""},
		"huge space over headers": {proxy, []string{"203.0.113.7", strings.Repeat(" ", 5<<10) + "10.0.0.1", strings.Repeat(" ", 5<<10) + "10.0.0.1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if tt.forwarded != nil {
				h["X-Forwarded-For"] = tt.forwarded
			}
			got, err := r.Client(request(tt.peer, h))
			if tt.want == "" {
				if !errors.Is(err, source.ErrNoAddress) || got.IsValid() {
					t.Errorf("Client() = %v, %v, want ErrNoAddress", got, err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("Client() = %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestNobodyTrusted(t *testing.T) {
	got, err := source.NewResolver(nil, false).Client(request("10.1.2.3:80", http.Header{"X-Forwarded-For": {"203.0.113.7"}}))
	if err != nil || got.String() != "10.1.2.3" {
		t.Errorf("Client() = %v, %v, want the peer", got, err)
	}
}

func TestContains(t *testing.T) {
	for name, tt := range map[string]struct {
		ranges  []string
		in, out []string
	}{
		"nothing":       {nil, nil, []string{"0.0.0.0", "::", "203.0.113.7"}},
		"one address":   {[]string{"203.0.113.7/32"}, []string{"203.0.113.7", "::ffff:203.0.113.7"}, []string{"203.0.113.6", "203.0.113.8", "2001:db8::7", "::203.0.113.7"}},
		"one range":     {[]string{"203.0.113.0/24"}, []string{"203.0.113.0", "203.0.113.255"}, []string{"203.0.112.255", "203.0.114.0"}},
		"odd prefix":    {[]string{"192.30.252.0/22"}, []string{"192.30.252.0", "192.30.255.255"}, []string{"192.30.251.255", "193.0.0.0"}},
		"host bits":     {[]string{"203.0.113.77/24"}, []string{"203.0.113.1"}, []string{"203.0.114.77"}},
		"nested":        {[]string{"10.0.0.0/8", "10.1.0.0/16", "10.1.1.1/32"}, []string{"10.0.0.0", "10.1.1.1", "10.255.255.255"}, []string{"9.255.255.255", "11.0.0.0"}},
		"apart":         {[]string{"10.2.0.0/16", "10.0.0.0/16"}, []string{"10.0.1.1", "10.2.1.1"}, []string{"10.1.1.1", "10.3.0.0"}},
		"IPv6":          {[]string{"2a0a:a440::/29", "2606:50c0::/32"}, []string{"2a0a:a440::1", "2a0a:a447:ffff::", "2606:50c0::"}, []string{"2a0a:a448::", "2606:50c1::", "42.10.164.64"}},
		"mapped range":  {[]string{"::ffff:203.0.113.0/120"}, []string{"203.0.113.9", "::ffff:203.0.113.9"}, []string{"203.0.114.9"}},
		"all of IPv6":   {[]string{"::/0"}, []string{"2001:db8::1"}, []string{"203.0.113.7", "::ffff:203.0.113.7"}},
		"both families": {[]string{"::/1", "0.0.0.0/1"}, []string{"1.2.3.4", "1::"}, []string{"200.0.0.1", "8000::"}},
		"zone":          {[]string{"fe80::/10"}, []string{"fe80::1"}, []string{"fe80::1%eth0"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := source.NewSet(prefixes(t, tt.ranges...))
			for _, a := range tt.in {
				if !set.Contains(netip.MustParseAddr(a)) {
					t.Errorf("Contains(%s) = false", a)
				}
			}
			for _, a := range tt.out {
				if set.Contains(netip.MustParseAddr(a)) {
					t.Errorf("Contains(%s) = true", a)
				}
			}
		})
	}
}

func TestInvalid(t *testing.T) {
	set := source.NewSet([]netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 99)})
	if set.Contains(netip.Addr{}) || set.Contains(netip.MustParseAddr("10.0.0.0")) {
		t.Error("an invalid range holds an address")
	}
	if source.NewSet(prefixes(t, "10.0.0.0/8")).Contains(netip.Addr{}) {
		t.Error("a set holds the invalid address")
	}
}

// TestAllocations holds the promise that looking an address up costs no memory.
func TestAllocations(t *testing.T) {
	r := resolver(t)
	direct, proxied := http.Header{}, http.Header{"X-Forwarded-For": {"34.225.10.29, 203.0.113.7, 10.0.0.1"}}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = r.Client(request("203.0.113.7:443", direct))
		_, _ = r.Client(request("[2001:db8::7]:443", direct))
		_, _ = r.Client(request("10.0.0.1:443", proxied))
	}); n != 0 {
		t.Errorf("Client allocates %v times", n)
	}
}

// FuzzContains compares with the standard library, one range at a time.
func FuzzContains(f *testing.F) {
	f.Add([]byte{203, 0, 113, 0}, uint8(24), []byte{203, 0, 113, 9})
	f.Add([]byte{0, 0, 0, 0}, uint8(0), []byte{255, 255, 255, 255})
	f.Add(netip.MustParseAddr("2001:db8::").AsSlice(), uint8(32), netip.MustParseAddr("2001:db8::1").AsSlice())
	f.Add(netip.MustParseAddr("::ffff:10.0.0.0").AsSlice(), uint8(104), []byte{10, 1, 1, 1})
	f.Fuzz(func(t *testing.T, network []byte, bits uint8, address []byte) {
		n, ok1 := netip.AddrFromSlice(network)
		a, ok2 := netip.AddrFromSlice(address)
		if !ok1 || !ok2 {
			return
		}
		p := netip.PrefixFrom(n, int(bits))
		want := p.Contains(a)
		if n.Is4In6() && bits >= 96 {
			want = netip.PrefixFrom(n.Unmap(), int(bits)-96).Contains(a.Unmap())
		} else if a.Is4In6() {
			want = p.Contains(a.Unmap())
		}
		other := netip.MustParsePrefix("198.51.100.0/24")
		want = want || other.Contains(a.Unmap())
		if got := source.NewSet([]netip.Prefix{p, other}).Contains(a); got != want {
			t.Errorf("%v contains %v = %v, want %v", p, a, got, want)
		}
	})
}

// FuzzClient checks that a trusted or mapped address never comes out, and that what
// comes out stands in the header.
func FuzzClient(f *testing.F) {
	f.Add("10.0.0.1:80", "203.0.113.7, 10.0.0.2", "10.0.0.3")
	f.Add("203.0.113.7:80", "", "")
	f.Add("[::ffff:10.0.0.1]:80", `"[2001:db8::7]:51234"`, "::ffff:10.0.0.3")
	f.Add("[fe80::1%eth0]:80", "fe80::1%eth0", ",,")
	trusted := source.NewSet(prefixes(f, "10.0.0.0/8", "::ffff:172.16.0.0/108", "2001:db8:1::/48"))
	r := resolver(f)
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		got, err := r.Client(request(peer, http.Header{"X-Forwarded-For": {first, second}}))
		switch {
		case err != nil && got.IsValid():
			t.Errorf("an address and an error: %v, %v", got, err)
		case err == nil && (!got.IsValid() || got.Is4In6() || got.Zone() != "" || trusted.Contains(got)):
			t.Errorf("Client() = %v, which nobody may believe", got)
		}
		if alone, err2 := r.Client(request("10.0.0.1:80", http.Header{"X-Forwarded-For": {first + "," + second}})); err2 == nil {
			again, err3 := r.Client(request("10.0.0.1:80", http.Header{"X-Forwarded-For": {first, second}}))
			if err3 != nil || again != alone {
				t.Errorf("two headers give %v, %v; one gives %v", again, err3, alone)
			}
		}
	})
}

func BenchmarkClient(b *testing.B) {
	r := resolver(b)
	h := http.Header{"X-Forwarded-For": {"34.225.10.29, 203.0.113.7, 10.0.0.1"}}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = r.Client(request("10.0.0.1:443", h))
	}
}
