//go:build !linux

package edge_test

import (
	"os"
	"runtime"
	"testing"
)

// TestEdge says that nothing is tried here.
func TestEdge(t *testing.T) {
	const text = "real proxies are NOT tried: network namespaces are of Linux, and this is "
	if os.Getenv("FAIRLEAD_EDGE") == "require" {
		t.Fatal(text + runtime.GOOS)
	}
	t.Skip(text + runtime.GOOS)
}
