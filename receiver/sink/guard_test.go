package sink

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	deny := []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("fd12::1")}
	for _, tt := range []struct {
		name    string
		address string
		refused bool // with loopback allowed too, unless loopback says otherwise
		own     bool // a loopback address
	}{
		{"public", "203.0.113.7", false, false},
		{"private", "10.1.2.4", false, false},
		{"service", "10.96.0.2", false, false},
		{"shared", "100.100.100.201", false, false},
		{"public IPv6", "2001:db8::1", false, false},
		{"unique local IPv6", "fd12::2", false, false},
		{"translated public", "64:ff9b::203.0.113.7", false, false},
		{"loopback", "127.0.0.1", true, true},
		{"far loopback", "127.255.255.254", true, true},
		{"loopback IPv6", "::1", true, true},
		{"mapped loopback", "::ffff:127.0.0.1", true, true},
		{"translated loopback", "64:ff9b::127.0.0.1", true, true},
		{"6to4 loopback", "2002:7f00:1::1", true, true},
		{"compatible loopback", "::127.0.0.1", true, true},
		{"unspecified", "0.0.0.0", true, false},
		{"this network", "0.1.2.3", true, false},
		{"unspecified IPv6", "::", true, false},
		{"mapped unspecified", "::ffff:0.0.0.0", true, false},
		{"translated unspecified", "64:ff9b::", true, false},
		{"link-local", "169.254.1.1", true, false},
		{"link-local IPv6", "fe80::1", true, false},
		{"link-local with zone", "fe80::1%eth0", true, false},
		{"mapped link-local", "::ffff:169.254.1.1", true, false},
		{"metadata", "169.254.169.254", true, false},
		{"translated metadata", "64:ff9b::a9fe:a9fe", true, false},
		{"6to4 metadata", "2002:a9fe:a9fe::", true, false},
		{"metadata of AWS, IPv6", "fd00:ec2::254", true, false},
		{"metadata of Google, IPv6", "fd20:ce::254", true, false},
		{"metadata of Alibaba", "100.100.100.200", true, false},
		{"mapped metadata of Alibaba", "::ffff:100.100.100.200", true, false},
		{"metadata of Azure", "168.63.129.16", true, false},
		{"metadata of Oracle", "192.0.0.192", true, false},
		{"multicast", "224.0.0.1", true, false},
		{"multicast IPv6", "ff02::1", true, false},
		{"broadcast", "255.255.255.255", true, false},
		{"denied", "10.96.0.1", true, false},
		{"denied, mapped", "::ffff:10.96.0.1", true, false},
		{"denied as mapped", "10.1.2.3", true, false},
		{"denied, translated", "64:ff9b::10.96.0.1", true, false},
		{"denied IPv6", "fd12::1", true, false},
		{"denied IPv6 with zone", "fd12::1%eth0", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := netip.AddrPortFrom(netip.MustParseAddr(tt.address), 80).String()
			for _, allowLoopback := range []bool{false, true} {
				err := newGuard(allowLoopback, deny).control("tcp", address, nil)
				_, refused := errors.AsType[*AddressError](err)
				if want := tt.refused && !(tt.own && allowLoopback); refused != want || (err != nil) != want {
					t.Errorf("loopback allowed %v: error %v, want refusal %v", allowLoopback, err, want)
				}
				if err != nil && strings.Contains(err.Error(), tt.address) {
					t.Errorf("error tells the address: %v", err)
				}
			}
		})
	}
	if err := newGuard(true, nil).control("unix", "/run/socket", nil); err == nil {
		t.Error("an address that is none was let through")
	}
}

func FuzzEncodeValue(f *testing.F) {
	for _, s := range []string{"", "plain", "a b", `"%`, "été", "\xff", "\x00\x7f\r\n", "%41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := encodeValue(s)
		for _, c := range []byte(got) {
			if c < 0x21 || c > 0x7e || c == '"' {
				t.Fatalf("encodeValue(%q) = %q holds %q", s, got, c)
			}
		}
		back, err := url.PathUnescape(got)
		if want := strings.ToValidUTF8(s, "\uFFFD"); err != nil || back != want && len(s) == len(want) {
			t.Errorf("encodeValue(%q) = %q, which reads as %q, %v", s, got, back, err)
		}
	})
}
