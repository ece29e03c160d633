// Demo shows the operator at work on a Kubernetes control plane that it starts on
// the loopback address, and takes away again. It is a check as well: it ends with 1
// if anything is not as it should be. `make demo-cluster` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	operator := flag.String("operator", "bin/operator", "the operator's `program`")
	root := flag.String("root", ".", "the repository's `folder`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, options{operator: *operator, root: *root, out: os.Stdout})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo-cluster:", err)
		os.Exit(1)
	}
}
