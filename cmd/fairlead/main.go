// Command fairlead is the user's tool: it checks and runs manifests without a
// cluster, plays providers, and asks receivers. Each verb has a file of its own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set when the program is linked: -ldflags "-X main.version=…".
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // whoever presses Ctrl-C again does not want to wait for what is under way
	code := execute(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exit ends the process when the disk has failed and nothing else may happen.
func exit(code int) { os.Exit(code) }
