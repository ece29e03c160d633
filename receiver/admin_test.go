package main

import (
	"io"
	"strings"
	"testing"
)

// Whoever can connect to the admin API may order what he likes, so it is refused
// to listen where others can.
func TestAdminListensOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		err := run(t.Context(), nil, []string{"--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0", "--admin-listen", address}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "is not on loopback") {
			t.Errorf("--admin-listen=%s: err = %v", address, err)
		}
	}
}
