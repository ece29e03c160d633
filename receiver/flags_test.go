package main

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAddresses is what the downward API may say, and what it may not.
func TestAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		list string
		want []string
		ok   bool
	}{
		"none":        {"", nil, true},
		"one":         {"192.168.1.5", []string{"192.168.1.5"}, true},
		"dual stack":  {"192.168.1.5,fd00::5", []string{"192.168.1.5", "fd00::5"}, true},
		"spaces":      {" 192.168.1.5 , ", []string{"192.168.1.5"}, true},
		"mapped":      {"::ffff:192.168.1.5", []string{"192.168.1.5"}, true},
		"zone":        {"fe80::1%eth0", []string{"fe80::1"}, true},
		"not set":     {"$(HOST_IPS)", nil, false},
		"name":        {"node-1", nil, false},
		"range":       {"192.168.1.0/24", nil, false},
		"one of them": {"192.168.1.5,node-1", nil, false},
	} {
		got, err := addresses("--host-ips", tt.list)
		var texts []string
		for _, a := range got {
			texts = append(texts, netip.Addr.String(a))
		}
		if diff := cmp.Diff(tt.want, texts); diff != "" || (err == nil) != tt.ok {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// An address that cannot be read keeps the receiver from starting, and says which
// flag it was.
func TestBadAddresses(t *testing.T) {
	for _, flag := range []string{"--host-ips", "--pod-ips"} {
		err := run(context.Background(), nil, []string{flag, "node-1"}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
