// Pause holds the namespaces of a pod while its containers come and go. The
// containers of tests run on it.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	wait(make(chan os.Signal, 8))
}

// wait returns when the pod is to end. Until then it takes note of processes that
// have ended, for it may be the first of the pod and so everyone's parent.
func wait(signals chan os.Signal) {
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	defer signal.Stop(signals)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil) // an error: there is none left
		}
	}
}
