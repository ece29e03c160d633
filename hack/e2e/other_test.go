//go:build !linux

package e2e

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// TestMain says that nothing is tried here.
func TestMain(*testing.M) {
	fmt.Println("a real cluster is NOT tried: it needs Linux, and this is", runtime.GOOS)
	if os.Getenv("FAIRLEAD_E2E") != "" {
		os.Exit(1)
	}
}
