package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestWait holds that somebody's end does not end it, that nobody stays a zombie, and
// that it ends when it is asked to.
func TestWait(t *testing.T) {
	path, err := exec.LookPath("true")
	if err != nil {
		t.Skip(err)
	}
	signals, ended := make(chan os.Signal, 8), make(chan struct{})
	go func() {
		defer close(ended)
		wait(signals)
	}()
	child, err := os.StartProcess(path, []string{path}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for exists(child.Pid) && time.Now().Before(deadline) {
		signals <- syscall.SIGCHLD // it may have come before wait listened
	}
	if exists(child.Pid) {
		t.Error("the child is still there")
	}
	select {
	case <-ended:
		t.Error("the child's end ended it")
	default:
	}
	signals <- syscall.SIGTERM
	<-ended
}

func exists(pid int) bool {
	return syscall.Kill(pid, 0) == nil
}
